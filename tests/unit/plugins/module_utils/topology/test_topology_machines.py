"""Machines that aren't as one thinks: devices with several interfaces, nodes without CPUs or memory, other owners."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.topology.derive import derive
from ansible_collections.wirebook.node.plugins.module_utils.topology.drawing import draw
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.tests.unit.support.fake_host import (
    add_default_route,
    add_interface,
    add_nic,
    enable,
    set_distances,
    set_sockets,
    stack,
    write,
)

HostFiles = Callable[..., Path]
PCI = "pci0000:00/{}"


class Plan:
    """What the model makes of a host and of what is asked of it."""

    def __init__(self, root: Path, **changes: Any) -> None:
        inventory: dict[str, Any] = {
            "isolated_cpus": "2-3",
            "housekeeping_cpus": "",
            "smt_siblings": "online",
            "services": [{"name": "book", "cpu": 3}],
            "hugepages": [],
            "management_nic": "",
            "data_nics": [],
            "clock": {"mode": "host"},
            "accept_risk": [],
            "kernel_cmdline_extra": [],
            "transport": {},
        }
        self.facts = read_host(root)
        self.host = Host.from_facts(self.facts)
        self.wish = Wish.from_inventory(inventory | changes)
        self.refused = refusals(self.wish, self.host)

    def derived(self) -> dict[str, Any]:
        assert self.refused == []
        return derive(self.wish, self.host)

    def drawn(self) -> list[str]:
        assert self.refused == []
        return draw("colo1", self.wish, self.host)


def data(name: str, pci: str, use: str = "kernel", **more: Any) -> dict[str, Any]:
    return {"name": name, "pci": pci, "use": use, **more}


class TestTwoInterfacesOfOneDevice:
    """Two ports on one PCI function (ConnectX-3, Chelsio), and the representors of a NIC's switch."""

    @pytest.fixture
    def root(self, host_files: HostFiles) -> Path:
        root = host_files(iommu_table="DMAR")
        add_nic(root, "ens2", "0000:03:00.0", "mlx4_core", 1)
        add_interface(root, "ens2d1", PCI.format("0000:03:00.0"), "02:00:00:00:00:02")
        write(root / "sys/class/net/ens2/address", "02:00:00:00:00:01\n")
        return root

    @pytest.mark.parametrize(("name", "mac"), [("ens2", "02:00:00:00:00:01"), ("ens2d1", "02:00:00:00:00:02")])
    def test_are_told_apart_by_name(self, root: Path, name: str, mac: str) -> None:
        plan = Plan(root, data_nics=[data(name, "0000:03:00.0", "af_xdp")])
        assert plan.host.nic_for(plan.wish.data_nics[0]).name == name  # type: ignore[union-attr]  # it fails otherwise
        assert plan.derived()["data_nics"][0]["mac"] == mac

    def test_have_to_be_told_apart(self, root: Path) -> None:
        assert Plan(root, data_nics=[data("line-a", "0000:03:00.0")]).refused == [
            "0000:03:00.0 has several interfaces (ens2, ens2d1), and none is called line-a: "
            "name the one that is meant in topology_data_nics."
        ]

    def test_the_other_may_be_for_management(self, root: Path) -> None:
        add_default_route(root, "ens2")
        assert Plan(root, data_nics=[data("ens2d1", "0000:03:00.0", "af_xdp")]).refused == []
        assert "carries a default route" in Plan(root, data_nics=[data("ens2", "0000:03:00.0", "af_xdp")]).refused[0]

    def test_vfio_takes_both(self, root: Path) -> None:
        add_default_route(root, "ens2")
        pages = [{"node": 1, "size": "2M", "count": 64}]
        (sentence,) = Plan(root, hugepages=pages, data_nics=[data("ens2d1", "0000:03:00.0", "vfio")]).refused
        assert sentence.startswith("ens2d1 can't be for VFIO, since it carries a default route")

    def test_a_device_with_one_interface_needs_nothing_else_to_be_known(self, host_files: HostFiles) -> None:
        root = host_files()
        add_nic(root, "eth4", "0000:00:04.0", "igb", 1)
        assert "mac" not in Plan(root, data_nics=[data("line-a", "0000:00:04.0")]).derived()["data_nics"][0]


