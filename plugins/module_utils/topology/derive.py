"""Everything that follows from the model: what the other roles set."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from .cpus import format_cpus, format_mask
from .model import HUGEPAGE_SIZES_KB, RISKS, DataNic, Host, Hugepages, Nic, Wish
from .rivals import CLOCK_SERVICES


def derive(wish: Wish, host: Host) -> dict[str, Any]:
    """Return what the roles set, as the fact `topology_derived`; its fields are in the role's README."""
    housekeeping = housekeeping_cpus(wish, host)
    return {
        "isolated": format_cpus(wish.isolated),
        "housekeeping": format_cpus(housekeeping),
        "housekeeping_cpus": sorted(housekeeping),
        "housekeeping_mask": format_mask(housekeeping),
        "isolated_cpus": sorted(wish.isolated),
        "smt_siblings": wish.smt_siblings,
        "siblings_to_offline": sorted(siblings_to_offline(wish, host)),
        "kernel_cmdline": _kernel_cmdline(wish, host, housekeeping),
        "hugepages": _hugepages(wish, host),
        "services": {name: {"cpu": cpu, "node": host.memory_node(host.node_of(cpu))} for name, cpu in wish.services},
        "data_nics": [
            _data_nic(asked, nic, wish, host) for asked in wish.data_nics if (nic := host.nic_for(asked)) is not None
        ],
        "clock": asdict(wish.clock),
        "clock_rivals": clock_rivals(wish),
        "risks": [{"parameter": risk, "costs": RISKS[risk]} for risk in wish.accept_risk],
    }


def _data_nic(asked: DataNic, nic: Nic, wish: Wish, host: Host) -> dict[str, Any]:
    cpus = interrupt_cpus(asked, nic, wish, host)
    return {
        **asdict(asked),
        "node": nic.node,
        "driver": nic.driver,
        "phc": nic.phc,
        # What tells it from the other interfaces of its device.
        **({"mac": host.mac_addresses[nic.name]} if len(host.nics_at(nic.pci)) > 1 else {}),
        "interrupt_cpus": format_cpus(cpus),
        "interrupt_cpus_list": sorted(cpus),
    }


def housekeeping_cpus(wish: Wish, host: Host) -> frozenset[int]:
    """Return the CPUs for everything that has no CPU of its own."""
    if wish.housekeeping is not None:
        return wish.housekeeping
    return host.online - wish.isolated - siblings_to_offline(wish, host)


def siblings_to_offline(wish: Wish, host: Host) -> frozenset[int]:
    """Return the online CPUs that are to go offline: SMT siblings of isolated CPUs that aren't isolated themselves."""
    if wish.smt_siblings != "offline":
        return frozenset()
    return frozenset[int]().union(*(host.siblings[cpu] for cpu in wish.isolated & host.online)) - wish.isolated


def interrupt_cpus(asked: DataNic, nic: Nic, wish: Wish, host: Host) -> frozenset[int]:
    """Return the CPUs for a data NIC's interrupts: the housekeeping CPUs beside it, else beside its reader, else all.

    Not the reader's own CPU: an interrupt there takes the time that the reader polls (the README of AF_XDP's xdpsock).
    """
    housekeeping = housekeeping_cpus(wish, host)
    reader = dict(wish.services).get(asked.reader)
    for node in (nic.node, None if reader is None else host.node_of(reader)):
        beside = host.nodes[node].cpus & housekeeping if node in host.nodes else frozenset()
        if beside:
            return beside
    return housekeeping


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
    """Return the kernel's parameters; each is explained in roles/topology/README.md and kernel-parameters.rst."""
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
    # The other risks are sysctls, whose names have dots.
    return parameters + [risk for risk in wish.accept_risk if "." not in risk]


def clock_rivals(wish: Wish) -> list[str]:
    """Return the services that are kept away from the clock: all that steer one, but for the one that is asked for."""
    own = {"host": CLOCK_SERVICES, "chrony": ("chrony.service", "chronyd.service")}.get(wish.clock.mode, ())
    return [name for name in CLOCK_SERVICES if name not in own]
