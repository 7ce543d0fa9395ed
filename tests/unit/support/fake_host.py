"""Files that stand for a host's sysfs and procfs."""

from __future__ import annotations

from pathlib import Path

ROUTE = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_nic(
    root: Path, name: str, pci: str, driver: str, node: int, group: str = "", *, virtio: bool = False, phc: str = ""
) -> None:
    """Add a NIC as sysfs shows it: /sys/class/net/NAME/device leads to the PCI device, virtio's to one below it.

    Without a name it has no interface, as one that VFIO has.
    """
    device = root / "sys/devices/pci0000:00" / pci
    write(device / "numa_node", f"{node}\n")
    write(device / "class", "0x020000\n")
    (root / "sys/bus/pci/devices").mkdir(parents=True, exist_ok=True)
    (root / "sys/bus/pci/devices" / pci).symlink_to(device)
    (root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
    (device / "driver").symlink_to(root / "sys/bus/pci/drivers" / driver)
    if group:
        devices = root / "sys/kernel/iommu_groups" / group / "devices"
        devices.mkdir(parents=True, exist_ok=True)
        (devices / pci).symlink_to(device)
        (device / "iommu_group").symlink_to(devices.parent)
    if phc:
        (device / "ptp" / phc).mkdir(parents=True)
    if name:
        (root / "sys/class/net" / name).mkdir(parents=True)
        leaf = device / "virtio0" if virtio else device
        leaf.mkdir(exist_ok=True)
        (root / "sys/class/net" / name / "device").symlink_to(leaf)


def add_interface(root: Path, name: str, device: str, address: str = "") -> None:
    """Add an interface of a device below /sys/devices, such as a second port on a PCI function, or a USB NIC."""
    leaf = root / "sys/devices" / device
    (leaf / "net" / name).mkdir(parents=True, exist_ok=True)
    (root / "sys/class/net" / name).mkdir(parents=True)
    (root / "sys/class/net" / name / "device").symlink_to(leaf)
    write(root / "sys/class/net" / name / "address", f"{address}\n")


def set_distances(root: Path, rows: dict[int, str]) -> None:
    """Write how far the nodes are from each other, as ACPI's SLIT has it."""
    for node, row in rows.items():
        write(root / f"sys/devices/system/node/node{node}/distance", f"{row}\n")


def set_sockets(root: Path, sockets: dict[int, int]) -> None:
    """Write in which socket each CPU is."""
    for cpu, socket in sockets.items():
        write(root / f"sys/devices/system/cpu/cpu{cpu}/topology/physical_package_id", f"{socket}\n")


def stack(root: Path, upper: str, lower: str) -> None:
    """Put a bond, bridge or VLAN on top of an interface."""
    net = root / "sys/class/net"
    (net / upper).mkdir(exist_ok=True)
    (net / lower / f"upper_{upper}").symlink_to(net / upper)


def add_default_route(root: Path, interface: str) -> None:
    """Lead everything through an interface."""
    write(root / "proc/net/route", ROUTE + f"{interface} 00000000 0202000A 0003 0 0 0 00000000 0 0 0\n")


def enable(root: Path, service: str, unit: str) -> None:
    """Enable a service whose unit file a package brought along."""
    write(root / "usr/lib/systemd/system" / unit, "")
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True, exist_ok=True)
    (wants / service).symlink_to(f"/usr/lib/systemd/system/{unit}")
