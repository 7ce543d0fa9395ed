"""wirebook-affinity: keep interrupts and kernel threads off the isolated CPUs."""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ..topology.cpus import format_cpus, format_mask, parse_cpus
from .program import CHECK, Command, Program
from .system import at, settings, tell

SETTINGS = "/etc/wirebook/affinity.json"
# The interrupts that the kernel manages itself (isolcpus=managed_irq is for those), for node-doctor.
REFUSED = "/run/wirebook-affinity/refused.json"
IRQ = "/proc/irq"
# task_struct.flags (include/linux/sched.h), the ninth field of /proc/PID/stat.
PF_KTHREAD = 0x00200000
PF_NO_SETAFFINITY = 0x04000000
FLAGS_AFTER_NAME = 6
# netlink(7), rtnetlink(7): link changes; the kernel's own device events.
RTMGRP_LINK = 1
NETLINK_KOBJECT_UEVENT = 15
UEVENT_KERNEL = 1
SETTLE_SECONDS = 0.5


@dataclass(frozen=True)
class Plan:
    """Where interrupts and kernel threads belong: the housekeeping CPUs, and those of a device by its PCI address."""

    housekeeping: frozenset[int]
    devices: dict[str, list[int]]

    def interrupts(self) -> Iterator[tuple[str, frozenset[int]]]:
        """Yield each interrupt that has a handler, and the CPUs it belongs on: a device's one each, in turn."""
        own: dict[str, frozenset[int]] = {}
        for address, cpus in self.devices.items():
            numbers = sorted(int(path.name) for path in at(f"/sys/bus/pci/devices/{address}/msi_irqs").glob("*"))
            own.update({str(number): frozenset({cpus[place % len(cpus)]}) for place, number in enumerate(numbers)})
        for folder in sorted(at(IRQ).glob("[0-9]*"), key=lambda path: int(path.name)):
            if any(entry.is_dir() for entry in folder.iterdir()):
                yield folder.name, own.get(folder.name, self.housekeeping)


def planned() -> Plan:
    """Return what the role affinity wrote."""
    found = settings(SETTINGS, "housekeeping", "devices")
    return Plan(frozenset(found["housekeeping"]), found["devices"])


def move_interrupts(plan: Plan, *, check: bool) -> list[int]:
    """Move interrupts that are astray, and return those that the kernel manages itself.

    It refuses those with EIO, newer ones such as Debian 13's 6.12 with EPERM (kernel/irq/proc.c). Any other refusal is
    told, and node-doctor finds the interrupt where it is: ENOSPC, where a CPU has no vector left for it.
    """
    mask = at(f"{IRQ}/default_smp_affinity")
    before = mask.read_text().strip()
    wanted = format_mask(plan.housekeeping)
    if int(before.replace(",", ""), 16) != int(wanted.replace(",", ""), 16):
        if not check:
            mask.write_text(wanted)
        tell(f"new interrupts: {before} -> {wanted}")
    refused = []
    known = set(json.loads(at(REFUSED).read_text())) if at(REFUSED).exists() else set()
    for number, cpus in plan.interrupts():
        # Not where it is (effective_affinity_list): some move only when they come the next time.
        file = at(f"{IRQ}/{number}/smp_affinity_list")
        try:
            may = parse_cpus(file.read_text())
            if may <= cpus or (check and int(number) in known):
                continue
            if not check:
                file.write_text(format_cpus(cpus))
            tell(f"interrupt {number}: {format_cpus(may)} -> {format_cpus(cpus)}")
        except FileNotFoundError:
            continue  # it was freed meanwhile
        except OSError as error:
            if error.errno == errno.EACCES:
                raise
            if error.errno in (errno.EIO, errno.EPERM):
                refused.append(int(number))
            else:
                tell(f"interrupt {number} stays on {format_cpus(may)}: {error.strerror}")
    return refused