@pytest.mark.parametrize(
    "below",
    [
        pytest.param("usb1/1-11/1-11.3/1-11.3:2.0", id="a BMC's USB NIC"),
        pytest.param("mlx5_core.sf.2", id="a subfunction"),
        pytest.param("domain0/0-1/0-1.0", id="thunderbolt"),
    ],
)
def test_what_lies_below_a_pci_device_is_no_pci_nic(host_files: HostFiles, below: str) -> None:
    root = host_files()
    add_nic(root, "", "0000:00:14.0", "xhci_hcd", 0)
    write(root / "sys/devices/pci0000:00/0000:00:14.0/class", "0x0c0330\n")
    add_interface(root, "enx1", f"{PCI.format('0000:00:14.0')}/{below}")
    plan = Plan(root, data_nics=[data("enx1", "0000:00:14.0")])
    assert plan.facts["nics"] == []
    assert "The host has no NIC at PCI address 0000:00:14.0" in plan.refused[-1]
    # The host may be managed by it all the same.
    assert Plan(root, management_nic="enx1").refused == []


class TestNames:
    """A data NIC gets its name at the next boot: it mustn't be another's, or none that the kernel takes."""

    @pytest.fixture
    def root(self, host_files: HostFiles) -> Path:
        root = host_files()
        for port, name in enumerate(("eno1", "eno2", "eno3")):
            add_nic(root, name, f"0000:01:00.{port}", "igb", 1)
            write(root / f"sys/class/net/{name}/address", f"02:00:00:00:00:0{port}\n")
        stack(root, "bond0", "eno2")
        (root / "sys/class/net/lo").mkdir()
        add_default_route(root, "eno1")
        return root

    @pytest.mark.parametrize(
        ("name", "pci", "sentence"),
        [
            ("eno1", 1, "eno1 is the name of another interface at 0000:01:00.0"),
            ("eno3", 1, "eno3 is the name of another interface at 0000:01:00.2"),
            ("bond0", 1, "bond0 is the name of another interface: call the NIC at 0000:01:00.1 otherwise"),
            ("mgmt0", 1, "mgmt0 is the name of another interface: call"),
        ],
    )
    def test_of_another_interface_are_refused(self, root: Path, name: str, pci: int, sentence: str) -> None:
        management = {"management_nic": name} if name == "mgmt0" else {}
        if name == "mgmt0":
            stack(root, "mgmt0", "eno1")
        refused = Plan(root, data_nics=[data(name, f"0000:01:00.{pci}")], **management).refused
        assert any(one.startswith(sentence) for one in refused), refused

    @pytest.mark.parametrize(
        "name",
        ["market-data-line-a", "../x", "a b", "", ".", "..", "a/b", "a:b", "1234", "all", "lo", "line%", "leitung-ä"],
    )
    def test_that_no_interface_can_have_are_refused(self, root: Path, name: str) -> None:
        (sentence,) = Plan(root, data_nics=[data(name, "0000:01:00.1")]).refused
        assert sentence.startswith(f"No interface can be called {name!r}: give the NIC at 0000:01:00.1 a name")

    @pytest.mark.parametrize("name", ["line-a", "fifteen_letters", "enp59s0f0np0", "eno2", "x.100"])
    def test_that_an_interface_can_have_are_granted(self, root: Path, name: str) -> None:
        assert Plan(root, data_nics=[data(name, "0000:01:00.1")]).refused == []

    def test_are_given_once(self, root: Path) -> None:
        nics = [data("data0", "0000:01:00.1"), data("data0", "0000:01:00.2")]
        assert Plan(root, data_nics=nics).refused == [
            "Two NICs are called data0 in topology_data_nics: give each a name of its own."
        ]

    @pytest.mark.parametrize("use", ["kernel", "vfio"])
    def test_are_of_one_device_each(self, root: Path, use: str) -> None:
        nics = [data("data0", "0000:01:00.1"), data("data1", "0000:01:00.1", use)]
        refused = Plan(root, hugepages=[{"node": 1, "size": "2M", "count": 64}], data_nics=nics).refused
        assert refused == [
            "data0 and data1 are both at PCI address 0000:01:00.1 in topology_data_nics: "
            "leave one, or change its address."
        ]


