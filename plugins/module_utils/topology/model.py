"""The terms of the model: what a host is, and what its inventory asks of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .cpus import parse_cpus

# What makes a host faster at a price that its owner has to want: parameter, what it costs. Of the kernel's command line
# (kernel-parameters.txt), or a sysctl.
RISKS = {
    "mitigations=off": "A process on this host can read the memory of others by speculative execution.",
    "idle=poll": "The CPUs never sleep: they run hot and leave no power to boost the busy ones.",
    "kernel.sched_rt_runtime_us=-1": "A real-time task that never yields keeps its CPU: kernel threads starve.",
}
HUGEPAGE_SIZES_KB = {"2M": 2048, "1G": 1048576}
# Of NUMA nodes (include/linux/topology.h).
LOCAL_DISTANCE, REMOTE_DISTANCE = 10, 20


@dataclass(frozen=True)
class Node:
    """A NUMA node as the host has it."""

    number: int
    cpus: frozenset[int]
    memory_kb: int
    hugepage_sizes_kb: frozenset[int]


@dataclass(frozen=True)
class Device:
    """Another device in a NIC's IOMMU group; its driver is empty where it has none."""

    pci: str
    driver: str


@dataclass(frozen=True)
class Nic:
    """A NIC as the host has it; its name is empty while VFIO has it, its node is -1 where the firmware tells none."""

    name: str
    pci: str
    driver: str
    node: int
    iommu_group: str
    iommu_peers: tuple[Device, ...]
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
    offline: frozenset[int]
    siblings: dict[int, frozenset[int]]
    sockets: dict[int, int]
    nodes: dict[int, Node]
    nics: tuple[Nic, ...]
    default_route: frozenset[str]
    ssh: frozenset[str]
    clock_services: tuple[str, ...]
    # What the next boot starts besides: a ptp4l that steers the system's clock, and services that tune the host.
    ptp_software: tuple[str, ...]
    tuners: tuple[str, ...]
    arch: str
    # Of all interfaces, those that are no NICs too.
    mac_addresses: dict[str, str]
    # IOMMU groups that VFIO doesn't hand out, since the firmware goes on using a device's memory.
    direct_groups: frozenset[str]
    interrupt_remapping: str
    # Whether the RDMA driver of ice's NICs is loaded.
    irdma: bool
    distances: dict[int, dict[int, int]]
    l3: tuple[frozenset[int], ...]
    efficient: frozenset[int]

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
            offline=parse_cpus(facts["cpus_offline"]),
            siblings={int(cpu): parse_cpus(text) for cpu, text in facts["siblings"].items()},
            sockets={int(cpu): socket for cpu, socket in facts["sockets"].items()},
            nodes={node.number: node for node in nodes},
            nics=tuple(
                Nic(
                    **nic
                    | {
                        "uppers": tuple(nic["uppers"]),
                        "iommu_peers": tuple(Device(**peer) for peer in nic["iommu_peers"]),
                    }
                )
                for nic in facts["nics"]
            ),
            default_route=frozenset(facts["default_route"]),
            ssh=frozenset(facts["ssh"]),
            clock_services=tuple(facts["clock_services"]),
            ptp_software=tuple(facts["ptp_software"]),
            tuners=tuple(facts["tuners"]),
            arch=facts["arch"],
            mac_addresses=facts["interfaces"],
            direct_groups=frozenset(facts["iommu_direct"]),
            interrupt_remapping=facts["interrupt_remapping"],
            irdma=facts["irdma"],
            distances={
                int(node): {int(other): distance for other, distance in row.items()}
                for node, row in facts["distances"].items()
            },
            l3=tuple(parse_cpus(domain) for domain in facts["l3"]),
            efficient=parse_cpus(facts["efficient_cpus"]),
        )

    def node_of(self, cpu: int) -> int:
        """Return the NUMA node of an online CPU; 0 where the kernel knows no nodes."""
        return next((node.number for node in self.nodes.values() if cpu in node.cpus), 0)

    def distance(self, node: int, other: int) -> int:
        """Return how far a node is from another, REMOTE_DISTANCE where the firmware doesn't tell."""
        here = LOCAL_DISTANCE if node == other else REMOTE_DISTANCE
        return self.distances.get(node, {}).get(other, here)

    def is_near(self, node: int, other: int) -> bool:
        """Whether memory and devices of a node are as good as another's own: they share a socket (SNC, NPS).

        A node without CPUs has no socket; what is nearest to it is near.
        """
        if node == other:
            return True
        here, there = (self.nodes[number].cpus if number in self.nodes else frozenset() for number in (node, other))
        if not here:
            nearest = min(self.distance(node, one.number) for one in self.nodes.values() if one.cpus)
            return bool(there) and self.distance(node, other) == nearest
        share_a_socket = {self.sockets.get(cpu) for cpu in here} & {self.sockets.get(cpu) for cpu in there}
        return bool(share_a_socket) and self.distance(node, other) < REMOTE_DISTANCE

    def memory_node(self, node: int) -> int:
        """Return the node whose memory a node uses: its own, or the nearest that has any."""
        if node not in self.nodes or self.nodes[node].memory_kb:
            return node
        able = [one.number for one in self.nodes.values() if one.memory_kb]
        return min(able, key=lambda other: (self.distance(node, other), other), default=node)

    def nics_at(self, pci: str) -> list[Nic]:
        """Return what is at a PCI address: nothing, a NIC, or several interfaces of one."""
        return [nic for nic in self.nics if nic.pci == pci]

    def nic_for(self, asked: DataNic) -> Nic | None:
        """Return the NIC that the inventory means: of several interfaces the one of that name.

        None: there is none at the address, or it can't be told which is meant.
        """
        nics = self.nics_at(asked.pci)
        named = [nic for nic in nics if nic.name == asked.name]
        # VFIO takes the device with all its interfaces.
        return next(iter(named or (nics if len(nics) == 1 or asked.use == "vfio" else [])), None)


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
    smt_siblings: str
    services: tuple[tuple[str, int], ...]
    hugepages: tuple[Hugepages, ...]
    management_nic: str
    data_nics: tuple[DataNic, ...]
    clock: Clock
    accept_risk: tuple[str, ...]
    lines: dict[str, str]
    """The interfaces of the engine's lines, by their key in the table `transport`."""
    more_parameters: tuple[str, ...]
    """What the inventory adds to the kernel's command line by itself."""

    @classmethod
    def from_inventory(cls, inventory: dict[str, Any]) -> Wish:
        """Take the `topology_*` variables, without their prefix. ValueError: a list of CPUs that isn't one."""
        return cls(
            isolated=parse_cpus(inventory["isolated_cpus"]),
            housekeeping=parse_cpus(inventory["housekeeping_cpus"]) if inventory["housekeeping_cpus"] else None,
            smt_siblings=inventory["smt_siblings"],
            services=tuple((entry["name"], entry["cpu"]) for entry in inventory["services"]),
            hugepages=tuple(Hugepages(e["node"], e["size"], e["count"]) for e in inventory["hugepages"]),
            management_nic=inventory["management_nic"],
            data_nics=tuple(DataNic(**entry) for entry in inventory["data_nics"]),
            clock=Clock(**inventory["clock"]),
            accept_risk=tuple(inventory["accept_risk"]),
            lines=_lines(inventory["transport"]),
            more_parameters=tuple(inventory["kernel_cmdline_extra"]),
        )


def _lines(transport: dict[str, Any]) -> dict[str, str]:
    """Return the interfaces of the engine's lines; there is a line B where it has a group."""
    keys = ("interface", "interface_b") if transport.get("group_b") else ("interface",)
    return {key: transport[key] for key in keys if transport.get(key)}
