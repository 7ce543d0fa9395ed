"""What an expert would ask of a host: CPUs, services and hugepages for its inventory, made from its facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .advice import has_choice, l3_of, warnings
from .cpus import format_cpus
from .derive import interrupt_cpus
from .model import HUGEPAGE_SIZES_KB, Host, Hugepages, Nic, Wish
from .refusals import HUGEPAGE_SHARE, refusals
from .refusals_nic import why_management

Core = frozenset[int]

# Pages for the market cache and for buffers, beside the books' arena.
ROOM = 1.5
# DPDK's packets of one NIC.
DPDK_MB = 128


@dataclass(frozen=True)
class Suggestion:
    """A wish that a host grants, and the services for which it has no CPU."""

    wish: Wish
    left_out: tuple[str, ...]


def suggest(wish: Wish, services: Sequence[str], arena_mb: int, host: Host) -> Suggestion:
    """Return a wish for a host with CPUs for these services, the most important first.

    Of `wish` the NICs count, if it names any: the services run beside them.
    """
    beside = wish.data_nics and [nic for asked in wish.data_nics if (nic := host.nic_for(asked)) is not None]
    nics = list(beside or _candidates(wish, host))
    node = _best_node(nics, len(services), host)
    cores = _cores_for(len(services), node, nics, host)
    # Where feed and book can have a cache for themselves, all of it is theirs.
    taken = [*dict.fromkeys(core for chosen in cores for core in (_cache_mates(chosen, host) or [chosen]))]
    placed = tuple((name, min(core)) for name, core in zip(services, cores, strict=False))
    found = replace(
        wish,
        isolated=frozenset[int]().union(*taken),
        housekeeping=None,
        smt_siblings="online",
        services=placed,
        management_nic=wish.management_nic or _management_nic(host),
    )
    return Suggestion(replace(found, hugepages=_hugepages(found, arena_mb, host)), tuple(services[len(placed) :]))


def _candidates(wish: Wish, host: Host) -> Iterator[Nic]:
    """Yield the NICs that may carry market data: those that the host isn't managed by."""
    return (nic for nic in host.nics if (nic.name or nic.driver) and not why_management(nic, wish, host))


def _best_node(nics: Sequence[Nic], wanted: int, host: Host) -> int:
    """Return the node for the services: with room for them, with the NICs beside it, and best without CPU 0."""

    def worth(node: int) -> tuple[int, int, bool, int]:
        room = min(wanted, len(_free_cores(node, host)))
        near = sum(nic.node in host.nodes and host.is_near(nic.node, node) for nic in nics)
        on_it = sum(nic.node == node for nic in nics)
        return (near if room else -1, room, bool(0 not in host.nodes[node].cpus), on_it)

    able = [node.number for node in host.nodes.values() if node.cpus & host.online]
    return max(able, key=lambda node: (worth(node), -node), default=0)


def _cores(cpus: frozenset[int], host: Host) -> list[Core]:
    """Return the cores that have these CPUs, in order."""
    found = {host.siblings[cpu] & host.online for cpu in cpus & host.online}
    return sorted(found, key=min)


def _free_cores(node: int, host: Host) -> list[Core]:
    """Return the cores of a node that a service may have: not the core of CPU 0, and no E core."""
    slow = host.efficient if host.efficient < host.online else frozenset[int]()
    return [core for core in _cores(host.nodes[node].cpus, host) if 0 not in core and not core & slow]


def _cache_mates(core: Core, host: Host) -> list[Core]:
    """Return all cores of a core's L3 cache where the cache can be kept from other work; CPU 0 never leaves its own."""
    domain = l3_of(host, min(core))
    if not has_choice(host) or not domain or 0 in domain:
        return []
    return _cores(domain, host)


def _cores_for(wanted: int, node: int, nics: Sequence[Nic], host: Host) -> list[Core]:
    """Return at most so many cores for services: of the node and of those that are as near to the NICs, then of others.

    A core beside that of CPU 0 stays for all the rest, where the host has three.
    """
    cores = len(_cores(host.online, host))
    wanted = min(wanted, cores - 2 if cores > 2 else cores - 1)
    with_cpus = [other for other in host.nodes if other != node and host.nodes[other].cpus & host.online]
    nearest = sorted(with_cpus, key=lambda other: (host.distance(node, other), other))
    places = [place for nic in nics if (place := nic.node) in host.nodes and host.is_near(place, node)]
    near = [other for other in nearest if all(host.is_near(place, other) for place in (node, *places))]
    found: list[Core] = []
    for nodes in ([node, *near], *([other] for other in nearest if other not in near)):
        choose = _of_one_cache if has_choice(host) else _of_one_socket
        found += choose(nodes, wanted - len(found), host)
    return found


def _of_one_cache(nodes: Sequence[int], wanted: int, host: Host) -> list[Core]:
    """Return so many cores of nodes, of the smallest L3 cache that has them, or of the largest: CPU 0's comes last."""
    caches: dict[tuple[int, frozenset[int]], list[Core]] = {}
    for place, node in enumerate(nodes):
        for core in _free_cores(node, host):
            caches.setdefault((place, l3_of(host, min(core))), []).append(core)
    ranked = sorted(
        caches.items(),
        key=lambda item: (
            0 in item[0][1], len(item[1]) < wanted, item[0][0], abs(len(item[1]) - wanted), min(item[1][0]),
        ),
    )  # fmt: skip
    return [core for _, mates in ranked for core in mates][:wanted]


