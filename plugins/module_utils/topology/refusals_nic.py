"""What is refused about NICs: what would cut the host off, and what the NIC or the host can't do."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .model import DataNic, Host, Nic, Wish

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


def nic_refusals(wish: Wish, host: Host) -> Iterator[str]:
    """Yield why a NIC can't be used as asked."""
    names = {name for nic in host.nics for name in nic.uppers} | set(host.mac_addresses)
    if wish.management_nic and wish.management_nic not in names:
        yield (
            f"The host has no NIC {wish.management_nic}, but {', '.join(sorted(names - {'lo'})) or 'none at all'}: "
            "change topology_management_nic."
        )
    yield from _name_refusals(wish, host)
    addresses = sorted({nic.pci for nic in host.nics})
    for asked in wish.data_nics:
        nic = host.nic_for(asked)
        if asked.pci not in addresses:
            yield (
                f"The host has no NIC at PCI address {asked.pci}, but at {', '.join(addresses) or 'none'}: "
                f"change the address of {asked.name} in topology_data_nics."
            )
        elif nic is None:
            there = ", ".join(sorted(one.name for one in host.nics_at(asked.pci)))
            yield (
                f"{asked.pci} has several interfaces ({there}), and none is called {asked.name}: "
                "name the one that is meant in topology_data_nics."
            )
        else:
            yield from _management_refusals(asked, wish, host)
            yield from _reader_refusals(asked, nic, wish, host)
            if asked.use == "vfio":
                yield from _vfio_refusals(asked, nic, wish, host)
            yield from _zero_copy_refusals(asked, nic, host)


# What the kernel takes for a name (dev_valid_name()), and systemd (ifname_valid()); "all" and "default" are folders of
# sysctls.
_NAME = re.compile(r"(?!\d+$)[!-~]{1,15}")
_NOT_IN_A_NAME = frozenset("/:%\"'\\")


def is_interface_name(name: str) -> bool:
    """Whether an interface can have this name."""
    reserved = name in (".", "..", "all", "default", "lo")
    return _NAME.fullmatch(name) is not None and not _NOT_IN_A_NAME.intersection(name) and not reserved


def _name_refusals(wish: Wish, host: Host) -> Iterator[str]:
    """Yield why data NICs can't have these names: at the next boot each gets the name that the inventory gives it."""
    names: set[str] = set()
    addresses: dict[str, str] = {}
    for asked in wish.data_nics:
        owners = [nic.pci for nic in host.nics if nic.name == asked.name]
        if not is_interface_name(asked.name):
            yield (
                f"No interface can be called {asked.name!r}: give the NIC at {asked.pci} a name of 1 to 15 letters, "
                "digits, and dashes in topology_data_nics."
            )
        elif asked.name in names:
            yield f"Two NICs are called {asked.name} in topology_data_nics: give each a name of its own."
        elif asked.pci in addresses:
            yield (
                f"{addresses[asked.pci]} and {asked.name} are both at PCI address {asked.pci} in topology_data_nics: "
                "leave one, or change its address."
            )
        elif asked.pci not in owners and (asked.name in host.mac_addresses or asked.name == wish.management_nic):
            whose = f" at {owners[0]}" if owners else ""
            yield (
                f"{asked.name} is the name of another interface{whose}: call the NIC at {asked.pci} otherwise in "
                "topology_data_nics, or change its address."
            )
        names.add(asked.name)
        addresses.setdefault(asked.pci, asked.name)


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
    meant = host.nic_for(asked)
    # AF_XDP takes an interface, VFIO the device with all its interfaces.
    own = next((why for nic, why in managing if nic == meant or (asked.use == "vfio" and nic.pci == asked.pci)), "")
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


# Drivers that leave a device to VFIO or do nothing with it (Documentation/driver-api/vfio.rst).
HANDS_OFF = frozenset({"", "vfio-pci", "pci-stub"})


def _vfio_refusals(asked: DataNic, nic: Nic, wish: Wish, host: Host) -> Iterator[str]:
    if not host.iommu:
        yield (
            f"{asked.name} can't be for VFIO, since the firmware reports no IOMMU: switch VT-d or AMD-Vi on "
            "in the firmware, or set its use to kernel or af_xdp in topology_data_nics."
        )
    if nic.iommu_group in host.direct_groups:
        yield (
            f"{asked.name} can't be for VFIO, since the firmware goes on using memory by way of its IOMMU group "
            f"{nic.iommu_group} (RMRR): switch that off in the firmware, or set its use to kernel or af_xdp in "
            "topology_data_nics."
        )
    if host.iommu and host.interrupt_remapping == "off":
        yield (
            f"{asked.name} can't be for VFIO, since interrupts aren't remapped: switch interrupt remapping on in the "
            "firmware, take intremap=off and nointremap off the kernel's command line, or set its use to kernel or "
            "af_xdp in topology_data_nics."
        )
    for key in (key for key, interface in wish.lines.items() if interface == asked.name):
        yield (
            f"{asked.name} can't be for VFIO, since the feed engine sends and receives by it: set its use to kernel or "
            f"af_xdp in topology_data_nics, or change transport.{key} of feed_engine_settings."
        )
    given = {other.pci for other in wish.data_nics if other.use == "vfio"}
    given |= {other.pci for other in host.nics if why_management(other, wish, host)}  # refused by a sentence of its own
    for peer in nic.iommu_peers:
        if peer.driver not in HANDS_OFF and peer.pci not in given:
            yield (
                f"{asked.name} can't be for VFIO, since {peer.pci} ({peer.driver}) is in the same IOMMU group "
                f"{nic.iommu_group}, which VFIO takes as a whole: put one of them into another slot, or set its use "
                "to kernel or af_xdp in topology_data_nics."
            )
    # DPDK's packet buffers are in hugepages of the NIC's own node (DPDK's Linux guide, "Use of Hugepages").
    # Where that has no memory, of the nearest that has.
    node = host.memory_node(nic.node)
    if not any(pages.count and node in (-1, pages.node) for pages in wish.hugepages):
        which = (
            "which it is on," if node == nic.node else f"the nearest with memory to node {nic.node}, which it is on,"
        )
        place = "no node" if node == -1 else f"node {node}, {which}"
        yield (
            f"{asked.name} can't be for VFIO, since {place} has {'' if node == -1 else 'no '}hugepages and DPDK "
            "keeps its packets there: add some in topology_hugepages."
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
    elif (
        nic.node != -1 and not asked.allow_remote_node and not host.is_near(nic.node, host.node_of(cpus[asked.reader]))
    ):
        node = host.node_of(cpus[asked.reader])
        near = ", ".join(
            str(one.number) for one in host.nodes.values() if one.cpus and host.is_near(nic.node, one.number)
        )
        yield (
            f"{asked.name} is on node {nic.node} but its reader {asked.reader} on node {node}: "
            f"give the reader a CPU of node {near or nic.node}, or allow it with "
            "allow_remote_node: true in topology_data_nics."
        )
    # Most likely the host's settings lack a line of the fleet's.
    if asked.reader == "book" and asked.name not in wish.lines.values():
        yield (
            f"{asked.name} is read by book, but no line of the engine's transport names it: make it "
            "transport.interface, or transport.interface_b beside a group_b, in feed_engine_settings or "
            "feed_engine_host_settings, or take its reader out of topology_data_nics."
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
