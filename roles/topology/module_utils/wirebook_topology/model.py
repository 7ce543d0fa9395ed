"""Check what the inventory asks of a host against what the host is, and derive from it what every role sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from .cpus import format_cpus, parse_cpus

SUPPORTED_DEBIAN = ("12", "13")
HUGEPAGE_SIZES_KB = {"2M": 2048, "1G": 1048576}
# What the kernel, page tables, page cache and the processes' own memory need is not less on a host of hugepages.
HUGEPAGE_SHARE = 0.6
# PCI drivers with AF_XDP zero-copy and the first Linux that has it: the driver table of docs.ebpf.io (AF_XDP,
# up to 6.10) and the kernels after it. virtio-pci stands for virtio_net, stmmaceth and intel-eth-pci for stmmac.
ZERO_COPY_SINCE = {
    "gve": (6, 4),
    "i40e": (4, 20),
    "ice": (5, 5),
    "igb": (6, 14),
    "igc": (5, 14),
    "intel-eth-pci": (5, 13),
    "ixgbe": (4, 20),
    "mlx5_core": (5, 3),
    "nfp": (5, 18),
    "stmmaceth": (5, 13),
    "virtio-pci": (6, 11),
}
USES = {"kernel": "the kernel", "af_xdp": "AF_XDP", "vfio": "VFIO"}


@dataclass(frozen=True)
class Node:
    """A NUMA node as the host has it."""

    number: int
    cpus: frozenset[int]
    memory_kb: int
    hugepage_sizes_kb: frozenset[int]


@dataclass(frozen=True)
class Nic:
    """A NIC as the host has it; its name is empty while VFIO has it, its node is -1 where the firmware tells none."""

    name: str
    pci: str
    driver: str
    node: int
    iommu_group: str
    uppers: tuple[str, ...]
    phc: str


@dataclass(frozen=True)
class Host:
    """The host's facts (`host.read_host`), with CPU lists as sets."""

    os_id: str
    os_version: str
    os_name: str
    kernel: str
    iommu: str
    online: frozenset[int]
    siblings: dict[int, frozenset[int]]
    sockets: dict[int, int]
    nodes: dict[int, Node]
    nics: tuple[Nic, ...]
    default_route: frozenset[str]
    ssh: frozenset[str]
    clock_services: tuple[str, ...]

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
            kernel=facts["kernel"],
            iommu=facts["iommu"],
            online=parse_cpus(facts["cpus_online"]),
            siblings={int(cpu): parse_cpus(text) for cpu, text in facts["siblings"].items()},
            sockets={int(cpu): socket for cpu, socket in facts["sockets"].items()},
            nodes={node.number: node for node in nodes},
            nics=tuple(Nic(**nic | {"uppers": tuple(nic["uppers"])}) for nic in facts["nics"]),
            default_route=frozenset(facts["default_route"]),
            ssh=frozenset(facts["ssh"]),
            clock_services=tuple(facts["clock_services"]),
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
class DataNic:
    """A NIC that is to carry market data; `reader` is the service that reads it."""

    name: str
    pci: str
    use: str = "kernel"
    reader: str = ""
    zero_copy: bool = False
    allow_remote_node: bool = False


@dataclass(frozen=True)
class Clock:
    """Who steers the clock: "host" (whatever the host has), "chrony", "ptp-software" or "ptp-hardware"."""

    mode: str = "host"
    interface: str = ""


@dataclass(frozen=True)
class Wish:
    """What the inventory asks of the host."""

    isolated: frozenset[int]
    housekeeping: frozenset[int] | None
    services: tuple[tuple[str, int], ...]
    hugepages: tuple[Hugepages, ...]
    management_nic: str
    data_nics: tuple[DataNic, ...]
    clock: Clock

    @classmethod
    def from_inventory(cls, inventory: dict[str, Any]) -> Wish:
        """Take the `topology_*` variables, without their prefix. ValueError: a list of CPUs that isn't one."""
        return cls(
            isolated=parse_cpus(inventory["isolated_cpus"]),
            housekeeping=parse_cpus(inventory["housekeeping_cpus"]) if inventory["housekeeping_cpus"] else None,
            services=tuple((entry["name"], entry["cpu"]) for entry in inventory["services"]),
            hugepages=tuple(Hugepages(e["node"], e["size"], e["count"]) for e in inventory["hugepages"]),
            management_nic=inventory["management_nic"],
            data_nics=tuple(DataNic(**entry) for entry in inventory["data_nics"]),
            clock=Clock(**inventory["clock"]),
        )


