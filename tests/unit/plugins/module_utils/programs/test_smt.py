"""Which CPUs wirebook-smt takes offline, on a tree of files that stands for /sys/devices/system/cpu."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.programs import smt

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]
CPUS = "/sys/devices/system/cpu"


@pytest.fixture
def cores(host: FakeHost) -> FakeHost:
    """Return a host of four cores with two threads each: 0 and 4, 1 and 5, …"""
    for cpu in range(8):
        host.write(f"{CPUS}/cpu{cpu}/topology/thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}\n")
        host.write(f"{CPUS}/cpu{cpu}/online", "1\n")
    return host


def run(*arguments: str) -> int:
    return smt.PROGRAM.main(arguments)


def offline(host: FakeHost) -> list[str]:
    return sorted(path.parent.name for path in host.path(CPUS).glob("cpu*/online") if path.read_text() == "0")


def test_siblings_that_are_not_isolated_go_offline(cores: FakeHost, capsys: Captured) -> None:
    assert run("offline", "1-3,7") == 0
    assert capsys.readouterr().out == "CPU 5: online -> offline\nCPU 6: online -> offline\n"
    assert offline(cores) == ["cpu5", "cpu6"]


def test_a_dry_run_tells_and_takes_none(cores: FakeHost, capsys: Captured) -> None:
    assert run("offline", "2", "--check") == 0
    assert capsys.readouterr().out == "CPU 6: online -> offline\n"
    assert offline(cores) == []


def test_a_cpu_whose_sibling_is_offline_has_none(cores: FakeHost, capsys: Captured) -> None:
    cores.write(f"{CPUS}/cpu2/topology/thread_siblings_list", "2\n")
    assert run("offline", "2") == 0
    assert capsys.readouterr().out == ""


def test_what_the_kernel_refuses_is_told_and_the_others_go(
    cores: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    write = Path.write_text

    def refuse(path: Path, text: str) -> int:
        if path.parent.name == "cpu5":
            raise OSError(16, "Device or resource busy")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert run("offline", "1-2") == 1
    assert capsys.readouterr().err == (
        "wirebook-smt: CPU 5 can't be taken offline (Device or resource busy): `dmesg` says why, or leave "
        "topology_smt_siblings online.\n"
    )
    assert offline(cores) == ["cpu6"]
