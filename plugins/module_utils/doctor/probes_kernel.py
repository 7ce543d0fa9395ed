"""Probes of what the kernel shows in files, and of its command line."""

from __future__ import annotations

import re
from collections import Counter

from ..grub.cmdline import canonical, command_line, differences, key_of, without_trial
from .boot import NO_GRUB, boot_command_line, boot_sysctl, sysctl_path
from .host import Host, cpu_set
from .knobs import ABSENT, Knob, Probe, Reading


def probe_cmdline(host: Host, knob: Knob) -> Reading:
    """Compare parameters of the kernel command line as a multiset (stackhpc/ansible-collection-linux#36).

    Looks at every parameter with a key that `want` uses, so that a second isolcpus= is found.
    """
    want = [canonical(parameter) for parameter in knob.want]
    keys = {key_of(parameter) for parameter in want}
    entry = boot_command_line(host)
    running = [p for p in without_trial(command_line(host.read("/proc/cmdline") or "")) if key_of(p) in keys]
    boot = [p for p in entry or [] if key_of(p) in keys]
    return Reading(
        running=" ".join(running) or ABSENT,
        running_ok=Counter(running) == Counter(want),
        boot=NO_GRUB if entry is None else " ".join(boot) or ABSENT,
        boot_ok=entry is not None and Counter(boot) == Counter(want),
    )


def probe_boot_entry(host: Host, knob: Knob) -> Reading:  # noqa: ARG001
    """Compare the whole running command line with the boot entry: one finds what was set or taken away since the boot.

    Of the two long lines only what differs is told.
    """
    entry = boot_command_line(host)
    if entry is None:
        return Reading("not compared", running_ok=True, boot=NO_GRUB, boot_ok=False)
    running = without_trial(command_line(host.read("/proc/cmdline") or ""))
    only_boot, only_running = differences(entry, running)
    return Reading(
        running=f"has also {' '.join(only_running)}" if only_running else "nothing else",
        running_ok=True,  # what runs is what was proven
        boot=f"has also {' '.join(only_boot)}" if only_boot else "nothing else",
        boot_ok=not only_running and not only_boot,
    )


def probe_cpulist(host: Host, knob: Knob) -> Reading:
    """Compare a sysfs file that holds a CPU list, as a set."""
    text = host.read(knob.argument("path"))
    if text is None:
        return Reading(ABSENT, running_ok=False)
    return Reading(text or "none", running_ok=cpu_set(text) == cpu_set(str(knob.want)))


def probe_sysctl(host: Host, knob: Knob) -> Reading:
    """Compare a sysctl; numbers in one value may be separated by any white space."""
    key = str(knob.argument("key"))
    want = str(knob.want).split()
    running = host.read(f"/proc/sys/{sysctl_path(key)}")
    boot = boot_sysctl(host, key)
    return Reading(
        running=ABSENT if running is None else running,
        running_ok=running is not None and running.split() == want,
        boot=ABSENT if boot is None else boot,
        boot_ok=boot is not None and boot.split() == want,
    )


def probe_hugepages(host: Host, knob: Knob) -> Reading:
    """Compare the number of hugepages of one size on one NUMA node (hugetlbpage.rst)."""
    node, size = knob.argument("node"), knob.argument("size_kb")
    text = host.read(f"/sys/devices/system/node/node{node}/hugepages/hugepages-{size}kB/nr_hugepages")
    return Reading(ABSENT if text is None else text, running_ok=text == str(knob.want))


def probe_text(host: Host, knob: Knob) -> Reading:
    """Compare a file's whole text, or that of several; of a choice ("always [madvise] never") the chosen word."""
    paths = knob.spec["paths"] if "paths" in knob.spec else [knob.argument("path")]
    found = {path: _chosen(host.read(path)) for path in paths}
    off = {path: text for path, text in found.items() if text != str(knob.want)}
    if len(paths) == 1 or not off:
        return Reading(next(iter(found.values())), running_ok=not off)
    return Reading("; ".join(f"{path} {text}" for path, text in off.items()), running_ok=False)


def _chosen(text: str | None) -> str:
    if text is None:
        return ABSENT
    choice = re.search(r"\[([^\]]+)\]", text)
    return choice.group(1) if choice else text


def probe_mount(host: Host, knob: Knob) -> Reading:
    """Compare a mount point's type and options (proc_pid_mountinfo(5))."""
    point = knob.argument("path")
    mounted = None
    for line in (host.read("/proc/self/mountinfo") or "").splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[4] == point:
            kind, _, superblock = right.split()[:3]
            mounted = (kind, set(left.split()[5].split(",")) | set(superblock.split(",")))
    if mounted is None:
        return Reading("not mounted", running_ok=False)
    kind, options = mounted
    lacking = [option for option in knob.want.get("options", []) if option not in options]
    return Reading(f"{kind} {','.join(sorted(options))}", running_ok=kind == knob.want["type"] and not lacking)


PROBES = {
    "cmdline": Probe(probe_cmdline, "kernel"),
    "boot_entry": Probe(probe_boot_entry, "kernel"),
    "cpulist": Probe(probe_cpulist, "kernel"),
    "sysctl": Probe(probe_sysctl, "kernel"),
    "hugepages": Probe(probe_hugepages, "kernel"),
    "text": Probe(probe_text, "kernel"),
    "mount": Probe(probe_mount, "kernel"),
}
