"""What the model refuses of NICs and the clock, a sentence each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.tests.unit.support.fake_host import (
    ROUTE,
    add_default_route,
    add_nic,
    enable,
    stack,
    write,
)

HostFiles = Callable[..., Path]

DATA = {"name": "enp0s4", "pci": "0000:00:04.0"}
READ = {"reader": "book"}
LINE_A = {"interface": "enp0s4"}
PAGES = [{"node": 1, "size": "2M", "count": 64}]


def refused(root: Path, nic: dict[str, Any] | None = None, **changes: Any) -> list[str]:
    """Return the refusals for an inventory whose book runs on node 1 and whose data NIC is enp0s4, with changes."""
    inventory: dict[str, Any] = {
        "isolated_cpus": "2-3",
        "housekeeping_cpus": "",
        "smt_siblings": "online",
        "services": [{"name": "book", "cpu": 3}],
        "hugepages": PAGES,
        "management_nic": "",
        "data_nics": [DATA | (nic or {})],
        "clock": {"mode": "host"},
        "accept_risk": [],
        "kernel_cmdline_extra": [],
        "transport": {},
    }
    return refusals(Wish.from_inventory(inventory | changes), Host.from_facts(read_host(root)))


def with_nics(host_files: HostFiles, *, driver: str = "igb", node: int = 1, **files: Any) -> Path:
    """Return a host with the management NIC enp0s3 in IOMMU group 3 and the data NIC enp0s4 in group 4."""
    root = host_files(**files)
    add_nic(root, "enp0s3", "0000:00:03.0", "virtio-pci", 0, group="3", virtio=True)
    add_nic(root, "enp0s4", "0000:00:04.0", driver, node, group="4", phc="ptp0")
    return root


@pytest.mark.parametrize("use", ["kernel", "af_xdp", "vfio"])
def test_a_nic_of_its_own_is_granted(host_files: HostFiles, use: str) -> None:
    root = with_nics(host_files)
    add_default_route(root, "enp0s3")
    assert refused(root, {"use": use}, management_nic="enp0s3") == []


def test_a_data_nic_is_on_the_node_of_its_reader(host_files: HostFiles) -> None:
    root = with_nics(host_files, node=0)
    assert refused(root, READ, transport=LINE_A) == [
        "enp0s4 is on node 0 but its reader book on node 1: give the reader a CPU of node 0, "
        "or allow it with allow_remote_node: true in topology_data_nics."
    ]
    assert refused(root, READ | {"allow_remote_node": True}, transport=LINE_A) == []


def test_a_nic_whose_node_the_firmware_does_not_tell_is_granted(host_files: HostFiles) -> None:
    assert refused(with_nics(host_files, node=-1), READ, transport=LINE_A) == []


def test_a_reader_is_a_service(host_files: HostFiles) -> None:
    assert refused(with_nics(host_files), {"reader": "bock"}) == [
        "The reader bock of enp0s4 isn't in topology_services: "
        "add it there, or change the reader in topology_data_nics."
    ]


@pytest.mark.parametrize(
    ("transport", "granted"),
    [
        pytest.param({}, False, id="no line at all"),
        pytest.param({"interface": "enp0s3"}, False, id="line A by another NIC"),
        pytest.param({"interface": "enp0s3", "interface_b": "enp0s4"}, False, id="line B without a group"),
        pytest.param({"interface": "enp0s3", "interface_b": "enp0s4", "group_b": "239.0.0.1"}, True, id="line B"),
        pytest.param({"interface": "enp0s4"}, True, id="line A"),
    ],
)
@pytest.mark.parametrize("node", [1, -1], ids=["node 1", "no node that the firmware tells"])
def test_what_the_book_process_reads_is_a_line(
    host_files: HostFiles, transport: dict[str, str], node: int, *, granted: bool
) -> None:
    refusal = (
        "enp0s4 is read by book, but no line of the engine's transport names it: make it transport.interface, "
        "or transport.interface_b beside a group_b, in feed_engine_settings or feed_engine_host_settings, "
        "or take its reader out of topology_data_nics."
    )
    root = with_nics(host_files, node=node)
    assert refused(root, READ, transport=transport) == ([] if granted else [refusal])
    # What other services read is theirs to say.
    services = [{"name": "strategy", "cpu": 3}]
    assert refused(root, {"reader": "strategy"}, services=services, transport=transport) == []


@pytest.mark.parametrize(("use", "name"), [("af_xdp", "AF_XDP"), ("vfio", "VFIO")])
class TestTheManagementNicStaysWithTheKernel:
    @staticmethod
    def sentence(name: str, why: str) -> list[str]:
        return [
            f"enp0s4 can't be for {name}, since it {why}: "
            "set its use to kernel in topology_data_nics, or manage the host by another NIC."
        ]

    def test_named_in_the_inventory(self, host_files: HostFiles, use: str, name: str) -> None:
        root = with_nics(host_files)
        assert refused(root, {"use": use}, management_nic="enp0s4") == self.sentence(name, "is topology_management_nic")
        assert refused(root, {"use": "kernel"}, management_nic="enp0s4") == []

    def test_default_route(self, host_files: HostFiles, use: str, name: str) -> None:
        root = with_nics(host_files)
        add_default_route(root, "enp0s4")
        # What the inventory says of another NIC doesn't save it.
        refusal = refused(root, {"use": use}, management_nic="enp0s3")
        assert refusal == self.sentence(name, "carries a default route")

    def test_address_of_the_ssh_session(self, host_files: HostFiles, use: str, name: str) -> None:
        root = with_nics(host_files)
        write(root / "proc/net/route", ROUTE + "enp0s4 0002000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n")
        write(root / "proc/self/environ", "SSH_CONNECTION=10.0.2.2 40000 10.0.2.15 22\0")
        assert refused(root, {"use": use}) == self.sentence(name, "carries the SSH session")

    @pytest.mark.parametrize("upper", ["bond0", "br0", "enp0s4.7"])
    def test_below_a_bond_bridge_or_vlan(self, host_files: HostFiles, use: str, name: str, upper: str) -> None:
        root = with_nics(host_files)
        stack(root, upper, "enp0s4")
        add_default_route(root, upper)
        assert refused(root, {"use": use}) == self.sentence(name, f"lies below {upper}, which carries a default route")

    def test_below_a_vlan_of_a_bond_that_the_inventory_names(self, host_files: HostFiles, use: str, name: str) -> None:
        root = with_nics(host_files)
        stack(root, "bond0", "enp0s4")
        stack(root, "bond0.7", "bond0")
        refusal = refused(root, {"use": use}, management_nic="bond0.7")
        assert refusal == self.sentence(name, "lies below bond0.7, which is topology_management_nic")


def test_vfio_would_take_the_management_nic_with_the_iommu_group(host_files: HostFiles) -> None:
    root = with_nics(host_files)
    add_nic(root, "enp0s5", "0000:00:05.0", "igb", 1, group="3")
    add_default_route(root, "enp0s3")
    nic = {"name": "enp0s5", "pci": "0000:00:05.0"}
    assert refused(root, nic | {"use": "vfio"}) == [
        "enp0s5 can't be for VFIO, since enp0s3 is in the same IOMMU group 3 and carries a default route: "
        "put one of them into another slot, or set its use to kernel or af_xdp in topology_data_nics."
    ]
    # AF_XDP leaves the device to its driver.
    assert refused(root, nic | {"use": "af_xdp"}) == []


def test_nics_without_a_group_share_none(host_files: HostFiles) -> None:
    root = host_files()
    add_nic(root, "enp0s3", "0000:00:03.0", "igb", 1)
    add_nic(root, "enp0s4", "0000:00:04.0", "igb", 1)
    assert refused(root, {"use": "vfio"}, management_nic="enp0s3") == []


def test_vfio_needs_an_iommu(host_files: HostFiles) -> None:
    root = with_nics(host_files, iommu_table="")
    assert refused(root, {"use": "vfio"}) == [
        "enp0s4 can't be for VFIO, since the firmware reports no IOMMU: switch VT-d or AMD-Vi on in the firmware, "
        "or set its use to kernel or af_xdp in topology_data_nics."
    ]
    assert refused(root, {"use": "af_xdp"}) == []


@pytest.mark.parametrize(
    ("device_class", "driver", "granted"),
    [
        ("0x010601", "ahci", False),
        ("0x010601", "", True),
        ("0x010601", "vfio-pci", True),
        ("0x060400", "pcieport", True),  # a bridge stays with the kernel
        ("0x020000", "igb", False),
    ],
)
def test_vfio_takes_an_iommu_group_as_a_whole(
    host_files: HostFiles, device_class: str, driver: str, granted: bool
) -> None:
    root = with_nics(host_files)
    add_nic(root, "", "0000:00:09.0", driver or "none", 1, group="4")
    device = root / "sys/devices/pci0000:00/0000:00:09.0"
    write(device / "class", f"{device_class}\n")
    if not driver:
        (device / "driver").unlink()
    refusal = (
        f"enp0s4 can't be for VFIO, since 0000:00:09.0 ({driver}) is in the same IOMMU group 4, which VFIO takes as a "
        "whole: put one of them into another slot, or set its use to kernel or af_xdp in topology_data_nics."
    )
    assert refused(root, {"use": "vfio"}) == ([] if granted else [refusal])
    assert refused(root, {"use": "kernel"}) == []


def test_both_ports_of_a_group_are_for_vfio(host_files: HostFiles) -> None:
    root = with_nics(host_files)
    add_nic(root, "enp0s5", "0000:00:05.0", "igb", 1, group="4")
    both = [DATA | {"use": "vfio"}, {"name": "enp0s5", "pci": "0000:00:05.0", "use": "vfio"}]
    assert refused(root, data_nics=both) == []


def test_vfio_would_take_the_engines_interface(host_files: HostFiles) -> None:
    root = with_nics(host_files)
    line_b = {"interface": "enp0s3", "interface_b": "enp0s4", "group_b": "239.0.0.1"}
    for key, transport in (("interface", LINE_A), ("interface_b", line_b)):
        assert refused(root, {"use": "vfio"}, transport=transport) == [
            "enp0s4 can't be for VFIO, since the feed engine sends and receives by it: set its use to kernel or af_xdp "
            f"in topology_data_nics, or change transport.{key} of feed_engine_settings."
        ]
    assert refused(root, {"use": "vfio"}, transport={"interface": "lo"}) == []
    assert refused(root, {"use": "af_xdp"}, transport={"interface": "enp0s4"}) == []


@pytest.mark.parametrize(("elsewhere", "beside"), [(64, None), (64, 0), (0, 0)])
def test_dpdk_needs_hugepages_beside_the_nic(host_files: HostFiles, elsewhere: int, beside: int | None) -> None:
    root = with_nics(host_files)
    pages = [{"node": node, "size": "2M", "count": n} for node, n in enumerate((elsewhere, beside)) if n is not None]
    assert refused(root, {"use": "vfio"}, hugepages=pages) == [
        "enp0s4 can't be for VFIO, since node 1, which it is on, has no hugepages and DPDK keeps its packets there: "
        "add some in topology_hugepages."
    ]


@pytest.mark.parametrize("pages", [[], [{"node": 0, "size": "2M", "count": 0}]])
def test_dpdk_needs_hugepages_where_the_node_is_not_told(
    host_files: HostFiles, pages: list[dict[str, int | str]]
) -> None:
    root = with_nics(host_files, node=-1)
    assert refused(root, {"use": "vfio"}, hugepages=pages) == [
        "enp0s4 can't be for VFIO, since no node has hugepages and DPDK keeps its packets there: "
        "add some in topology_hugepages."
    ]
    assert refused(root, {"use": "vfio"}, hugepages=[{"node": 0, "size": "2M", "count": 64}]) == []


def test_what_vfio_has_already_is_granted_again(host_files: HostFiles) -> None:
    root = host_files()
    add_nic(root, "", "0000:00:04.0", "vfio-pci", 1, group="4")
    assert refused(root, {"use": "vfio"}) == []
    # It goes back to a driver that can't be known now.
    assert refused(root, {"use": "af_xdp", "zero_copy": True}) == []


@pytest.mark.parametrize("driver", ["sfc", "ena", "bnxt_en"])
def test_zero_copy_needs_a_driver_that_has_it(host_files: HostFiles, driver: str) -> None:
    root = with_nics(host_files, driver=driver)
    assert refused(root, {"use": "af_xdp", "zero_copy": True}) == [
        f"The driver {driver} of enp0s4 has no AF_XDP zero-copy: set zero_copy to false in topology_data_nics, or take "
        "a NIC with one of gve, i40e, ice, igb, igc, intel-eth-pci, ixgbe, mlx5_core, nfp, stmmaceth, virtio-pci."
    ]
    assert refused(root, {"use": "af_xdp"}) == []


def test_zero_copy_needs_a_kernel_whose_driver_has_it(host_files: HostFiles) -> None:
    root = with_nics(host_files, driver="igb")
    assert refused(root, {"use": "af_xdp", "zero_copy": True}) == [
        "The driver igb of enp0s4 has AF_XDP zero-copy from Linux 6.14 on, and the host runs 6.12.48+deb13-amd64: "
        "set zero_copy to false in topology_data_nics, or boot a newer kernel."
    ]
    write(root / "proc/sys/kernel/osrelease", "6.14.0-1-amd64\n")
    assert refused(root, {"use": "af_xdp", "zero_copy": True}) == []


def test_zero_copy_is_granted_where_the_driver_has_it(host_files: HostFiles) -> None:
    assert refused(with_nics(host_files, driver="ice"), {"use": "af_xdp", "zero_copy": True}) == []


@pytest.mark.parametrize("use", ["kernel", "vfio"])
def test_zero_copy_is_for_af_xdp(host_files: HostFiles, use: str) -> None:
    assert refused(with_nics(host_files, driver="ice"), {"use": use, "zero_copy": True}) == [
        f"zero_copy of enp0s4 is for AF_XDP, but its use is {use}: change one of them in topology_data_nics."
    ]


@pytest.mark.parametrize(
    "clock",
    [
        {"mode": "chrony"},
        {"mode": "ptp-hardware", "interface": "enp0s4"},
        {"mode": "ptp-software", "interface": "enp0s3"},
    ],
)
def test_a_clock_with_one_owner_is_granted(host_files: HostFiles, clock: dict[str, str]) -> None:
    assert refused(with_nics(host_files), clock=clock) == []


@pytest.mark.parametrize(
    ("clock", "sentence"),
    [
        pytest.param(
            {"mode": "ptp-hardware", "interface": "enp0s3"},
            "enp0s3 has no PTP hardware clock: set the mode of topology_clock to ptp-software, "
            "or take an interface that has one (enp0s4).",
            id="hardware PTP without a PHC",
        ),
        pytest.param(
            {"mode": "ptp-software"},
            "topology_clock has the mode ptp-software but no interface: name the one that hears the grandmaster.",
            id="no interface",
        ),
        pytest.param(
            {"mode": "ptp-hardware", "interface": "eno9"},
            "The host has no NIC eno9, but enp0s3, enp0s4: change the interface of topology_clock.",
            id="interface absent",
        ),
    ],
)
def test_ptp_needs_an_interface_that_can(host_files: HostFiles, clock: dict[str, str], sentence: str) -> None:
    assert refused(with_nics(host_files), clock=clock) == [sentence]


def test_vfio_would_take_the_clock_with_the_nic(host_files: HostFiles) -> None:
    assert refused(with_nics(host_files), {"use": "vfio"}, clock={"mode": "ptp-hardware", "interface": "enp0s4"}) == [
        "enp0s4 can't be the interface of topology_clock, since VFIO takes it and its clock from the kernel: "
        "take another interface, or change its use in topology_data_nics."
    ]


@pytest.mark.parametrize(
    ("mode", "services", "owners"),
    [
        ("host", ["systemd-timesyncd.service"], ""),
        ("host", ["chrony.service", "phc2sys@eno1.service"], "chrony.service and phc2sys@eno1.service"),
        # With hardware stamps ptp4l steers the NIC's clock only.
        ("host", ["chrony.service", "ptp4l@enp0s4.service"], ""),
        ("host", ["chrony.service", "ptp4l@eno1.service"], "chrony.service and ptp4l@eno1.service"),
        ("host", ["chrony.service", "sfptpd.service"], "chrony.service and sfptpd.service"),
        ("host", ["ptpd.service", "timebeat.service"], "ptpd.service and timebeat.service"),
        # A mode of its own keeps the host's services away.
        ("chrony", ["chrony.service", "systemd-timesyncd.service"], ""),
        ("ptp-hardware", ["chrony.service", "phc2sys@eno1.service"], ""),
    ],
)
def test_the_clock_has_one_owner(host_files: HostFiles, mode: str, services: list[str], owners: str) -> None:
    root = with_nics(host_files)
    for service in services:
        name, _, instance = service.removesuffix(".service").partition("@")
        enable(root, service, f"{name}@.service" if instance else service)
    clock = {"mode": mode} | ({"interface": "enp0s4"} if mode.startswith("ptp") else {})
    assert refused(root, clock=clock) == (
        [
            f"The clock has 2 owners, {owners}: "
            "leave one, with systemctl disable --now on the host or with the mode of topology_clock."
        ]
        if owners
        else []
    )
