"""Files that stand for a host's sysfs and procfs."""

from __future__ import annotations

from pathlib import Path

ROUTE = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def add_nic(root: Path, name: str, pci: str, driver: str, node: int, group: str = "", *, virtio: bool = False) -> None:
    """Add a NIC as sysfs shows it: /sys/class/net/NAME/device leads to the PCI device, virtio's to one below it."""
    device = root / "sys/devices/pci0000:00" / pci
    write(device / "numa_node", f"{node}\n")
    (root / "sys/bus/pci/drivers" / driver).mkdir(parents=True, exist_ok=True)
    (device / "driver").symlink_to(root / "sys/bus/pci/drivers" / driver)
    if group:
        (root / "sys/kernel/iommu_groups" / group).mkdir(parents=True, exist_ok=True)
        (device / "iommu_group").symlink_to(root / "sys/kernel/iommu_groups" / group)
    (root / "sys/class/net" / name).mkdir(parents=True)
    leaf = device / "virtio0" if virtio else device
    leaf.mkdir(exist_ok=True)
    (root / "sys/class/net" / name / "device").symlink_to(leaf)
