"""Which interrupts and kernel threads wirebook-affinity moves, on a tree of files that stands for /proc and /sys."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.programs import affinity

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]
NIC = "0000:00:04.0"


@pytest.fixture
def irqs(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """Return a host of four CPUs with an interrupt on 2 and 3, one on 1, one that nobody handles, and no thread."""
    host.write("/etc/wirebook/affinity.json", '{"housekeeping": [0, 1], "devices": {}}')
    host.path("/run").mkdir()
    host.write("/proc/irq/default_smp_affinity", "0000000f\n")
    for number, cpus, name in (("24", "2-3", "enp0s4-rx-0"), ("25", "1", "ahci"), ("2", "0-3", "")):
        host.path(f"/proc/irq/{number}/{name}").mkdir(parents=True)
        host.write(f"/proc/irq/{number}/smp_affinity_list", f"{cpus}\n")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: pytest.fail(f"process {pid} was asked"))
    return host


def add_interrupts(host: FakeHost, numbers: range, cpus: str) -> None:
    """Add the interrupts of a NIC, as MSI has them."""
    for number in numbers:
        host.write(f"/sys/bus/pci/devices/{NIC}/msi_irqs/{number}", "msix\n")
        host.path(f"/proc/irq/{number}/rx-{number}").mkdir(parents=True)
        host.write(f"/proc/irq/{number}/smp_affinity_list", f"{cpus}\n")


def run(*arguments: str) -> int:
    return affinity.PROGRAM.main(arguments)


def test_what_is_astray_is_moved_and_told(irqs: FakeHost, capsys: Captured) -> None:
    assert run("apply") == 0
    assert capsys.readouterr().out == "new interrupts: 0000000f -> 3\ninterrupt 24: 2-3 -> 0-1\n"
    assert irqs.read("/proc/irq/default_smp_affinity") == "3"
    assert irqs.read("/proc/irq/24/smp_affinity_list") == "0-1"
    assert irqs.read("/proc/irq/2/smp_affinity_list") == "0-3\n"
    assert run("apply") == 0
    assert capsys.readouterr().out == ""


def test_an_interrupt_that_may_also_run_elsewhere_is_astray(irqs: FakeHost) -> None:
    irqs.write("/proc/irq/25/smp_affinity_list", "1-2\n")
    assert run("apply") == 0
    assert irqs.read("/proc/irq/25/smp_affinity_list") == "0-1"


def test_a_dry_run_tells_and_moves_nothing(irqs: FakeHost, capsys: Captured) -> None:
    before = irqs.everything()
    assert run("apply", "--check") == 0
    assert "interrupt 24: 2-3 -> 0-1" in capsys.readouterr().out
    assert irqs.everything() == before


def test_masks_of_many_cpus_are_written_in_words(irqs: FakeHost) -> None:
    irqs.write("/etc/wirebook/affinity.json", '{"housekeeping": [0, 40], "devices": {}}')
    assert run("apply") == 0
    assert irqs.read("/proc/irq/default_smp_affinity") == "100,00000001"


def test_the_interrupts_of_a_nic_get_one_of_its_cpus_each_in_turn(irqs: FakeHost) -> None:
    irqs.write("/etc/wirebook/affinity.json", json.dumps({"housekeeping": [0, 1, 4, 5], "devices": {NIC: [4, 5]}}))
    # By number, not by name: 99 comes before 100.
    add_interrupts(irqs, range(99, 102), "0-1")
    assert run("apply") == 0
    placed = [irqs.read(f"/proc/irq/{number}/smp_affinity_list") for number in range(99, 102)]
    assert placed == ["4", "5", "4"]
    assert irqs.read("/proc/irq/24/smp_affinity_list") == "0-1,4-5"


def refuse_writes(monkeypatch: pytest.MonkeyPatch, folder: str, error: OSError) -> None:
    write = Path.write_text

    def refuse(path: Path, text: str) -> int:
        if path.parent.name == folder:
            raise error
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EINVAL, errno.EBUSY])
def test_an_interrupt_that_finds_no_place_is_not_taken_for_one_that_the_kernel_manages(
    irqs: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured, number: int
) -> None:
    """Such as one for which its CPU has no vector left."""
    refuse_writes(monkeypatch, "24", OSError(number, os.strerror(number)))
    assert run("apply") == 0
    assert json.loads(irqs.read("/run/wirebook-affinity/refused.json")) == []
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("interrupt 24 ")]
    assert line.endswith(f": {os.strerror(number)}")
    assert " stays on " in line


@pytest.mark.parametrize("number", [errno.EIO, errno.EPERM])  # by the kernel's version
def test_what_the_kernel_manages_is_kept_for_node_doctor_and_a_dry_run_is_silent(
    irqs: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured, number: int
) -> None:
    refuse_writes(monkeypatch, "24", OSError(number, os.strerror(number)))
    assert run("apply") == 0
    assert json.loads(irqs.read("/run/wirebook-affinity/refused.json")) == [24]
    assert "interrupt 24" not in capsys.readouterr().out
    assert run("apply", "--check") == 0
    assert capsys.readouterr().out == ""


def test_it_asks_for_root_where_the_kernels_files_are_closed(
    irqs: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    refuse_writes(monkeypatch, "24", PermissionError(13, "Permission denied", "/proc/irq/24/smp_affinity_list"))
    assert run("apply") == 2
    assert capsys.readouterr().err == (
        "wirebook-affinity: /proc/irq/24/smp_affinity_list isn't allowed to you: run it as root.\n"
    )


class TestKernelThreads:
    """Processes of /proc; where the kernel lets them run is asked and set by system calls."""

    FREE, BOUND, PROCESS = 0x00208040, 0x04208040, 0x00400040

    @pytest.fixture
    def moved(self, irqs: FakeHost, monkeypatch: pytest.MonkeyPatch) -> dict[int, set[int]]:
        """Return where threads were moved to; 7 is free, 8 bound, 9 a process, 10 free and at home."""
        for pid, flags in ((7, self.FREE), (8, self.BOUND), (9, self.PROCESS), (10, self.FREE)):
            irqs.write(f"/proc/{pid}/stat", f"{pid} (k (odd) name) S 2 0 0 0 -1 {flags} 0 0\n")
            irqs.write(f"/proc/{pid}/comm", "kworker/u8:1\n")
        where = {7: {0, 1, 2}, 8: {2}, 9: {2}, 10: {1}}
        moved: dict[int, set[int]] = {}
        monkeypatch.setattr(os, "sched_getaffinity", where.get)
        monkeypatch.setattr(os, "sched_setaffinity", moved.__setitem__)
        return moved

    def test_free_ones_that_may_run_elsewhere_are_moved(self, moved: dict[int, set[int]], capsys: Captured) -> None:
        assert run("apply") == 0
        assert moved == {7: {0, 1}}
        assert "kernel thread kworker/u8:1: 0-2 -> 0-1\n" in capsys.readouterr().out

    def test_a_dry_run_tells_and_moves_none(self, moved: dict[int, set[int]], capsys: Captured) -> None:
        assert run("apply", "--check") == 0
        assert moved == {}
        assert "kernel thread kworker/u8:1: 0-2 -> 0-1\n" in capsys.readouterr().out

    @pytest.mark.parametrize("number", [errno.EBUSY, errno.EINVAL])
    def test_one_that_cannot_be_moved_is_told_and_the_others_are_moved(
        self, moved: dict[int, set[int]], monkeypatch: pytest.MonkeyPatch, capsys: Captured, number: int
    ) -> None:
        where = {7: {0, 1, 2}, 8: {2}, 9: {2}, 10: {3}}

        def move(pid: int, cpus: set[int]) -> None:
            if pid == 7:
                raise OSError(number, os.strerror(number))
            moved[pid] = cpus

        monkeypatch.setattr(os, "sched_getaffinity", where.get)
        monkeypatch.setattr(os, "sched_setaffinity", move)
        assert run("apply") == 0
        assert moved == {10: {0, 1}}
        assert f"kernel thread kworker/u8:1 stays on 0-2: {os.strerror(number)}\n" in capsys.readouterr().out

    def test_one_that_ended_meanwhile_is_passed_over(
        self, moved: dict[int, set[int]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def ended(pid: int) -> set[int]:
            raise ProcessLookupError(3, "No such process", str(pid))

        monkeypatch.setattr(os, "sched_getaffinity", ended)
        assert run("apply") == 0
        assert moved == {}


def test_watching_listens_first_then_applies_then_waits(irqs: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    rounds = iter(["links", "devices"])

    class Events(socket.socket):
        def bind(self, address: Any) -> None:
            done.append("listen")
            super().bind(address)

    def wait(*_: object) -> None:
        done.append("wait")
        if next(rounds, None) is None:
            raise KeyboardInterrupt

    monkeypatch.setattr(socket, "socket", Events)
    monkeypatch.setattr(affinity, "SETTLE_SECONDS", 0)
    monkeypatch.setattr(affinity, "apply", lambda *, check: done.append(f"apply, check={check}"))
    monkeypatch.setattr(select, "select", wait)
    assert run("watch") == 130
    applied = "apply, check=False"
    assert done == ["listen", "listen", applied, "wait", applied, "wait", applied, "wait"]


def test_events_that_wait_are_thrown_away() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there:
        here.setblocking(False)
        for _ in range(3):
            there.send(b"changed")
        affinity.drain(here)
        with pytest.raises(BlockingIOError):
            here.recv(1)