class TestSharedClocks:
    """Of some cards one function has the clock, and the others' ports use it."""

    @pytest.mark.parametrize(("driver", "phc"), [("ice", "ptp0"), ("sfc", "ptp0"), ("igb", ""), ("i40e", "")])
    def test_are_those_of_drivers_that_share_them(self, host_files: HostFiles, driver: str, phc: str) -> None:
        root = host_files()
        add_nic(root, "ens1f0", "0000:3b:00.0", driver, 0, phc="ptp0")
        add_nic(root, "ens1f1", "0000:3b:00.1", driver, 0)
        assert [nic["phc"] for nic in read_host(root)["nics"]] == ["ptp0", phc]

    def test_a_function_with_a_clock_of_its_own_uses_that(self, host_files: HostFiles) -> None:
        root = host_files()
        add_nic(root, "ens1f0", "0000:3b:00.0", "mlx5_core", 0, phc="ptp0")
        add_nic(root, "ens1f1", "0000:3b:00.1", "mlx5_core", 0, phc="ptp1")
        assert [nic["phc"] for nic in read_host(root)["nics"]] == ["ptp0", "ptp1"]

    def test_a_vlan_and_a_bond_hear_the_grandmaster_by_their_nics(self, host_files: HostFiles) -> None:
        root = host_files()
        add_nic(root, "eno1", "0000:01:00.0", "igb", 0, phc="ptp0")
        stack(root, "eno1.7", "eno1")
        assert Plan(root, clock={"mode": "ptp-hardware", "interface": "eno1.7"}).refused == []
        add_nic(root, "eno2", "0000:01:00.1", "igb", 0)
        stack(root, "bond0", "eno1")
        stack(root, "bond0", "eno2")
        (sentence,) = Plan(root, clock={"mode": "ptp-hardware", "interface": "bond0"}).refused
        assert sentence.startswith("bond0 has no PTP hardware clock")


