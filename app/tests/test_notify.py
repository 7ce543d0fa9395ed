"""What systemd is told."""

import os
import socket
from pathlib import Path

import pytest

from wirebook.notify import notify, watchdog_interval


def test_a_state_reaches_the_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address, bound in (
        (str(tmp_path / "s"), str(tmp_path / "s")),
        (f"@wb-test-{os.getpid()}", f"\0wb-test-{os.getpid()}"),
    ):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(bound)
            manager.settimeout(5)
            monkeypatch.setenv("NOTIFY_SOCKET", address)
            assert notify("READY=1")
            assert manager.recv(100) == b"READY=1"
        assert not notify("STATUS=nobody hears this")


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")


def test_the_watchdog_is_told_twice_in_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    assert watchdog_interval() is None
    monkeypatch.setenv("WATCHDOG_USEC", "3000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_interval() == 1.5
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_interval() is None