def kernel_threads() -> Iterator[int]:
    """Yield the kernel threads that may be moved."""
    for folder in at("/proc").glob("[0-9]*"):
        try:
            fields = folder.joinpath("stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        flags = int(fields[FLAGS_AFTER_NAME])
        if flags & PF_KTHREAD and not flags & PF_NO_SETAFFINITY:
            yield int(folder.name)


def move_kernel_threads(housekeeping: frozenset[int], *, check: bool) -> None:
    """Move the kernel threads that aren't bound to a CPU and may run on another than these."""
    for pid in kernel_threads():
        try:
            before = os.sched_getaffinity(pid)
            if before <= housekeeping:
                continue
            name = at(f"/proc/{pid}/comm").read_text().strip()
            reason = "" if check else place_thread(pid, housekeeping)
        except (FileNotFoundError, ProcessLookupError):
            continue
        if reason:
            tell(f"kernel thread {name} stays on {format_cpus(before)}: {reason}")
        else:
            tell(f"kernel thread {name}: {format_cpus(before)} -> {format_cpus(housekeeping)}")


# A thread of SCHED_DEADLINE; one of a cpuset that has none of the CPUs. node-doctor tells where they are.
UNMOVABLE = (errno.EBUSY, errno.EINVAL)


def place_thread(pid: int, cpus: frozenset[int]) -> str:
    """Let a kernel thread run on these CPUs only; return why the kernel refuses, or ""."""
    try:
        os.sched_setaffinity(pid, cpus)
    except OSError as error:
        if error.errno not in UNMOVABLE:
            raise
        return error.strerror or str(error)
    return ""


def apply(*, check: bool) -> None:
    """Move what is astray."""
    plan = planned()
    refused = move_interrupts(plan, check=check)
    move_kernel_threads(plan.housekeeping, check=check)
    if not check:
        at(REFUSED).parent.mkdir(mode=0o755, exist_ok=True)
        new = at(f"{REFUSED}.new")
        new.write_text(json.dumps(refused))
        new.replace(at(REFUSED))


def watch() -> None:
    """Apply whenever a link or a device changes, once for events that come together."""
    links = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    links.bind((0, RTMGRP_LINK))
    devices = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT)
    devices.bind((0, UEVENT_KERNEL))
    while True:
        # First this: what changed before the sockets were there would be missed.
        apply(check=False)
        select.select([links, devices], [], [])
        time.sleep(SETTLE_SECONDS)
        for events in (links, devices):
            drain(events)


def drain(events: socket.socket) -> None:
    """Discard what waits in a socket: it only matters that something happened."""
    while True:
        try:
            events.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            continue  # ENOBUFS: more happened than the socket holds


def run(arguments: argparse.Namespace) -> int:
    """Move once, or whenever something changes."""
    if arguments.command == "watch":
        watch()
    apply(check=arguments.check)
    return 0


PROGRAM = Program(
    name="wirebook-affinity",
    summary="keep interrupts and kernel threads off the isolated CPUs",
    description=(
        "Moves interrupts and unbound kernel threads that may run on an isolated CPU, and prints which.",
        "The interrupts of a data NIC are spread over the NIC's CPUs; all others get the housekeeping CPUs. "
        "Interrupts that the kernel manages itself can't be moved: isolcpus=managed_irq keeps those away.",
    ),
    run=run,
    commands=(
        Command("apply", "Move what is astray, and print it.", (CHECK,)),
        Command("watch", "Do so now and whenever a link or a device changes: drivers then request new interrupts."),
    ),
    files={
        SETTINGS: '{"housekeeping": [0, 1], "devices": {"0000:00:04.0": [1]}}',
        REFUSED: "the interrupts that the kernel manages itself, for node-doctor",
        "/etc/systemd/system/wirebook-affinity.service": "runs `watch`",
    },
    examples={"wirebook-affinity apply --check": "Print what is astray."},
    see_also=("node-doctor(8)",),
)