class TestNodes:
    """CXL memory, HBM and GPUs are nodes without CPUs; a socket without DIMMs is one without memory."""

    def test_a_node_without_cpus_is_drawn_as_memory(self, host_files: HostFiles) -> None:
        root = host_files()
        write(root / "sys/devices/system/node/node2/cpulist", "\n")
        write(root / "sys/devices/system/node/node2/meminfo", f"Node 2 MemTotal:  {128 << 20} kB\n")
        write(root / "sys/devices/system/node/node2/hugepages/hugepages-2048kB/nr_hugepages", "0\n")
        plan = Plan(root, hugepages=[{"node": 2, "size": "2M", "count": 512}])
        lines = plan.drawn()
        at = next(number for number, line in enumerate(lines) if "node 2, 128 GiB" in line)
        assert lines[at + 1].startswith("| no CPUs")
        assert lines[at + 2].startswith("| hugepages  512 of 2M: 1 GiB, 1% of the node")
        assert {"node": 2, "size": "2M", "size_kb": 2048, "count": 512} in plan.derived()["hugepages"]

    def test_a_nic_on_a_node_without_cpus_is_near_the_nearest_that_has(self, host_files: HostFiles) -> None:
        root = host_files()
        write(root / "sys/devices/system/node/node2/cpulist", "\n")
        write(root / "sys/devices/system/node/node2/meminfo", "Node 2 MemTotal:  1024 kB\n")
        set_distances(root, {0: "10 21 31", 1: "21 10 17", 2: "31 17 10"})
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 2)
        nics = [data("ens1", "0000:3b:00.0", reader="book")]
        line = {"transport": {"interface": "ens1"}}
        assert Plan(root, data_nics=nics, **line).refused == []
        set_distances(root, {0: "10 21 17", 1: "21 10 31", 2: "17 31 10"})
        (sentence,) = Plan(root, data_nics=nics, **line).refused
        assert "its reader book on node 1: give the reader a CPU of node 0," in sentence

    def without_memory(self, root: Path, node: int) -> Path:
        write(root / f"sys/devices/system/node/node{node}/meminfo", f"Node {node} MemTotal:  0 kB\n")
        shutil.rmtree(root / f"sys/devices/system/node/node{node}/hugepages")
        return root

    def test_a_service_on_a_node_without_memory_gets_the_nearest(self, host_files: HostFiles) -> None:
        root = self.without_memory(host_files(nodes=("0", "1", "2-3")), 2)
        set_distances(root, {0: "10 21 31", 1: "21 10 17", 2: "31 17 10"})
        plan = Plan(root)
        assert plan.derived()["services"] == {"book": {"cpu": 3, "node": 1}}
        assert any("node 2, no memory" in line for line in plan.drawn())

    def test_hugepages_of_a_node_without_memory_are_refused_in_one_sentence(self, host_files: HostFiles) -> None:
        root = self.without_memory(host_files(), 1)
        assert Plan(root, hugepages=[{"node": 1, "size": "2M", "count": 64}]).refused == [
            "topology_hugepages asks for pages of node 1, which has no memory of its own: "
            "ask for them on node 0, the nearest that has."
        ]

    def test_dpdk_keeps_its_packets_on_the_nearest_node_with_memory(self, host_files: HostFiles) -> None:
        root = self.without_memory(host_files(), 1)
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 1, group="7")
        nics = [data("ens1", "0000:3b:00.0", "vfio")]
        assert Plan(root, data_nics=nics, hugepages=[{"node": 0, "size": "2M", "count": 64}]).refused == []
        (sentence,) = Plan(root, data_nics=nics).refused
        assert "node 0, the nearest with memory to node 1, which it is on, has no hugepages" in sentence

    def test_a_kernel_that_tells_no_nodes_is_one(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-3",))
        shutil.rmtree(root / "sys/devices/system/node")
        write(root / "proc/meminfo", "MemTotal:  4194304 kB\nMemFree: 1 kB\n")
        plan = Plan(root)
        assert plan.facts["nodes"] == [{"node": 0, "cpus": "0-3", "memory_kb": 4194304, "hugepages": {}}]
        assert plan.derived()["services"]["book"] == {"cpu": 3, "node": 0}
        assert any("node 0, 4 GiB" in line for line in plan.drawn())

    @pytest.mark.parametrize(
        ("distance", "sockets", "near"),
        [
            pytest.param(11, {0: 0, 1: 0, 2: 0, 3: 0}, True, id="SNC: one socket, two nodes"),
            pytest.param(12, {0: 0, 1: 0, 2: 0, 3: 0}, True, id="NPS2"),
            pytest.param(21, {0: 0, 1: 0, 2: 1, 3: 1}, False, id="two sockets"),
            pytest.param(16, {0: 0, 1: 0, 2: 1, 3: 1}, False, id="two sockets that are near"),
            pytest.param(32, {0: 0, 1: 0, 2: 0, 3: 0}, False, id="far though in one socket"),
            pytest.param(0, {0: 0, 1: 0, 2: 0, 3: 0}, False, id="not told"),
        ],
    )
    def test_remote_is_told_by_distance(
        self, host_files: HostFiles, distance: int, sockets: dict[int, int], near: bool
    ) -> None:
        root = host_files()
        set_sockets(root, sockets)
        if distance:
            set_distances(root, {0: f"10 {distance}", 1: f"{distance} 10"})
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 0)
        nics = [data("ens1", "0000:3b:00.0", reader="book")]
        refused = Plan(root, data_nics=nics, transport={"interface": "ens1"}).refused
        assert (refused == []) is near
        assert near or "its reader book on node 1: give the reader a CPU of node 0," in refused[0]

    def test_distances_of_nodes_whose_numbers_have_gaps(self, host_files: HostFiles) -> None:
        root = host_files()
        (root / "sys/devices/system/node/node1").rename(root / "sys/devices/system/node/node33")
        set_distances(root, {0: "10 16", 33: "16 10"})
        assert read_host(root)["distances"] == {"0": {"0": 10, "33": 16}, "33": {"0": 16, "33": 10}}


