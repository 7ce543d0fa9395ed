"""The order in which everything is taken back, and what is left when a step fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.ledger.kinds import LedgerError
from ansible_collections.wirebook.node.plugins.module_utils.ledger.store import Ledger
from ansible_collections.wirebook.node.plugins.module_utils.ledger.undo import take_back
from ansible_collections.wirebook.node.tests.unit.support.fake_tools import ServiceManager, Tools

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the ledger is root's")


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    return Tools(tmp_path / "tools", monkeypatch)


@pytest.fixture
def manager(tools: Tools) -> ServiceManager:
    return ServiceManager(tools)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "lib/ledger")


def test_the_first_note_of_a_thing_counts(ledger: Ledger, manager: ServiceManager, tmp_path: Path) -> None:
    path = tmp_path / "own.conf"
    path.write_text("admin\n")
    ledger.note("a", "file", str(path))
    for role in ("a", "b"):
        path.write_text("ours\n")
        ledger.note(role, "file", str(path))
    (entry,) = ledger.entries()
    assert entry.role == "a"
    take_back(ledger, frozenset({"b"}))
    assert path.read_text() == "admin\n"


def test_a_unit_is_stopped_while_its_file_is_there_and_the_manager_reads_the_files_anew(
    ledger: Ledger, manager: ServiceManager, tools: Tools, tmp_path: Path
) -> None:
    ours, theirs, seen = (tmp_path / name for name in ("ours.service", "theirs.conf", "seen"))
    theirs.write_text("admin's\n")
    manager.set("theirs.service", "enabled", "active")
    for path in (ours, theirs):
        ledger.note("r", "file", str(path))
        path.write_text("wirebook's\n")
    for unit in ("ours.service", "theirs.service"):
        ledger.note("r", "unit", unit)
    manager.set("ours.service", "enabled", "active")
    manager.set("theirs.service", "masked", "inactive")
    # Each call notes what the files hold when it comes.
    note = f'[ "$1" = show ] || echo "$1: $(cat {ours} {theirs} 2>/dev/null | tr "\\n" " ")" >>{seen}\n'
    tools.install("systemctl", note + ServiceManager.SCRIPT)
    take_back(ledger)
    assert [line.rstrip() for line in seen.read_text().splitlines()] == [
        "unmask: wirebook's wirebook's",
        "stop: wirebook's wirebook's",
        "disable: wirebook's wirebook's",
        "daemon-reload: admin's",
        "enable: admin's",
        "start: admin's",
    ]


def test_a_step_that_fails_leaves_a_whole_ledger_and_is_tried_again(
    ledger: Ledger, manager: ServiceManager, tmp_path: Path
) -> None:
    path = tmp_path / "ours.conf"
    for unit in ("a.service", "b.service"):
        ledger.note("r", "unit", unit)
        manager.set(unit, "enabled", "active")
    ledger.note("r", "file", str(path))
    path.write_text("wirebook\n")
    entries = ledger.entries()
    manager.refuse("a.service")
    with pytest.raises(LedgerError, match=r"a\.service"):
        take_back(ledger)
    assert ledger.entries() == entries
    manager.refuse("a.service", refused=False)
    take_back(ledger)
    assert manager.state("a.service") == manager.state("b.service") == ("disabled", "inactive")
    assert not path.exists()
    assert not ledger.folder.exists()


def test_a_value_that_the_kernel_keeps_stops_nothing_and_is_told(
    ledger: Ledger, manager: ServiceManager, tmp_path: Path
) -> None:
    path, ttl = tmp_path / "ours.conf", tmp_path / "ttl"
    ttl.write_text("9999\n")  # more than the kernel takes
    ledger.note("r", "value", str(ttl))
    ledger.note("r", "file", str(path))
    path.write_text("wirebook\n")
    ttl.unlink()
    ttl.symlink_to("/proc/sys/net/ipv4/ip_default_ttl")
    report = take_back(ledger)
    assert report.kept == [
        f"The kernel refuses to give {ttl} back its 9999 (Invalid argument). A reboot does",
    ]  # fmt: skip
    assert not path.exists()
    assert not ledger.folder.exists()


def test_an_empty_ledger_asks_nothing_of_the_service_manager(ledger: Ledger, manager: ServiceManager) -> None:
    assert take_back(ledger).undone == []
    assert manager.changes() == []
