"""Check what the inventory asks of a host against what the host is, and derive from it what every role sets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .cpus import format_cpus, parse_cpus

SUPPORTED_DEBIAN = ("12", "13")
HUGEPAGE_SIZES_KB = {"2M": 2048, "1G": 1048576}
# What the kernel, page tables, page cache and the processes' own memory need is not less on a host of hugepages.
HUGEPAGE_SHARE = 0.6


@dataclass(frozen=True)
class Node:
    """A NUMA node as the host has it."""

    number: int
    cpus: frozenset[int]
    memory_kb: int
    hugepage_sizes_kb: frozenset[int]


@dataclass(frozen=True)
class Host:
    """The host's facts (`host.read_host`), with CPU lists as sets."""

    os_id: str
    os_version: str
    os_name: str
    iommu: str
    online: frozenset[int]
    siblings: dict[int, frozenset[int]]
    nodes: dict[int, Node]
    nics: dict[str, dict[str, Any]]

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Host:
        """Take the facts as `read_host` returns them."""
        nodes = [
            Node(
                entry["node"],
                parse_cpus(entry["cpus"]),
                entry["memory_kb"],
                frozenset(int(size[: -len("kB")]) for size in entry["hugepages"]),
            )
            for entry in facts["nodes"]
        ]
        return cls(
            os_id=facts["os"]["id"],
            os_version=facts["os"]["version"],
            os_name=facts["os"]["name"],
            iommu=facts["iommu"],
            online=parse_cpus(facts["cpus_online"]),
            siblings={int(cpu): parse_cpus(text) for cpu, text in facts["siblings"].items()},
            nodes={node.number: node for node in nodes},
            nics={nic["name"]: nic for nic in facts["nics"]},
        )

    def node_of(self, cpu: int) -> int:
        """Return the NUMA node of an online CPU; 0 where the kernel knows no nodes."""
        return next((node.number for node in self.nodes.values() if cpu in node.cpus), 0)


@dataclass(frozen=True)
class Hugepages:
    """A number of hugepages of one size on one NUMA node."""

    node: int
    size: str
    count: int

    @property
    def size_kb(self) -> int:
        """The size of one page in kB."""
        return HUGEPAGE_SIZES_KB[self.size]


@dataclass(frozen=True)
class Wish:
    """What the inventory asks of the host."""

    isolated: frozenset[int]
    housekeeping: frozenset[int] | None
    services: tuple[tuple[str, int], ...]
    hugepages: tuple[Hugepages, ...]
    management_nic: str
    data_nics: tuple[dict[str, Any], ...]

    @classmethod
    def from_inventory(cls, inventory: dict[str, Any]) -> Wish:
        """Take the `topology_*` variables, without their prefix. ValueError: a list of CPUs that isn't one."""
        return cls(
            isolated=parse_cpus(inventory["isolated_cpus"]),
            housekeeping=parse_cpus(inventory["housekeeping_cpus"]) if inventory["housekeeping_cpus"] else None,
            services=tuple((entry["name"], entry["cpu"]) for entry in inventory["services"]),
            hugepages=tuple(Hugepages(e["node"], e["size"], e["count"]) for e in inventory["hugepages"]),
            management_nic=inventory["management_nic"],
            data_nics=tuple(inventory["data_nics"]),
        )


def refusals(wish: Wish, host: Host) -> list[str]:
    """Return why the wish can't be granted, a sentence each that says what to change; nothing if it can."""
    unsupported = list(_system_refusals(host))
    return unsupported or [
        *_cpu_refusals(wish, host),
        *_service_refusals(wish),
        *_hugepage_refusals(wish, host),
        *_nic_refusals(wish, host),
    ]


def _system_refusals(host: Host) -> Iterator[str]:
    if host.os_id != "debian" or host.os_version not in SUPPORTED_DEBIAN:
        yield f"The host runs {host.os_name}: install Debian {' or '.join(SUPPORTED_DEBIAN)}."