class TestTheIommu:
    @pytest.mark.parametrize(
        ("table", "smmu", "iommu"),
        [
            ("DMAR", "", "intel"),
            ("IVRS", "", "amd"),
            ("VIOT", "", "virtio"),
            ("IORT", "smmu3.0x1", "arm"),
            ("IORT", "", ""),
        ],
    )
    def test_is_the_one_that_the_firmware_describes(
        self, host_files: HostFiles, table: str, smmu: str, iommu: str
    ) -> None:
        root = host_files(iommu_table=table)
        if smmu:
            (root / "sys/class/iommu" / smmu).mkdir(parents=True)
        assert read_host(root)["iommu"] == iommu

    @pytest.fixture
    def vfio(self, host_files: HostFiles) -> Path:
        root = host_files()
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 1, group="7")
        (root / "sys/class/iommu/dmar0").mkdir(parents=True)
        write(root / "proc/interrupts", "  24:  1  0  IR-PCI-MSI-0000:3b:00.0  0-edge  ens1\n")
        return root

    def refused(self, root: Path, use: str = "vfio") -> list[str]:
        pages = [{"node": 1, "size": "2M", "count": 64}]
        return Plan(root, hugepages=pages, data_nics=[data("ens1", "0000:3b:00.0", use)]).refused

    @pytest.mark.parametrize(
        ("regions", "granted"),
        [
            ("0x00000000fee00000 0x00000000feefffff msi\n", True),
            ("0x7c000000 0x7fffffff direct-relaxable\n0xfee00000 0xfeefffff msi\n", True),
            ("0x7c000000 0x7fffffff direct\n0xfee00000 0xfeefffff msi\n", False),
        ],
    )
    def test_hands_out_no_device_whose_memory_the_firmware_uses(self, vfio: Path, regions: str, granted: bool) -> None:
        write(vfio / "sys/kernel/iommu_groups/7/reserved_regions", regions)
        write(vfio / "sys/kernel/iommu_groups/8/reserved_regions", "0x1 0x2 direct\n")
        assert bool(self.refused(vfio)) is not granted
        assert (
            granted or "the firmware goes on using memory by way of its IOMMU group 7 (RMRR)" in self.refused(vfio)[0]
        )
        assert self.refused(vfio, "af_xdp") == []

    def test_hands_out_no_device_where_interrupts_are_not_remapped(self, vfio: Path) -> None:
        assert self.refused(vfio) == []
        write(vfio / "proc/interrupts", "  24:  1  0  PCI-MSI-0000:3b:00.0  0-edge  ens1\n")
        (sentence,) = self.refused(vfio)
        assert sentence.startswith("ens1 can't be for VFIO, since interrupts aren't remapped: switch")
        # Before the IOMMU runs, only the firmware's table tells.
        shutil.rmtree(vfio / "sys/class/iommu")
        assert self.refused(vfio) == []
        for flags, granted in ((0, False), (1, True)):
            (vfio / "sys/firmware/acpi/tables/DMAR").write_bytes(b"DMAR" + bytes(33) + bytes([flags]) + bytes(10))
            assert bool(self.refused(vfio)) is not granted


