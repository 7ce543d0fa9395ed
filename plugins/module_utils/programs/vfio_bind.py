"""wirebook-vfio-bind: give a PCI device to vfio-pci.

Not `driverctl load-override`: that of Debian 13 (0.115) also tells vfio-pci the vendor and model (new_id), and vfio-pci
then takes every NIC of that model whose driver isn't loaded yet, be it the one that manages the host. driver_override
names one device (Documentation/ABI/testing/sysfs-bus-pci).
"""

from __future__ import annotations

import argparse
import subprocess

from .arguments import pci_address
from .program import Argument, FailedError, MistakeError, Program
from .system import at

DRIVER = "vfio-pci"
MODPROBE = "/usr/sbin/modprobe"
BUS = "/sys/bus/pci"


def driver_of(address: str) -> str:
    """Return the driver that has a device, or ""."""
    link = at(f"{BUS}/devices/{address}/driver")
    return link.readlink().name if link.is_symlink() else ""


def run(arguments: argparse.Namespace) -> int:
    """Bind the device, unless it is."""
    address = arguments.address
    device = at(f"{BUS}/devices/{address}")
    if not device.exists():
        raise MistakeError(f"the host has no PCI device {address}: correct topology_data_nics, then deploy.")
    if subprocess.run([MODPROBE, DRIVER], check=False).returncode:
        raise FailedError(f"the module {DRIVER} can't be loaded: boot one of Debian's own kernels.")
    (device / "driver_override").write_text(f"{DRIVER}\n")
    before = driver_of(address)
    if before == DRIVER:
        return 0
    if before:
        (device / "driver/unbind").write_text(address)
    at(f"{BUS}/drivers_probe").write_text(address)
    if driver_of(address) != DRIVER:
        raise FailedError(f"{DRIVER} didn't take {address}: `dmesg` says why.")
    return 0


PROGRAM = Program(
    name="wirebook-vfio-bind",
    summary="give one PCI device to VFIO",
    description=(
        "Takes a PCI device from its driver and gives it to vfio-pci, for DPDK programs. The role vfio has "
        "driverctl@.service run it at boot for each data NIC with `use: vfio`.",
        "It binds that one device only. Debian 13's driverctl would tell vfio-pci the NIC's model, and vfio-pci might "
        "take every NIC of that model, even the one that manages the host.",
    ),
    run=run,
    arguments=(Argument("ADDRESS", "the device's PCI address, such as 0000:3b:00.0", {"type": pci_address}),),
    files={"/etc/systemd/system/driverctl@pci-ADDRESS.service.d/60-wirebook.conf": "runs it at each boot"},
    examples={"driverctl unset-override 0000:3b:00.0": "Give the device back to its own driver."},
    see_also=("driverctl(8)", "node-doctor(8)"),
)
