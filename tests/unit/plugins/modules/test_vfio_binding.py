"""The module vfio_binding, in a mount namespace whose /etc, /dev and PCI devices are the test's own.

That a real kernel binds and that a user opens the device is for the twin (tests/twin/test_deploy.py).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.run_module import run_module

ADDRESS = "0000:00:08.0"
# Overlays keep what the machine has and take what the test writes; the second argument is the test's PCI bus.
ENTER = """
set -eu
for folder in /etc /dev /usr/local/sbin; do
  mkdir -p "$1$folder" "$1/work$folder"
  mount -t overlay -o "lowerdir=$folder,upperdir=$1$folder,workdir=$1/work$folder" none "$folder"
done
mount --bind "$1/pci" /sys/bus/pci
shift
exec "$@"
"""
# What the kernel and udev do, and driverctl with them.
BIND = """#!/bin/sh
ln -sfn /sys/bus/pci/drivers/vfio-pci "/sys/bus/pci/devices/$1/driver"
mkdir -p /dev/vfio && : > /dev/vfio/5 && chmod 0600 /dev/vfio/5
"""
DRIVERCTL = """#!/bin/sh
case $1 in
  set-override) echo "$3" > "/etc/driverctl.d/pci-$2"; driver=$3 ;;
  unset-override) rm "/etc/driverctl.d/pci-$2"; driver=igb ;;
esac
ln -sfn "/sys/bus/pci/drivers/$driver" "/sys/bus/pci/devices/$2/driver"
"""
UDEVADM = """#!/bin/sh
[ "$1" = trigger ] || exit 0
for device in /dev/vfio/[0-9]*; do chmod 0660 "$device"; done
"""


class Host:
    """A host with one NIC, which the driver igb has, in the IOMMU group 5."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.within = ["unshare", "--mount", "sh", "-c", ENTER, "enter", str(root)]
        self.nic = root / "pci/devices" / ADDRESS
        for folder in ("etc", "usr/local/sbin", f"pci/devices/{ADDRESS}", "pci/drivers/igb", "pci/drivers/vfio-pci"):
            (root / folder).mkdir(parents=True)
        (self.nic / "driver").symlink_to("/sys/bus/pci/drivers/igb")
        (root / "pci/groups/5").mkdir(parents=True)
        (self.nic / "iommu_group").symlink_to("/sys/bus/pci/groups/5")
        for path, script in (
            ("usr/local/sbin/wirebook-vfio-bind", BIND),
            ("usr/local/sbin/driverctl", DRIVERCTL),
            ("usr/local/sbin/udevadm", UDEVADM),
        ):
            (root / path).write_text(script)
            (root / path).chmod(0o755)

    def give(self, *devices: str, check: bool = False, only_back: bool = False, group: str = "root") -> dict[str, Any]:
        arguments: dict[str, Any] = {"devices": list(devices), "group": group, "ledger": str(self.root / "ledger")}
        arguments |= {"only_back": only_back}
        return run_module("vfio_binding", arguments | {"_ansible_check_mode": check}, self.within)

    def undo(self) -> dict[str, Any]:
        arguments = {"state": "undone", "folder": str(self.root / "ledger")}
        return run_module("ledger", arguments, self.within)

    @property
    def driver(self) -> str:
        return (self.nic / "driver").readlink().name

    @property
    def override(self) -> Path:
        return self.root / "etc/driverctl.d" / f"pci-{ADDRESS}"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setenv("PATH", f"/usr/local/sbin:{os.environ['PATH']}")
    (tmp_path / "usr/local/sbin/systemctl").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "usr/local/sbin/systemctl").chmod(0o755)
    if subprocess.run([*host.within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("mounting overlays in a namespace isn't allowed here")
    return host


def test_a_device_is_given_to_vfio_for_good(host: Host) -> None:
    assert host.give(ADDRESS)["done"] == [f"{ADDRESS} given to VFIO", f"{ADDRESS} opened to root"]
    assert host.driver == "vfio-pci"
    assert host.override.read_text() == "vfio-pci\n"
    assert not host.give(ADDRESS)["changed"]


def test_what_was_changed_by_hand_is_mended(host: Host) -> None:
    host.give(ADDRESS)
    (host.root / "dev/vfio/5").chmod(0o666)
    assert host.give(ADDRESS)["done"] == [f"{ADDRESS} opened to root"]
    host.override.unlink()
    assert host.give(ADDRESS)["changed"]
    assert host.override.read_text() == "vfio-pci\n"


def test_a_device_that_is_not_for_vfio_any_more_goes_back(host: Host) -> None:
    host.give(ADDRESS)
    assert host.give()["done"] == [f"{ADDRESS} given back"]
    assert host.driver == "igb"
    assert not host.override.exists()
    # What somebody gives to VFIO later by other means is theirs.
    host.override.write_text("vfio-pci\n")
    assert not host.give()["changed"]


def test_nothing_is_given_to_vfio_before_its_time(host: Host) -> None:
    assert not host.give(ADDRESS, only_back=True)["changed"]
    assert host.driver == "igb"
    host.give(ADDRESS)
    assert host.give(only_back=True)["done"] == [f"{ADDRESS} given back"]
    assert host.driver == "igb"


def test_the_operators_own_override_comes_back(host: Host) -> None:
    host.override.parent.mkdir()
    host.override.write_text("uio_pci_generic\n")
    assert not host.give()["changed"]
    host.give(ADDRESS)
    assert host.give()["done"] == [f"{ADDRESS} given back"]
    assert host.driver == "uio_pci_generic"
    assert host.override.read_text() == "uio_pci_generic\n"


def test_an_undo_gives_the_device_back_and_leaves_nothing(host: Host) -> None:
    host.give(ADDRESS)
    assert f"driver {ADDRESS}" in host.undo()["undone"]
    assert host.driver == "igb"
    assert not (host.root / "etc/driverctl.d").is_dir()


def test_without_an_iommu_nothing_is_taken_from_its_driver(host: Host) -> None:
    (host.nic / "iommu_group").unlink()
    assert host.give(ADDRESS)["msg"].startswith(f"{ADDRESS} has no IOMMU group, so that the kernel's IOMMU is off: ")
    assert host.driver == "igb"
    assert not host.override.exists()


def test_a_group_that_isnt_there_is_a_sentence_before_anything_is_changed(host: Host) -> None:
    said = host.give(ADDRESS, group="nosuchgroup")
    assert said["msg"] == "There is no group nosuchgroup: run the role account first, which makes it."
    assert host.driver == "igb"


def test_check_mode_says_what_it_would_do_and_does_nothing(host: Host) -> None:
    assert host.give(ADDRESS, check=True)["done"] == [f"{ADDRESS} given to VFIO"]
    assert host.driver == "igb"
    assert not host.override.exists()