class TestOtherOwners:
    @pytest.mark.parametrize(
        "tuner",
        ["tuned.service", "numad.service", "power-profiles-daemon.service", "tlp.service", "cpufrequtils.service"],
    )
    def test_what_else_tunes_the_host_is_refused(self, host_files: HostFiles, tuner: str) -> None:
        root = host_files()
        enable(root, tuner, tuner)
        assert Plan(root).refused == [
            f"{tuner} would change again what wirebook sets: switch it off with systemctl disable --now {tuner}."
        ]
        (root / "etc/systemd/system" / tuner).symlink_to("/dev/null")
        assert Plan(root).refused == []

    @pytest.mark.parametrize(
        ("configuration", "owners"),
        [("", 1), ("[global]\ntime_stamping hardware\n", 1), ("[global]\ntime_stamping\tsoftware\n", 2)],
    )
    def test_a_ptp4l_steers_the_systems_clock_if_it_takes_software_stamps(
        self, host_files: HostFiles, configuration: str, owners: int
    ) -> None:
        root = host_files()
        add_nic(root, "en-o1", "0000:01:00.0", "igb", 0, phc="ptp0")
        enable(root, "chrony.service", "chrony.service")
        enable(root, "ptp4l@en\\x2do1.service", "ptp4l@.service")
        write(root / "etc/linuxptp/ptp4l.conf", configuration)
        assert len(Plan(root).refused) == owners - 1

    def test_each_mode_keeps_all_others_away(self, host_files: HostFiles) -> None:
        root = host_files()
        add_nic(root, "ens1", "0000:3b:00.0", "sfc", 1, phc="ptp0")
        for service in ("sfptpd.service", "chrony.service", "ptpd.service"):
            enable(root, service, service)
        ptp = Plan(root, clock={"mode": "ptp-hardware", "interface": "ens1"}).derived()["clock_rivals"]
        assert {"sfptpd.service", "ptpd.service", "chrony.service", "ptp4l@.service"} <= set(ptp)
        chrony = Plan(root, clock={"mode": "chrony"}).derived()["clock_rivals"]
        assert set(ptp) - set(chrony) == {"chrony.service", "chronyd.service"}
        for service in ("sfptpd.service", "ptpd.service"):
            (root / "etc/systemd/system/multi-user.target.wants" / service).unlink()
        assert Plan(root).derived()["clock_rivals"] == []


