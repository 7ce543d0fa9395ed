"""Probes of what VFIO needs, on trees of files that stand for hosts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree

ADDRESS = "0000:00:08.0"
PEER = "0000:00:09.0"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def add_device(tree: Tree, address: str, driver: str, group: str = "5", device_class: str = "0x020000") -> None:
    """Add a PCI device as sysfs shows it."""
    device = tree.root / "sys/devices/pci0000:00" / address
    tree.write(f"/sys/devices/pci0000:00/{address}/class", f"{device_class}\n")
    if driver:
        drivers = tree.root / "sys/bus/pci/drivers" / driver
        drivers.mkdir(parents=True, exist_ok=True)
        (device / "driver").symlink_to(drivers)
    devices = tree.root / "sys/bus/pci/devices"
    devices.mkdir(parents=True, exist_ok=True)
    (devices / address).symlink_to(device)
    if group:
        members = tree.root / "sys/kernel/iommu_groups" / group / "devices"
        members.mkdir(parents=True, exist_ok=True)
        (members / address).symlink_to(device)
        (device / "iommu_group").symlink_to(members.parent)


def knob(probe: str, want: str, **arguments: Any) -> dict[str, Any]:
    return {"name": "k", "probe": probe, "want": want} | arguments


def test_the_iommu_runs(tree: Tree) -> None:
    tree.desire(knob("iommu", "on"))
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "off")
    (tree.root / "sys/class/iommu/dmar0").mkdir(parents=True)
    assert tree.status() == "FAIL"  # the unit is there, but the kernel uses it for nothing
    (tree.root / "sys/kernel/iommu_groups/0").mkdir(parents=True)
    assert (tree.only()["status"], tree.only()["running"]) == ("PASS", "dmar0: 1 groups")


def test_a_module_is_loaded(tree: Tree) -> None:
    tree.desire(knob("module", "loaded", module="vfio-pci"))
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "absent")
    (tree.root / "sys/module/vfio_pci").mkdir(parents=True)
    assert tree.status() == "PASS"


@pytest.mark.parametrize(("driver", "status"), [("vfio-pci", "PASS"), ("igb", "FAIL"), ("", "FAIL")])
def test_the_driver_of_a_device(tree: Tree, driver: str, status: str) -> None:
    add_device(tree, ADDRESS, driver)
    tree.desire(knob("driver", "vfio-pci", pci=ADDRESS))
    assert (tree.only()["status"], tree.only()["running"]) == (status, driver or "no driver")


def test_a_device_that_was_taken_out(tree: Tree) -> None:
    tree.desire(knob("driver", "vfio-pci", pci=ADDRESS))
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "no such device")


def test_the_driver_that_the_next_boot_binds(tree: Tree) -> None:
    add_device(tree, ADDRESS, "vfio-pci")
    place = f"/etc/driverctl.d/pci-{ADDRESS}"
    tree.desire(knob("driver", "vfio-pci", pci=ADDRESS, boot_file=place, boot_line="vfio-pci"))
    assert tree.only()["reason"] == "right now, but the next boot won't set it"
    tree.write(place, "vfio-pci\n")
    assert tree.status() == "PASS"


@pytest.mark.parametrize(
    ("driver", "device_class", "status"),
    [
        ("vfio-pci", "0x020000", "PASS"),
        ("", "0x020000", "PASS"),
        ("pci-stub", "0x020000", "PASS"),
        ("pcieport", "0x060400", "PASS"),
        ("ahci", "0x010601", "FAIL"),
    ],
)
def test_an_iommu_group_is_vfios_as_a_whole(tree: Tree, driver: str, device_class: str, status: str) -> None:
    add_device(tree, ADDRESS, "vfio-pci")
    add_device(tree, PEER, driver, device_class=device_class)
    tree.desire(knob("iommu_group", "whole", pci=ADDRESS))
    found = tree.only()
    assert found["status"] == status
    assert found["running"].startswith(f"group 5: {ADDRESS} vfio-pci")
    assert (PEER in found["running"]) == (not device_class.startswith("0x06"))


def test_a_device_without_an_iommu_has_no_group(tree: Tree) -> None:
    add_device(tree, ADDRESS, "igb", group="")
    tree.desire(knob("iommu_group", "whole", pci=ADDRESS))
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "no group")
    tree.desire(knob("vfio_owner", "root root 0660", pci=ADDRESS))
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "no IOMMU group")


@pytest.mark.skipif(os.geteuid() != 0, reason="the files have to be root's")
def test_who_may_open_the_device_of_a_group(tree: Tree) -> None:
    add_device(tree, ADDRESS, "vfio-pci", group="7")
    tree.desire(knob("vfio_owner", "root root 0660", pci=ADDRESS))
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "/dev/vfio/7 absent")
    tree.write("/dev/vfio/7", "")
    (tree.root / "dev/vfio/7").chmod(0o600)
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "/dev/vfio/7 root root 0600")
    (tree.root / "dev/vfio/7").chmod(0o660)
    assert tree.status() == "PASS"
