"""The machine that a host's model is held against: as its saved facts say, or one that has whatever is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.wirebook.node.plugins.module_utils.topology.cpus import format_cpus, parse_cpus
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import HUGEPAGE_SIZES_KB, Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import SUPPORTED_DEBIAN, SUPPORTED_MACHINE

# What a facts file written by hand may leave out: Debian 13's kernel, more memory than anybody asks for, a driver that
# can do what wirebook asks of one.
_KERNEL = "6.12"
_MEMORY_KB = 1 << 40
_DRIVER = "ice"


def complete(facts: dict[str, Any]) -> dict[str, Any]:
    """Return a host's facts with what a file written by hand may leave out: all but `nodes` and `nics`."""
    nodes = [
        {
            "node": number,
            "memory_kb": _MEMORY_KB,
            "hugepages": [f"{size}kB" for size in HUGEPAGE_SIZES_KB.values()],
            **node,
        }
        for number, node in enumerate(facts.get("nodes", []))
    ]
    cpus = {cpu: node["node"] for node in nodes for cpu in parse_cpus(str(node["cpus"]))}
    version = SUPPORTED_DEBIAN[-1]
    siblings = {str(cpu): str(cpu) for cpu in cpus} | {
        str(cpu): text for cpu, text in facts.get("siblings", {}).items()
    }
    nics = [
        {"driver": _DRIVER, "node": -1, "iommu_group": "", "iommu_peers": [], "uppers": [], "phc": "ptp0", **nic}
        for nic in facts.get("nics", [])
    ]
    return {
        "os": {"id": "debian", "version": version, "codename": "", "name": f"Debian {version}"},
        "arch": SUPPORTED_MACHINE,
        "kernel": _KERNEL,
        "container": "",
        "iommu": "intel",
        "interrupt_remapping": "",
        "iommu_direct": [],
        "cpus_offline": "",
        "sockets": {str(cpu): node for cpu, node in cpus.items()},
        "l3": [],
        "efficient_cpus": "",
        "distances": {},
        "default_route": [],
        "ssh": [],
        "clock_services": [],
        "ptp_software": [],
        "tuners": [],
        "irdma": False,
        "interfaces": {nic["name"]: "" for nic in nics if nic.get("name")},
        **facts,
        "cpus_online": facts.get("cpus_online", format_cpus(cpus)),
        "nodes": [node | {"cpus": str(node["cpus"])} for node in nodes],
        "siblings": siblings,
        "nics": nics,
    }


def that_suits(wish: Wish) -> Host:
    """Return a host that has whatever is asked for: what is refused of it is wrong on every host."""
    asked = wish.isolated | (wish.housekeeping or frozenset())
    # Room for the kernel, where the inventory leaves it the rest.
    cpus = asked | ({0, max(asked, default=0) + 1} if wish.housekeeping is None else frozenset())
    numbers = sorted({0, *(pages.node for pages in wish.hugepages if pages.node >= 0)})
    nics = list(_at_addresses(wish))
    names = {nic["name"] for nic in nics}
    others = [name for name in (wish.management_nic, wish.clock.interface) if name and name not in names]
    nics += [{"name": name, "pci": f"ffff:ff:{place:02x}.0"} for place, name in enumerate(dict.fromkeys(others))]
    return Host.from_facts(
        complete(
            {
                "nodes": [{"node": number, "cpus": format_cpus(cpus) if number == 0 else ""} for number in numbers],
                "nics": nics,
            }
        )
    )


def _at_addresses(wish: Wish) -> Iterator[dict[str, Any]]:
    """Yield an interface for each address of a data NIC; of several of one name only the first has it."""
    names: set[str] = set()
    for pci in dict.fromkeys(nic.pci for nic in wish.data_nics):
        name = next(nic.name for nic in wish.data_nics if nic.pci == pci)
        yield {"name": "" if name in names else name, "pci": pci}
        names.add(name)