def _cpu_refusals(wish: Wish, host: Host) -> Iterator[str]:
    absent = (wish.isolated | (wish.housekeeping or frozenset())) - host.online
    if absent:
        yield (
            f"CPU {format_cpus(absent)} isn't on the host, which has {format_cpus(host.online)}: "
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
        if split and 0 not in split:
            yield (
                f"CPU {cpu} is isolated but its SMT sibling {format_cpus(split)} isn't: "
                f"add {format_cpus(split)} to topology_isolated_cpus, or take {cpu} out."
            )
        elif split:
            yield f"CPU {cpu} shares a core with CPU 0, which stays: take {cpu} out of topology_isolated_cpus."
    if wish.housekeeping is not None:
        both = wish.housekeeping & wish.isolated
        if both:
            yield (
                f"CPU {format_cpus(both)} is both isolated and housekeeping: "
                "take it out of topology_housekeeping_cpus or topology_isolated_cpus."
            )
        neither = host.online - wish.isolated - wish.housekeeping
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


def _nic_refusals(wish: Wish, host: Host) -> Iterator[str]:
    if wish.management_nic and wish.management_nic not in host.nics:
        yield (
            f"The host has no NIC {wish.management_nic}, but {', '.join(host.nics) or 'none at all'}: "
            "change topology_management_nic."
        )
    addresses = {nic["pci"] for nic in host.nics.values()}
    for nic in wish.data_nics:
        if nic["pci"] not in addresses:
            yield (
                f"The host has no NIC at PCI address {nic['pci']}, but at {', '.join(sorted(addresses)) or 'none'}: "
                f"change the address of {nic['name']} in topology_data_nics."
            )


def _mib(kilobytes: float) -> str:
    return f"{int(kilobytes) // 1024} MiB"


def derive(wish: Wish, host: Host) -> dict[str, Any]:
    """Return what the roles set, as the fact `topology_derived`; its fields are in the role's README."""
    housekeeping = host.online - wish.isolated if wish.housekeeping is None else wish.housekeeping
    by_address = {nic["pci"]: nic for nic in host.nics.values()}
    return {
        "isolated": format_cpus(wish.isolated),
        "housekeeping": format_cpus(housekeeping),
        "kernel_cmdline": _kernel_cmdline(wish, host, housekeeping),
        "hugepages": _hugepages(wish, host),
        "services": {name: {"cpu": cpu, "node": host.node_of(cpu)} for name, cpu in wish.services},
        "data_nics": [
            {**nic, "node": by_address[nic["pci"]]["node"], "driver": by_address[nic["pci"]]["driver"]}
            for nic in wish.data_nics
        ],
    }


def _hugepages(wish: Wish, host: Host) -> list[dict[str, Any]]:
    """Return the pages of each node; nodes without 2 MiB pages are listed with 0, so that none are left over."""
    asked = {(pages.node, pages.size) for pages in wish.hugepages}
    none = [
        Hugepages(node.number, "2M", 0)
        for node in host.nodes.values()
        if (node.number, "2M") not in asked and HUGEPAGE_SIZES_KB["2M"] in node.hugepage_sizes_kb
    ]
    return [
        {"node": pages.node, "size": pages.size, "size_kb": pages.size_kb, "count": pages.count}
        for pages in sorted([*wish.hugepages, *none], key=lambda pages: (pages.size_kb, pages.node))
    ]


def _kernel_cmdline(wish: Wish, host: Host, housekeeping: frozenset[int]) -> list[str]:
    """Return the kernel's parameters; each is explained in docs/operations.md and kernel-parameters.rst."""
    parameters = []
    if wish.isolated:
        isolated = format_cpus(wish.isolated)
        parameters += [
            f"isolcpus=managed_irq,domain,{isolated}",
            f"nohz_full={isolated}",
            f"rcu_nocbs={isolated}",
            f"irqaffinity={format_cpus(housekeeping)}",
        ]
    # Of these only the boot is sure to find the contiguous memory (hugetlbpage.rst); per node since Linux 5.16.
    gigantic = sorted((pages.node, pages.count) for pages in wish.hugepages if pages.size == "1G")
    if gigantic:
        parameters += ["hugepagesz=1G", "hugepages=" + ",".join(f"{node}:{count}" for node, count in gigantic)]
    if any(nic["use"] == "vfio" for nic in wish.data_nics):
        # Whether Intel's IOMMU is on by default is up to the kernel's build; AMD's always is. Passthrough (iommu=pt)
        # spares the devices that the host keeps the translation.
        parameters += (["intel_iommu=on"] if host.iommu == "intel" else []) + ["iommu=pt"]
    return parameters