def refusals(wish: Wish, host: Host) -> list[str]:
    """Return why the wish can't be granted, a sentence each that says what to change; nothing if it can."""
    unsupported = list(_system_refusals(host))
    return unsupported or [
        *_cpu_refusals(wish, host),
        *_service_refusals(wish),
        *_hugepage_refusals(wish, host),
        *_nic_refusals(wish, host),
        *_clock_refusals(wish, host),
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
    names = {name for nic in host.nics for name in (nic.name, *nic.uppers) if name}
    if wish.management_nic and wish.management_nic not in names:
        yield (
            f"The host has no NIC {wish.management_nic}, but {', '.join(sorted(names)) or 'none at all'}: "
            "change topology_management_nic."
        )
    by_address = {nic.pci: nic for nic in host.nics}
    for asked in wish.data_nics:
        nic = by_address.get(asked.pci)
        if nic is None:
            yield (
                f"The host has no NIC at PCI address {asked.pci}, but at {', '.join(sorted(by_address)) or 'none'}: "
                f"change the address of {asked.name} in topology_data_nics."
            )
            continue
        yield from _management_refusals(asked, wish, host)
        yield from _reader_refusals(asked, nic, wish, host)
        if asked.use == "vfio" and not host.iommu:
            yield (
                f"{asked.name} can't be for VFIO, since the firmware tells of no IOMMU: switch VT-d or AMD-Vi on "
                "in the firmware, or set its use to kernel or af_xdp in topology_data_nics."
            )
        yield from _zero_copy_refusals(asked, nic, host)


def why_management(nic: Nic, wish: Wish, host: Host) -> str:
    """Return why the host is managed by a NIC ("carries a default route"), or "" if it isn't."""
    for name in (nic.name, *nic.uppers):
        below = "" if name == nic.name else f"lies below {name}, which "
        if name and name == wish.management_nic:
            return f"{below}is topology_management_nic"
        if name in host.default_route:
            return f"{below}carries a default route"
        if name in host.ssh:
            return f"{below}carries the SSH session"
    return ""


def _management_refusals(asked: DataNic, wish: Wish, host: Host) -> Iterator[str]:
    if asked.use == "kernel":
        return
    managing = [(nic, why) for nic in host.nics if (why := why_management(nic, wish, host))]
    own = next((why for nic, why in managing if nic.pci == asked.pci), "")
    if own:
        yield (
            f"{asked.name} can't be for {USES[asked.use]}, since it {own}: "
            "set its use to kernel in topology_data_nics, or manage the host by another NIC."
        )
        return
    # VFIO takes a group as a whole (Documentation/driver-api/vfio.rst); AF_XDP leaves the device to its driver.
    groups = {nic.iommu_group for nic in host.nics if nic.pci == asked.pci and nic.iommu_group}
    for nic, why in managing if asked.use == "vfio" else []:
        if nic.iommu_group in groups:
            yield (
                f"{asked.name} can't be for VFIO, since {nic.name} is in the same IOMMU group {nic.iommu_group} and "
                f"{why}: put one of them into another slot, or set its use to kernel or af_xdp in topology_data_nics."
            )


def _reader_refusals(asked: DataNic, nic: Nic, wish: Wish, host: Host) -> Iterator[str]:
    cpus = dict(wish.services)
    if not asked.reader:
        return
    if asked.reader not in cpus:
        yield (
            f"The reader {asked.reader} of {asked.name} isn't in topology_services: "
            "add it there, or change the reader in topology_data_nics."
        )
    # Every packet would cross the link between the sockets, and so would every poll of its queue.
    elif nic.node not in (-1, host.node_of(cpus[asked.reader])) and not asked.allow_remote_node:
        yield (
            f"{asked.name} is on node {nic.node} but its reader {asked.reader} on node "
            f"{host.node_of(cpus[asked.reader])}: give the reader a CPU of node {nic.node}, or allow it with "
            f"allow_remote_node: true in topology_data_nics."
        )


def _zero_copy_refusals(asked: DataNic, nic: Nic, host: Host) -> Iterator[str]:
    if not asked.zero_copy:
        return
    if asked.use != "af_xdp":
        yield (
            f"zero_copy of {asked.name} is for AF_XDP, but its use is {asked.use}: "
            "change one of them in topology_data_nics."
        )
    # What VFIO has now goes back to its own driver first, and nobody knows which that is.
    elif nic.driver and nic.driver != "vfio-pci":
        since = ZERO_COPY_SINCE.get(nic.driver)
        release = tuple(int(number) for number in re.findall(r"\d+", host.kernel)[:2])
        if since is None:
            yield (
                f"The driver {nic.driver} of {asked.name} has no AF_XDP zero-copy: set zero_copy to false in "
                f"topology_data_nics, or take a NIC with one of {', '.join(ZERO_COPY_SINCE)}."
            )
        elif release < since:
            yield (
                f"The driver {nic.driver} of {asked.name} has AF_XDP zero-copy from Linux {since[0]}.{since[1]} on, "
                f"and the host runs {host.kernel}: "
                "set zero_copy to false in topology_data_nics, or boot a newer kernel."
            )


def _clock_refusals(wish: Wish, host: Host) -> Iterator[str]:
    clock = wish.clock
    owners = clock_owners(wish, host)
    if len(owners) > 1:
        yield (
            f"The clock has {len(owners)} owners, {' and '.join(owners)}: "
            "leave one, with systemctl disable --now on the host or with the mode of topology_clock."
        )
    if not clock.mode.startswith("ptp-"):
        return
    nics = {nic.name: nic for nic in host.nics if nic.name}
    if not clock.interface:
        yield f"topology_clock has the mode {clock.mode} but no interface: name the one that hears the grandmaster."
    elif clock.interface not in nics:
        yield (
            f"The host has no NIC {clock.interface}, but {', '.join(nics) or 'none at all'}: "
            "change the interface of topology_clock."
        )
    elif any(asked.use == "vfio" and asked.pci == nics[clock.interface].pci for asked in wish.data_nics):
        yield (
            f"{clock.interface} can't be the interface of topology_clock, since VFIO takes it and its clock from the "
            "kernel: take another interface, or change its use in topology_data_nics."
        )
    elif clock.mode == "ptp-hardware" and not nics[clock.interface].phc:
        able = [nic.name for nic in nics.values() if nic.phc]
        yield (
            f"{clock.interface} has no PTP hardware clock: set the mode of topology_clock to ptp-software, "
            f"or take an interface that has one ({', '.join(able) or 'none here'})."
        )


def clock_owners(wish: Wish, host: Host) -> list[str]:
    """Return what would steer the clock: what topology_clock asks for, then the host's own services."""
    mode = wish.clock.mode
    # ptp4l by itself may steer a NIC's clock only, which chrony may read; beside another ptp4l it is one too many.
    rivals = [name for name in host.clock_services if mode.startswith("ptp-") or not name.startswith("ptp4l")]
    if mode == "host":
        return rivals
    return [f"topology_clock ({mode})", *(name for name in rivals if name != f"{mode}.service")]


def _mib(kilobytes: float) -> str:
    return f"{int(kilobytes) // 1024} MiB"


def derive(wish: Wish, host: Host) -> dict[str, Any]:
    """Return what the roles set, as the fact `topology_derived`; its fields are in the role's README."""
    housekeeping = host.online - wish.isolated if wish.housekeeping is None else wish.housekeeping
    by_address = {nic.pci: nic for nic in host.nics}
    return {
        "isolated": format_cpus(wish.isolated),
        "housekeeping": format_cpus(housekeeping),
        "kernel_cmdline": _kernel_cmdline(wish, host, housekeeping),
        "hugepages": _hugepages(wish, host),
        "services": {name: {"cpu": cpu, "node": host.node_of(cpu)} for name, cpu in wish.services},
        "data_nics": [
            {**asdict(nic), "node": by_address[nic.pci].node, "driver": by_address[nic.pci].driver}
            for nic in wish.data_nics
        ],
        "clock": asdict(wish.clock),
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
    if any(nic.use == "vfio" for nic in wish.data_nics):
        # Whether Intel's IOMMU is on by default is up to the kernel's build; AMD's always is. Passthrough (iommu=pt)
        # spares the devices that the host keeps the translation.
        parameters += (["intel_iommu=on"] if host.iommu == "intel" else []) + ["iommu=pt"]
    return parameters
