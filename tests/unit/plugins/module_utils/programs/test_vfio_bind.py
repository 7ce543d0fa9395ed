"""How wirebook-vfio-bind gives a device to vfio-pci, on a tree of files that stands for /sys/bus/pci."""

from __future__ import annotations

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.programs import vfio_bind

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]
ADDRESS = "0000:00:08.0"
BUS = "/sys/bus/pci"
DEVICE = f"{BUS}/devices/{ADDRESS}"


@pytest.fixture
def nic(host: FakeHost) -> FakeHost:
    """Return a host with a NIC that igb has."""
    host.path(DEVICE).mkdir(parents=True)
    host.path(f"{BUS}/drivers/igb").mkdir(parents=True)
    host.path(f"{BUS}/drivers/vfio-pci").mkdir(parents=True)
    host.path(f"{DEVICE}/driver").symlink_to("../../drivers/igb")
    host.write(f"{BUS}/drivers_probe", "")
    return host


def bind_by(host: FakeHost, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the kernel bind the device to a driver when it is probed."""
    link = host.path(f"{DEVICE}/driver")
    seen: list[str] = []

    def driver_of(_address: str) -> str:
        if host.read(f"{BUS}/drivers_probe") and not seen:
            seen.append(driver)
            link.unlink()
            link.symlink_to(f"../../drivers/{driver}")
        return link.readlink().name

    monkeypatch.setattr(vfio_bind, "driver_of", driver_of)


def run(*arguments: str) -> int:
    return vfio_bind.PROGRAM.main(arguments)


def test_a_device_is_taken_from_its_driver_and_given_to_vfio(nic: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    bind_by(nic, "vfio-pci", monkeypatch)
    assert run(ADDRESS) == 0
    assert nic.calls() == ["modprobe vfio-pci"]
    assert nic.read(f"{DEVICE}/driver_override") == "vfio-pci\n"
    assert nic.read(f"{BUS}/drivers/igb/unbind") == ADDRESS
    assert nic.read(f"{BUS}/drivers_probe") == ADDRESS
    # vfio-pci is told of no model: it would take every NIC of it.
    assert not nic.path(f"{BUS}/drivers/vfio-pci/new_id").exists()


def test_a_device_without_a_driver_is_given_too(nic: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    nic.path(f"{DEVICE}/driver").unlink()
    drivers = iter(["", "vfio-pci"])
    monkeypatch.setattr(vfio_bind, "driver_of", lambda _: next(drivers))
    assert run(ADDRESS) == 0
    assert not nic.path(f"{BUS}/drivers/igb/unbind").exists()


def test_one_that_is_bound_is_left(nic: FakeHost) -> None:
    nic.path(f"{DEVICE}/driver").unlink()
    nic.path(f"{DEVICE}/driver").symlink_to("../../drivers/vfio-pci")
    assert run(ADDRESS) == 0
    assert nic.read(f"{BUS}/drivers_probe") == ""


def test_a_driver_that_does_not_take_it(nic: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    bind_by(nic, "igb", monkeypatch)
    assert run(ADDRESS) == 1
    assert capsys.readouterr().err == f"wirebook-vfio-bind: vfio-pci didn't take {ADDRESS}: `dmesg` says why.\n"


def test_a_module_that_is_not_there(nic: FakeHost, capsys: Captured) -> None:
    nic.install("modprobe", "exit 1")
    assert run(ADDRESS) == 1
    assert "can't be loaded" in capsys.readouterr().err
    assert not nic.path(f"{DEVICE}/driver_override").exists()


@pytest.mark.parametrize("address", ["0000:00:09.0", "0000:00:0A.0"])
def test_a_device_that_the_host_has_not(nic: FakeHost, capsys: Captured, address: str) -> None:
    assert run(address) == 2
    assert capsys.readouterr().err == (
        f"wirebook-vfio-bind: the host has no PCI device {address.lower()}: correct topology_data_nics, then deploy.\n"
    )
    assert nic.calls() == []


def test_the_driver_of_a_device_is_read_from_its_link(nic: FakeHost) -> None:
    assert vfio_bind.driver_of(ADDRESS) == "igb"
    nic.path(f"{DEVICE}/driver").unlink()
    assert vfio_bind.driver_of(ADDRESS) == ""