class TestCachesAndCores:
    """A socket of two caches with four CPUs each, as EPYC's core complexes; and one with E cores."""

    @pytest.fixture
    def root(self, host_files: HostFiles) -> Path:
        root = host_files(nodes=("0-7",))
        for cpu in range(8):
            domain = "0-3" if cpu < 4 else "4-7"
            for index, (level, shared) in enumerate((("1", str(cpu)), ("2", str(cpu)), ("3", domain))):
                write(root / f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}/level", f"{level}\n")
                write(root / f"sys/devices/system/cpu/cpu{cpu}/cache/index{index}/shared_cpu_list", f"{shared}\n")
        return root

    def warned(self, root: Path, isolated: str, **services: int) -> list[str]:
        placed = [{"name": name.replace("_", "-"), "cpu": cpu} for name, cpu in services.items()]
        lines = Plan(root, isolated_cpus=isolated, services=placed).drawn()
        return [line.removeprefix("warning").strip() for line in lines if line.startswith("warning")]

    def test_caches_are_drawn(self, root: Path) -> None:
        assert read_host(root)["l3"] == ["0-3", "4-7"]
        lines = Plan(root, isolated_cpus="4-7", services=[{"name": "book", "cpu": 4}]).drawn()
        assert any("[0] [1] [2] [3]  housekeeping, interrupts, L3 of 0-3" in line for line in lines)
        assert any("[4]" in line and "isolated: book on 4, L3 of 4-7" in line for line in lines)

    def test_a_cache_of_their_own_is_right(self, root: Path) -> None:
        assert self.warned(root, "4-7", book=4, feed_a=5) == []

    def test_feed_and_book_in_different_caches_are_warned_of(self, root: Path) -> None:
        first, *_ = self.warned(root, "2-3,6-7", book=2, feed_a=6)
        assert first == "feed-a on CPU 6 and book on CPU 2 share no L3 cache: packets go through memory."

    def test_housekeeping_in_the_books_cache_is_warned_of(self, root: Path) -> None:
        assert self.warned(root, "6-7", book=6, feed_a=7) == [
            "book on CPU 6, feed-a on CPU 7: housekeeping CPU 4-5 shares the L3 cache, and pushes books out of it."
        ]

    def test_one_cache_for_all_leaves_no_choice(self, root: Path) -> None:
        for cpu in range(8):
            write(root / f"sys/devices/system/cpu/cpu{cpu}/cache/index2/shared_cpu_list", "0-7\n")
        assert self.warned(root, "6-7", book=6, feed_a=7) == []

    def test_e_cores_are_known_by_their_caches_where_the_kernel_does_not_tell(self, host_files: HostFiles) -> None:
        # Two P cores with two threads each, and a cluster of four E cores that share a cache of the second level.
        root = host_files(nodes=("0-7",), siblings={0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"})
        for cpu in range(8):
            shared = f"{cpu // 2 * 2}-{cpu // 2 * 2 + 1}" if cpu < 4 else "4-7"
            write(root / f"sys/devices/system/cpu/cpu{cpu}/cache/index0/level", "2\n")
            write(root / f"sys/devices/system/cpu/cpu{cpu}/cache/index0/shared_cpu_list", f"{shared}\n")
        assert read_host(root)["efficient_cpus"] == "4-7"
        # Where all cores share their cache so (Core 2, Jaguar), none is the slower kind.
        for cpu in range(8):
            write(root / f"sys/devices/system/cpu/cpu{cpu}/cache/index0/shared_cpu_list", f"{cpu // 4 * 4}-7\n")
        assert read_host(root)["efficient_cpus"] == ""

    def test_an_e_core_is_drawn_and_warned_of(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-7",))
        write(root / "sys/devices/cpu_core/cpus", "0-3\n")
        write(root / "sys/devices/cpu_atom/cpus", "4-7\n")
        assert self.warned(root, "2-3,6", book=6, feed_a=2) == [
            "book on CPU 6: an E core, which is slower than the P cores 0-3."
        ]
        assert self.warned(root, "2-3", book=2, feed_a=3) == []
        lines = Plan(root, isolated_cpus="6", services=[{"name": "book", "cpu": 6}]).drawn()
        assert any("isolated: book on 6, E core" in line for line in lines)


class TestIrdma:
    """E810's RDMA driver: while it runs, ice refuses each change of the channels, and a deploy would end with that."""

    @pytest.fixture
    def root(self, host_files: HostFiles) -> Path:
        root = host_files()
        add_nic(root, "ens1f0", "0000:3b:00.0", "ice", 1)
        add_nic(root, "ens1f1", "0000:3b:00.1", "ice", 1)
        add_nic(root, "ens2", "0000:5e:00.0", "mlx5_core", 1)
        (root / "sys/module/irdma").mkdir(parents=True)
        return root

    def warned(self, root: Path, *extra: str, use: str = "kernel") -> list[str]:
        nics = [data("ens1f0", "0000:3b:00.0", use), data("ens1f1", "0000:3b:00.1"), data("ens2", "0000:5e:00.0")]
        pages = [{"node": 1, "size": "2M", "count": 64}]
        plan = Plan(root, data_nics=nics, hugepages=pages, kernel_cmdline_extra=[*extra])
        return [line.removeprefix("warning").strip() for line in plan.drawn() if line.startswith("warning")]

    def test_is_warned_of_before_a_deploy(self, root: Path) -> None:
        assert self.warned(root) == [
            "ens1f0, ens1f1: the RDMA driver irdma is loaded and holds the channels, so that they can't be changed: "
            "add module_blacklist=irdma to kernel_cmdline_extra, or give channels in nic_overrides as they are."
        ]
        assert self.warned(root, "module_blacklist=nouveau")[0].startswith("ens1f0, ens1f1: ")

    @pytest.mark.parametrize("parameter", ["module_blacklist=irdma", "module_blacklist=nouveau,irdma"])
    def test_that_the_next_boot_leaves_out_is_none(self, root: Path, parameter: str) -> None:
        assert self.warned(root, parameter) == []

    def test_that_is_not_loaded_is_none(self, root: Path) -> None:
        (root / "sys/module/irdma").rmdir()
        assert self.warned(root) == []

    def test_what_vfio_takes_has_no_channels(self, root: Path) -> None:
        assert self.warned(root, use="vfio")[0].startswith("ens1f1: ")


def test_another_architecture_is_refused_first(host_files: HostFiles) -> None:
    facts = read_host(host_files(iommu_table="IORT")) | {"arch": "aarch64"}
    wish = Plan(host_files()).wish
    assert refusals(wish, Host.from_facts(facts)) == ["The host is an aarch64 machine: wirebook runs on x86_64 ones."]
