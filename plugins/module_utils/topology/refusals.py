"""What is refused in an inventory, with one sentence for each that says what to change."""

from __future__ import annotations

from collections.abc import Iterator

from .cpus import format_cpus
from .derive import siblings_to_offline
from .model import RISKS, Host, Wish
from .refusals_clock import clock_refusals
from .refusals_nic import nic_refusals

SUPPORTED_DEBIAN = ("12", "13")
SUPPORTED_MACHINE = "x86_64"
# What the kernel, page tables, page cache and the processes' own memory need is not less on a host of hugepages.
HUGEPAGE_SHARE = 0.6


def refusals(wish: Wish, host: Host) -> list[str]:
    """Return why the wish can't be granted, in sentences that say what to change; nothing if it can."""
    unsupported = list(_system_refusals(host))
    return unsupported or [
        *_cpu_refusals(wish, host),
        *_service_refusals(wish),
        *_hugepage_refusals(wish, host),
        *nic_refusals(wish, host),
        *clock_refusals(wish, host),
        *_risk_refusals(wish),
        *_tuner_refusals(host),
    ]


def _system_refusals(host: Host) -> Iterator[str]:
    if host.os_id != "debian" or host.os_version not in SUPPORTED_DEBIAN:
        yield f"The host runs {host.os_name}: install Debian {' or '.join(SUPPORTED_DEBIAN)}."

    if host.arch != SUPPORTED_MACHINE:
        yield f"The host is an {host.arch} machine: wirebook runs on {SUPPORTED_MACHINE} ones."


def _tuner_refusals(host: Host) -> Iterator[str]:
    if host.tuners:
        names = ", ".join(host.tuners)
        yield (
            f"{names} would change again what wirebook sets: "
            f"switch it off with systemctl disable --now {' '.join(host.tuners)}."
        )


def _cpu_refusals(wish: Wish, host: Host) -> Iterator[str]:
    absent = (wish.isolated | (wish.housekeeping or frozenset())) - host.online
    if absent:
        cpus = format_cpus(absent)
        if absent <= host.offline:
            yield (
                f"CPU {cpus} is offline: bring it online (chcpu --enable {cpus}), or take it out of "
                "topology_isolated_cpus and topology_housekeeping_cpus."
            )
            return
        yield (
            f"CPU {cpus} isn't on the host, which has {format_cpus(host.online)}: "
            "change topology_isolated_cpus and topology_housekeeping_cpus."
        )
        return
    if wish.isolated >= host.online:
        yield (
            f"Every CPU ({format_cpus(host.online)}) is isolated, and none is left for the kernel and the services: "
            "take at least CPU 0 out of topology_isolated_cpus."
        )
        return
    # nohz_full leaves out the boot CPU whatever it is told, and timekeeping stays there (timers/no_hz.rst).
    if 0 in wish.isolated:
        yield "CPU 0 can't be isolated, since the kernel keeps time on it: take it out of topology_isolated_cpus."
    # Two hardware threads share one core: what runs on the sibling takes time from the isolated one.
    for cpu in sorted(wish.isolated):
        split = host.siblings[cpu] - wish.isolated
        if 0 in split:
            yield f"CPU {cpu} shares a core with CPU 0, which stays: take {cpu} out of topology_isolated_cpus."
        elif split and wish.smt_siblings != "offline":
            yield (
                f"CPU {cpu} is isolated but its SMT sibling {format_cpus(split)} isn't: "
                f"add {format_cpus(split)} to topology_isolated_cpus, take {cpu} out, "
                "or set topology_smt_siblings to offline."
            )
    leaving = siblings_to_offline(wish, host)
    if wish.housekeeping is not None:
        both = wish.housekeeping & wish.isolated
        if both:
            yield (
                f"CPU {format_cpus(both)} is both isolated and housekeeping: "
                "take it out of topology_housekeeping_cpus or topology_isolated_cpus."
            )
        if wish.housekeeping & leaving:
            yield (
                f"CPU {format_cpus(wish.housekeeping & leaving)} is in topology_housekeeping_cpus and is to go offline "
                "as the SMT sibling of an isolated CPU: take it out, or set topology_smt_siblings to online."
            )
        neither = host.online - wish.isolated - wish.housekeeping - leaving
        if neither:
            yield (
                f"CPU {format_cpus(neither)} is neither isolated nor housekeeping: "
                "add it to topology_housekeeping_cpus, or leave that out to have the rest."
            )


def _service_refusals(wish: Wish) -> Iterator[str]:
    taken: dict[int, str] = {}
    names: set[str] = set()
    for name, cpu in wish.services:
        if name in names:
            yield f"The service {name} is listed twice in topology_services: give each a name of its own."
        elif cpu not in wish.isolated:
            yield (
                f"The service {name} is to run on CPU {cpu}, which isn't isolated: "
                f"give it one of {format_cpus(wish.isolated) or 'topology_isolated_cpus, which is empty'}."
            )
        elif cpu in taken:
            yield f"The services {taken[cpu]} and {name} are both to run on CPU {cpu}: give {name} a CPU of its own."
        names.add(name)
        taken.setdefault(cpu, name)


def _risk_refusals(wish: Wish) -> Iterator[str]:
    unknown = [risk for risk in wish.accept_risk if risk not in RISKS]
    if unknown:
        yield f"topology_accept_risk has {', '.join(unknown)}: take it out, or choose from {', '.join(RISKS)}."


def _hugepage_refusals(wish: Wish, host: Host) -> Iterator[str]:
    twice = {(pages.node, pages.size) for pages in wish.hugepages}
    if len(twice) < len(wish.hugepages):
        yield "topology_hugepages lists a size twice for one node: write one entry for a node and a size."
        return
    for number in sorted({pages.node for pages in wish.hugepages}):
        asked = [pages for pages in wish.hugepages if pages.node == number]
        node = host.nodes.get(number)
        if node is None:
            yield (
                f"topology_hugepages asks for node {number}, but the host has the nodes {format_cpus(host.nodes)}: "
                "change the node."
            )
            continue
        if not node.memory_kb:
            if any(pages.count for pages in asked):
                nearest = host.memory_node(number)
                yield (
                    f"topology_hugepages asks for pages of node {number}, which has no memory of its own: "
                    f"ask for them on node {nearest}, the nearest that has."
                )
            continue
        unknown = [pages.size for pages in asked if pages.size_kb not in node.hugepage_sizes_kb]
        if unknown:
            yield f"The host has no hugepages of {', '.join(unknown)}: take another size in topology_hugepages."
            continue
        total = sum(pages.count * pages.size_kb for pages in asked)
        if total > node.memory_kb:
            yield (
                f"topology_hugepages asks for {_mib(total)} on node {number}, which has {_mib(node.memory_kb)} in all: "
                f"ask for at most {_mib(node.memory_kb * HUGEPAGE_SHARE)}."
            )
        elif total > node.memory_kb * HUGEPAGE_SHARE:
            yield (
                f"topology_hugepages asks for {_mib(total)} of the {_mib(node.memory_kb)} of node {number}, more than "
                f"{HUGEPAGE_SHARE:.0%}: ask for at most {_mib(node.memory_kb * HUGEPAGE_SHARE)}."
            )


def _mib(kilobytes: float) -> str:
    return f"{int(kilobytes) // 1024} MiB"
