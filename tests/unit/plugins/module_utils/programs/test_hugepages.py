"""What wirebook-hugepages writes, on a tree of files that stands for /sys and /proc/sys."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.programs import hugepages

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]
POLICY = "/sys/kernel/mm/transparent_hugepage/enabled"
PAGES = "/sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"


@pytest.fixture
def memory(host: FakeHost) -> FakeHost:
    """Return a host that wants 192 pages and has 5, and wants the policy that it has."""
    host.write("/etc/wirebook/hugepages.conf", f"# Written by …\n\n{POLICY} madvise\n{PAGES} 192\n")
    host.write(POLICY, "always [madvise] never\n")
    host.write(PAGES, "5\n")
    host.write("/proc/sys/vm/compact_memory", "")
    return host


def run(*arguments: str) -> int:
    return hugepages.PROGRAM.main(arguments)


def test_what_is_off_is_set_and_told(memory: FakeHost, capsys: Captured) -> None:
    assert run() == 0
    assert capsys.readouterr().out == f"{PAGES}: 5 -> 192\n"
    assert memory.read(PAGES) == "192\n"
    assert memory.read(POLICY) == "always [madvise] never\n"
    # Memory isn't moved together where it needn't be.
    assert memory.read("/proc/sys/vm/compact_memory") == ""
    assert run() == 0
    assert capsys.readouterr().out == ""


def test_a_policy_that_is_off_is_set(memory: FakeHost, capsys: Captured) -> None:
    memory.write(POLICY, "[always] madvise never\n")
    assert run() == 0
    assert f"{POLICY}: always -> madvise\n" in capsys.readouterr().out
    assert memory.read(POLICY) == "madvise\n"


def test_a_dry_run_tells_and_sets_nothing(memory: FakeHost, capsys: Captured) -> None:
    before = memory.everything()
    assert run("--check") == 0
    assert capsys.readouterr().out == f"{PAGES}: 5 -> 192\n"
    assert memory.everything() == before


def give_less(monkeypatch: pytest.MonkeyPatch, gifts: list[str]) -> None:
    """Have the kernel keep another number of pages than it is told, one of these at each write."""
    write = Path.write_text

    def less(path: Path, text: str) -> int:
        return write(path, f"{gifts.pop(0)}\n" if path.name == "nr_hugepages" else text)

    monkeypatch.setattr(Path, "write_text", less)


def test_the_kernel_is_asked_once_to_move_memory_together(memory: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    give_less(monkeypatch, ["150", "192"])
    assert run() == 0
    assert memory.read("/proc/sys/vm/compact_memory") == "1\n"


def test_a_kernel_that_gives_less_is_told_and_the_rest_is_set(
    memory: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    other = PAGES.replace("node0", "node1")
    memory.write("/etc/wirebook/hugepages.conf", f"{PAGES} 192\n{other} 8\n{POLICY} never\n")
    memory.write(other, "0\n")
    give_less(monkeypatch, ["150", "151", "8"])
    assert run() == 1
    assert capsys.readouterr().err == (
        f"wirebook-hugepages: {PAGES} is 151 instead of 192: reboot, or ask for less in topology_hugepages.\n"
    )
    assert memory.read(other) == "8\n"
    assert memory.read(POLICY) == "never\n"


def test_a_value_that_the_kernel_refuses_and_a_file_that_it_has_not(
    memory: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    memory.write("/etc/wirebook/hugepages.conf", f"/sys/kernel/mm/none 1\n{POLICY} sometimes\n")

    def refuse(_path: Path, _text: str) -> int:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert run() == 1
    assert capsys.readouterr().err == (
        "wirebook-hugepages: this kernel has no /sys/kernel/mm/none: take it out of the inventory; "
        f"{POLICY} can't be set to sometimes (Invalid argument): choose another value in the inventory.\n"
    )


def test_memory_is_moved_together_for_pages_only(
    memory: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    memory.write("/etc/wirebook/hugepages.conf", f"{POLICY} never\n")
    write = Path.write_text
    monkeypatch.setattr(Path, "write_text", lambda path, text: 0 if path.name == "enabled" else write(path, text))
    assert run() == 1
    assert f"{POLICY} is madvise instead of never: " in capsys.readouterr().err
    assert memory.read("/proc/sys/vm/compact_memory") == ""


def test_what_was_begun_is_finished_though_nobody_reads(memory: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.write("/etc/wirebook/hugepages.conf", f"{POLICY} never\n{PAGES} 192\n")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        assert run() == 0
    assert (memory.read(POLICY), memory.read(PAGES)) == ("never\n", "192\n")


@pytest.mark.parametrize("line", ["one", f"{PAGES} 192 193", "/etc/passwd 192"])
def test_a_damaged_file_changes_nothing(memory: FakeHost, capsys: Captured, line: str) -> None:
    memory.write("/etc/wirebook/hugepages.conf", f"{PAGES} 192\n{line}\n")
    assert run() == 2
    assert capsys.readouterr().err.endswith("/etc/wirebook/hugepages.conf is damaged: deploy this host again.\n")
    assert memory.read(PAGES) == "5\n"
