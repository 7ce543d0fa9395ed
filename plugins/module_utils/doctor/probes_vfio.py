"""Probes of what VFIO needs: the IOMMU, a module, a device's driver, its IOMMU group and who may open it."""

from __future__ import annotations

from .host import Host
from .knobs import ABSENT, Knob, Probe, Reading

DEVICES = "/sys/bus/pci/devices"
BRIDGE = "0x06"  # PCI's base class; a bridge stays with the kernel in any group
# Drivers beside which VFIO hands out the other devices of a group (Documentation/driver-api/vfio.rst).
HANDS_OFF = frozenset({"no driver", "vfio-pci", "pci-stub"})


def driver_of(host: Host, address: str) -> str:
    """Return the driver that has a PCI device."""
    link = host.path(f"{DEVICES}/{address}/driver")
    return link.resolve().name if link.exists() else "no driver"


def group_of(host: Host, address: str) -> str | None:
    """Return the number of a PCI device's IOMMU group; None without an IOMMU."""
    link = host.path(f"{DEVICES}/{address}/iommu_group")
    return link.resolve().name if link.exists() else None


def probe_iommu(host: Host, knob: Knob) -> Reading:  # noqa: ARG001
    """Look for a running IOMMU, and for devices that it has put into groups."""
    units = sorted(path.name for path in host.path("/sys/class/iommu").glob("*"))
    groups = len(list(host.path("/sys/kernel/iommu_groups").glob("*")))
    if not units or not groups:
        return Reading("off", running_ok=False)
    return Reading(f"{', '.join(units)}: {groups} groups", running_ok=True)


def probe_module(host: Host, knob: Knob) -> Reading:
    """Look whether a module is loaded, or built into the kernel; sysfs writes - as _."""
    loaded = host.path(f"/sys/module/{str(knob.argument('module')).replace('-', '_')}").is_dir()
    return Reading("loaded" if loaded else ABSENT, running_ok=loaded)


def probe_driver(host: Host, knob: Knob) -> Reading:
    """Compare the driver that has the PCI device `pci`."""
    address = knob.argument("pci")
    if not host.path(f"{DEVICES}/{address}").exists():
        return Reading("no such device", running_ok=False)
    found = driver_of(host, address)
    return Reading(found, running_ok=found == knob.want)


def probe_iommu_group(host: Host, knob: Knob) -> Reading:
    """Look whether the IOMMU group of the PCI device `pci` is VFIO's as a whole, but for its bridges."""
    address = knob.argument("pci")
    group = group_of(host, address)
    if group is None:
        return Reading("no group", running_ok=False)
    members = sorted(path.name for path in host.path(f"{DEVICES}/{address}/iommu_group/devices").glob("*"))
    drivers = {
        member: driver_of(host, member)
        for member in members
        if not (host.read(f"{DEVICES}/{member}/class") or "").startswith(BRIDGE)
    }
    told = ", ".join(f"{member} {driver}" for member, driver in drivers.items())
    return Reading(f"group {group}: {told}", running_ok=HANDS_OFF.issuperset(drivers.values()))


def probe_vfio_owner(host: Host, knob: Knob) -> Reading:
    """Compare owner, group and mode of the file by which the PCI device `pci` is opened, /dev/vfio/GROUP.

    Not by the file's name in the fragment: the numbers of IOMMU groups may change from boot to boot.
    """
    group = group_of(host, knob.argument("pci"))
    if group is None:
        return Reading("no IOMMU group", running_ok=False)
    found = host.owner(f"/dev/vfio/{group}") or ABSENT
    return Reading(f"/dev/vfio/{group} {found}", running_ok=found == knob.want)


PROBES = {
    "iommu": Probe(probe_iommu, "kernel"),
    "module": Probe(probe_module, "kernel"),
    "driver": Probe(probe_driver, "kernel"),
    "iommu_group": Probe(probe_iommu_group, "kernel"),
    "vfio_owner": Probe(probe_vfio_owner, "kernel"),
}