def _of_one_socket(nodes: Sequence[int], wanted: int, host: Host) -> list[Core]:
    """Return so many cores of nodes, in their order: the last of a socket, or those of several where none has enough.

    A node of several sockets is one whose firmware tells of no nodes.
    """
    sockets: dict[tuple[int, int], list[Core]] = {}
    for place, node in enumerate(nodes):
        for core in _free_cores(node, host):
            sockets.setdefault((place, host.sockets.get(min(core), 0)), []).append(core)
    ranked = sorted(
        sockets.items(),
        key=lambda item: (item[0][0], len(item[1]) < wanted, item[0][1] == host.sockets.get(0), item[0]),
    )
    # What a node has to spare stays beside the NIC, for its interrupts.
    return [core for _, mates in ranked for core in mates[-wanted:] if wanted > 0][:wanted]


def _management_nic(host: Host) -> str:
    """Return the interface that manages the host, if it is one."""
    names = host.default_route | host.ssh
    return next(iter(names)) if len(names) == 1 else ""


def _hugepages(wish: Wish, arena_mb: int, host: Host) -> tuple[Hugepages, ...]:
    """Return the pages of 2 MiB: for the books' arena on the node of the book, and for DPDK's packets."""
    wanted: dict[int, float] = {}
    for name, cpu in wish.services:
        if name == "book":
            wanted[host.memory_node(host.node_of(cpu))] = arena_mb * ROOM
    for asked in wish.data_nics:
        nic = host.nic_for(asked)
        if asked.use == "vfio" and nic is not None:
            node = host.memory_node(nic.node if nic.node in host.nodes else 0)
            wanted[node] = wanted.get(node, 0) + DPDK_MB
    size = HUGEPAGE_SIZES_KB["2M"]
    able = {node: host.nodes[node] for node in wanted if size in host.nodes[node].hugepage_sizes_kb}
    return tuple(
        Hugepages(node, "2M", min(-int(-wanted[node] * 1024 // size), int(found.memory_kb * HUGEPAGE_SHARE) // size))
        for node, found in sorted(able.items())
    )


def block(found: Suggestion, name: str, host: Host) -> list[str]:
    """Return the suggestion as lines for the host's file in host_vars, with the reasons as comments."""
    wish = found.wish
    return [
        f"# Suggested for {name} by its own CPUs, caches and NICs.",
        f"# Copy it to host_vars/{name}.yml, change what you know better, then: make plan HOST={name}",
        *(f"# {sentence}" for sentence in _reasons(found, host)),
        f'topology_isolated_cpus: "{format_cpus(wish.isolated)}"',
        *_entries("topology_services", ({"name": service, "cpu": cpu} for service, cpu in wish.services)),
        *_entries(
            "topology_hugepages",
            ({"node": pages.node, "size": pages.size, "count": pages.count} for pages in wish.hugepages),
        ),
        *([f"topology_management_nic: {wish.management_nic}"] if wish.management_nic else []),
        *_nics(wish, host),
        *(f"# Before a deploy: {sentence}" for sentence in refusals(wish, host)),
        *(f"# Mind: {sentence}" for sentence in warnings(wish, host)),
    ]


def _entries(variable: str, entries: Iterator[dict[str, Any]]) -> list[str]:
    lines = [f"  - {{{', '.join(f'{key}: {value}' for key, value in entry.items())}}}" for entry in entries]
    return [f"{variable}:", *lines] if lines else [f"{variable}: []"]


def _reasons(found: Suggestion, host: Host) -> Iterator[str]:
    """Yield why it is suggested so."""
    wish = found.wish
    cpus = dict(wish.services)
    if not cpus:
        yield "The host has no core beside that of CPU 0, so that nothing is isolated."
    for node in sorted({host.node_of(cpu) for cpu in cpus.values()}):
        names = [service for service, cpu in cpus.items() if host.node_of(cpu) == node]
        beside = [nic.name for nic in _candidates(wish, host) if nic.node == node and nic.name]
        yield f"Node {node}, for {', '.join(names)}" + (f": beside {', '.join(beside)}." if beside else ".")
    whole = [domain for domain in host.l3 if domain <= wish.isolated and has_choice(host)]
    for domain in whole:
        yield f"An L3 cache of their own: that of CPUs {format_cpus(domain)}, without housekeeping."
    free = wish.isolated - set(cpus.values())
    if free:
        yield f"CPUs {format_cpus(free)} are isolated and free: siblings of busy ones, and cores for strategies."
    if host.efficient < host.online and host.efficient:
        yield f"The E cores {format_cpus(host.efficient)} keep house."
    if found.left_out:
        yield f"There is no CPU for {', '.join(found.left_out)}: housekeeping CPUs run it."


def _nics(wish: Wish, host: Host) -> Iterator[str]:
    """Yield where the interrupts of the data NICs will go, or which NICs there are to choose from."""
    if wish.data_nics:
        for asked in wish.data_nics:
            nic = host.nic_for(asked)
            if nic is not None and asked.use != "vfio":
                yield f"# The interrupts of {asked.name}: on CPU {format_cpus(interrupt_cpus(asked, nic, wish, host))}."
        return
    choice = [nic for nic in _candidates(wish, host) if nic.name]
    if choice:
        yield "# Which of these carry market data? The engine's lines have reader: book."
        yield "# topology_data_nics:"
    for nic in choice:
        place = f"on node {nic.node}" if nic.node in host.nodes else "on no node that the firmware tells"
        driver = nic.driver or "no driver"
        yield f'#   - {{name: {nic.name}, pci: "{nic.pci}"}} # {driver}, {place}'
