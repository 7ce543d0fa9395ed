"""A host's NICs, read from sysfs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from .files import text_of

_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_VIRTIO = re.compile(r"virtio\d+")
# PCI's base class of network controllers (PCI Code and ID Assignment Specification, 1.3).
_PCI_NETWORK = "0x02"
_PCI_BRIDGE = "0x06"
# Drivers whose functions share the clock that one of them has (ice_ptp.c; sfc's ptp.c, "primary"; mlx5's lib/clock.c
# from Linux 6.15 on). Of other drivers a function without a clock has none.
_SHARE_A_CLOCK = frozenset({"ice", "mlx5_core", "sfc"})


def read_nics(system: Path) -> list[dict[str, Any]]:
    """Return the interfaces of PCI devices, and the PCI NICs without one: those that VFIO has, or no driver at all.

    The latter have an empty name. A device may have several interfaces: a card with two ports on one function, and the
    representors of a switch.
    """
    nics = []
    interfaces = system / "class/net"
    for path in sorted(interfaces.glob("*")):
        pci = pci_of(path)
        if pci is not None:
            nics.append(_nic(path.name, pci, sorted(_uppers(interfaces, path.name))))
    named = {nic["pci"] for nic in nics}
    nameless = [
        _nic("", path.resolve(), [])
        for path in sorted((system / "bus/pci/devices").glob("*"))
        if path.name not in named and text_of(path / "class").startswith(_PCI_NETWORK)
    ]
    return nics + nameless


def pci_of(interface: Path) -> Path | None:
    """Return the PCI device that an interface of /sys/class/net is of; None where it is something else's.

    That is the interface's own device, or the one above it for virtio. What only lies somewhere below a PCI device
    isn't one: a BMC's USB NIC lies below the USB controller.
    """
    if not (interface / "device").exists():
        return None
    device = (interface / "device").resolve()
    if _VIRTIO.fullmatch(device.name):
        device = device.parent
    return device if _PCI_ADDRESS.fullmatch(device.name) else None


def clock_of(pci: Path) -> str:
    """Return the PTP hardware clock (PHC) of a PCI device, as "ptp0", or ""."""
    own = sorted(pci.glob("ptp/ptp*"))
    shared = sorted(pci.parent.glob(f"{pci.name[:-1]}*/ptp/ptp*")) if _driver(pci) in _SHARE_A_CLOCK else []
    return next((path.name for path in (*own, *shared)), "")


def read_interfaces(system: Path) -> dict[str, str]:
    """Return the MAC address of each interface, those that are no NICs too."""
    paths = sorted((system / "class/net").glob("*"))
    return {path.name: text_of(path / "address") for path in paths if path.is_dir()}


def groups_with_direct_regions(system: Path) -> list[str]:
    """Return the IOMMU groups that hold a device whose memory the firmware goes on using (RMRR, IVMD).

    VFIO hands none of these out (Documentation/ABI/testing/sysfs-kernel-iommu_groups; "direct-relaxable" it does).
    """
    groups = sorted((system / "kernel/iommu_groups").glob("*"))
    return [
        group.name
        for group in groups
        if any(line.split()[-1] == "direct" for line in text_of(group / "reserved_regions").splitlines())
    ]


def _driver(pci: Path) -> str:
    link = pci / "driver"
    return link.resolve().name if link.exists() else ""


def _nic(name: str, pci: Path, uppers: list[str]) -> dict[str, Any]:
    group = pci / "iommu_group"
    return {
        "name": name,
        "pci": pci.name,
        "driver": _driver(pci),
        "node": int(text_of(pci / "numa_node") or -1),
        "iommu_group": group.resolve().name if group.exists() else "",
        "iommu_peers": _iommu_peers(pci),
        "uppers": uppers,
        "phc": clock_of(pci),
    }


def _iommu_peers(pci: Path) -> list[dict[str, str]]:
    """Return the other devices of a device's IOMMU group and their drivers; bridges stay with the kernel anyway."""
    others = [path for path in sorted(pci.glob("iommu_group/devices/*")) if path.name != pci.name]
    return [
        {"pci": path.name, "driver": _driver(path)}
        for path in others
        if not text_of(path / "class").startswith(_PCI_BRIDGE)
    ]


def _uppers(interfaces: Path, name: str) -> set[str]:
    """Return the bonds, bridges, VLANs and VRFs on top of an interface, and those on top of them."""
    direct = {path.name[len("upper_") :] for path in (interfaces / name).glob("upper_*")}
    return direct.union(*(_uppers(interfaces, upper) for upper in direct))
