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
    smt_siblings: str
    services: tuple[tuple[str, int], ...]
    hugepages: tuple[Hugepages, ...]
    management_nic: str
    data_nics: tuple[DataNic, ...]
    clock: Clock
    accept_risk: tuple[str, ...]
    lines: dict[str, str]
    """The interfaces of the engine's lines, by their key in the table `transport`."""

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
        )


def _lines(transport: dict[str, Any]) -> dict[str, str]:
    """Return the interfaces of the engine's lines; there is a line B where it has a group."""
    keys = ("interface", "interface_b") if transport.get("group_b") else ("interface",)
    return {key: transport[key] for key in keys if transport.get(key)}
