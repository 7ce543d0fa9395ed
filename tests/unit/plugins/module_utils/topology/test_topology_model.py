"""What the model refuses, a sentence each, and what it derives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.topology.derive import derive
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.tests.unit.support.fake_host import add_nic

HostFiles = Callable[..., Path]


def wish(**changes: Any) -> Wish:
    """Return what a sensible inventory asks of a host of two nodes with CPUs 0-1 and 2-3, with changes."""
    inventory: dict[str, Any] = {
        "isolated_cpus": "2-3",
        "housekeeping_cpus": "",
        "smt_siblings": "online",
        "services": [{"name": "feed-binance", "cpu": 2}, {"name": "book", "cpu": 3}],
        "hugepages": [{"node": 1, "size": "2M", "count": 128}],
        "management_nic": "",
        "data_nics": [],
        "clock": {"mode": "host"},
        "accept_risk": [],
        "kernel_cmdline_extra": [],
        "transport": {},
    }
    return Wish.from_inventory(inventory | changes)


def refused(root: Path, **changes: Any) -> list[str]:
    return refusals(wish(**changes), Host.from_facts(read_host(root)))


def derived(root: Path, **changes: Any) -> dict[str, Any]:
    host, asked = Host.from_facts(read_host(root)), wish(**changes)
    assert refusals(asked, host) == []
    return derive(asked, host)


def test_a_sensible_inventory_is_granted(host_files: HostFiles) -> None:
    assert refused(host_files()) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param(
            {"isolated_cpus": "0,2-3"},
            "CPU 0 can't be isolated, since the kernel keeps time on it: take it out of topology_isolated_cpus.",
            id="CPU 0 isolated",
        ),
        pytest.param(
            {"isolated_cpus": "0-3"},
            "Every CPU (0-3) is isolated, and none is left for the kernel and the services: "
            "take at least CPU 0 out of topology_isolated_cpus.",
            id="every CPU isolated",
        ),
        pytest.param(
            {"isolated_cpus": "2-5"},
            "CPU 4-5 isn't on the host, which has 0-3: change topology_isolated_cpus and topology_housekeeping_cpus.",
            id="isolated CPU absent",
        ),
        pytest.param(
            {"housekeeping_cpus": "0-1,7"},
            "CPU 7 isn't on the host, which has 0-3: change topology_isolated_cpus and topology_housekeeping_cpus.",
            id="housekeeping CPU absent",
        ),
        pytest.param(
            {"housekeeping_cpus": "0-2"},
            "CPU 2 is both isolated and housekeeping: "
            "take it out of topology_housekeeping_cpus or topology_isolated_cpus.",
            id="isolated and housekeeping overlap",
        ),
        pytest.param(
            {"housekeeping_cpus": "0"},
            "CPU 1 is neither isolated nor housekeeping: "
            "add it to topology_housekeeping_cpus, or leave that out to have the rest.",
            id="CPU that is neither",
        ),
        pytest.param(
            {"services": [{"name": "book", "cpu": 1}]},
            "The service book is to run on CPU 1, which isn't isolated: give it one of 2-3.",
            id="service not on an isolated CPU",
        ),
        pytest.param(
            {"services": [{"name": "book", "cpu": 2}, {"name": "feed-okx", "cpu": 2}]},
            "The services book and feed-okx are both to run on CPU 2: give feed-okx a CPU of its own.",
            id="two services on one CPU",
        ),
        pytest.param(
            {"services": [{"name": name, "cpu": cpu} for name, cpu in (("book", 2), ("okx", 3), ("bybit", 2))]},
            "The services book and bybit are both to run on CPU 2: give bybit a CPU of its own.",
            id="two services on one CPU, another listed between them",
        ),
        pytest.param(
            {"services": [{"name": "book", "cpu": 2}, {"name": "book", "cpu": 3}]},
            "The service book is listed twice in topology_services: give each a name of its own.",
            id="one service twice",
        ),
        pytest.param(
            {"hugepages": [{"node": 0, "size": "2M", "count": 700}]},
            "topology_hugepages asks for 1400 MiB of the 2048 MiB of node 0, more than 60%: ask for at most 1228 MiB.",
            id="hugepages over the share",
        ),
        pytest.param(
            {"hugepages": [{"node": 0, "size": "2M", "count": 128}, {"node": 0, "size": "1G", "count": 2}]},
            "topology_hugepages asks for 2304 MiB on node 0, which has 2048 MiB in all: ask for at most 1228 MiB.",
            id="more hugepages than the node has, in two sizes",
        ),
        pytest.param(
            {"hugepages": [{"node": 2, "size": "2M", "count": 1}]},
            "topology_hugepages asks for node 2, but the host has the nodes 0-1: change the node.",
            id="hugepages on an absent node",
        ),
        pytest.param(
            {"hugepages": [{"node": 0, "size": "2M", "count": 1}, {"node": 0, "size": "2M", "count": 2}]},
            "topology_hugepages lists a size twice for one node: write one entry for a node and a size.",
            id="hugepages twice",
        ),
        pytest.param(
            {"management_nic": "eth0"},
            "The host has no NIC eth0, but enp0s4: change topology_management_nic.",
            id="management NIC absent",
        ),
        pytest.param(
            {"data_nics": [{"name": "enp0s8", "pci": "0000:00:08.0", "use": "kernel"}]},
            "The host has no NIC at PCI address 0000:00:08.0, but at 0000:00:04.0: "
            "change the address of enp0s8 in topology_data_nics.",
            id="data NIC absent",
        ),
    ],
)
def test_what_cannot_be_right_is_refused_in_one_sentence(
    host_files: HostFiles, changes: dict[str, Any], sentence: str
) -> None:
    root = host_files()
    add_nic(root, "enp0s4", "0000:00:04.0", "igb", 1)
    # A refusal about CPUs must not bring others about services along.
    services: dict[str, Any] = {} if "services" in changes else {"services": []}
    assert refused(root, **services, **changes) == [sentence]


def test_an_isolated_cpu_needs_its_smt_sibling(host_files: HostFiles) -> None:
    root = host_files(siblings={0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert refused(root, isolated_cpus="3", services=[]) == [
        "CPU 3 is isolated but its SMT sibling 1 isn't: add 1 to topology_isolated_cpus, take 3 out, "
        "or set topology_smt_siblings to offline."
    ]
    assert refused(root, isolated_cpus="1,3", services=[]) == []


def test_the_smt_sibling_of_cpu_0_cannot_be_isolated(host_files: HostFiles) -> None:
    root = host_files(siblings={0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"})
    assert refused(root, isolated_cpus="2", services=[]) == [
        "CPU 2 shares a core with CPU 0, which stays: take 2 out of topology_isolated_cpus."
    ]


def test_sixty_percent_is_allowed(host_files: HostFiles) -> None:
    assert refused(host_files(memory_mib=1000), hugepages=[{"node": 0, "size": "2M", "count": 300}]) == []
    assert refused(host_files(memory_mib=1000), hugepages=[{"node": 0, "size": "2M", "count": 301}]) != []


def test_a_size_of_page_that_the_host_lacks(host_files: HostFiles) -> None:
    root = host_files()
    gigantic = root / "sys/devices/system/node/node0/hugepages/hugepages-1048576kB"
    (gigantic / "nr_hugepages").unlink()
    gigantic.rmdir()
    assert refused(root, hugepages=[{"node": 0, "size": "1G", "count": 1}]) == [
        "The host has no hugepages of 1G: take another size in topology_hugepages."
    ]


@pytest.mark.parametrize(
    ("os_release", "name"),
    [
        ('ID=ubuntu\nVERSION_ID="24.04"\nPRETTY_NAME="Ubuntu 24.04 LTS"\n', "Ubuntu 24.04 LTS"),
        (
            'ID=debian\nVERSION_ID="11"\nPRETTY_NAME="Debian GNU/Linux 11 (bullseye)"\n',
            "Debian GNU/Linux 11 (bullseye)",
        ),
    ],
)
def test_other_systems_are_refused_by_name(host_files: HostFiles, os_release: str, name: str) -> None:
    # Nothing else is said: what such a host has doesn't matter.
    assert refused(host_files(os_release=os_release), isolated_cpus="0-9") == [
        f"The host runs {name}: install Debian 12 or 13."
    ]


def test_several_refusals_are_told_at_once(host_files: HostFiles) -> None:
    sentences = refused(
        host_files(), services=[{"name": "book", "cpu": 0}], hugepages=[{"node": 5, "size": "2M", "count": 1}]
    )
    assert len(sentences) == 2


def test_a_risk_is_one_that_is_known(host_files: HostFiles) -> None:
    assert refused(host_files(), accept_risk=["idle=poll", "nosmap"]) == [
        "topology_accept_risk has nosmap: take it out, or choose from "
        "mitigations=off, idle=poll, kernel.sched_rt_runtime_us=-1."
    ]


def test_an_accepted_risk_is_set_and_its_price_told(host_files: HostFiles) -> None:
    result = derived(host_files(), accept_risk=["idle=poll", "kernel.sched_rt_runtime_us=-1"])
    assert result["kernel_cmdline"][4:] == ["idle=poll"]
    assert [risk["parameter"] for risk in result["risks"]] == ["idle=poll", "kernel.sched_rt_runtime_us=-1"]
    assert "never sleep" in result["risks"][0]["costs"]


@pytest.mark.parametrize(
    ("nic_node", "housekeeping", "reader", "expected"),
    [
        pytest.param(1, "0,2", "book", "2", id="beside the NIC"),
        pytest.param(0, "0,2", "book", "0", id="beside the NIC rather than beside the reader"),
        pytest.param(1, "0-1", "book", "0-1", id="neither beside the NIC nor beside the reader"),
        pytest.param(-1, "0,2", "book", "2", id="beside the reader"),
        pytest.param(-1, "0,2", "", "0,2", id="node and reader unknown"),
        pytest.param(1, "0-1", "", "0-1", id="no housekeeping CPU beside it"),
    ],
)
def test_interrupts_of_a_data_nic(
    host_files: HostFiles, nic_node: int, housekeeping: str, reader: str, expected: str
) -> None:
    root = host_files()
    add_nic(root, "enp0s4", "0000:00:04.0", "igb", nic_node)
    isolated = {"0,2": "1,3", "0-1": "2-3"}[housekeeping]
    nic = {"name": "enp0s4", "pci": "0000:00:04.0", "reader": reader, "allow_remote_node": True}
    result = derived(
        root,
        isolated_cpus=isolated,
        housekeeping_cpus=housekeeping,
        services=[{"name": "book", "cpu": 3}],
        hugepages=[],
        data_nics=[nic],
        transport={"interface": "enp0s4"},
    )
    assert result["data_nics"][0]["interrupt_cpus"] == expected


def test_what_is_derived(host_files: HostFiles) -> None:
    result = derived(host_files())
    assert result["isolated"] == "2-3"
    assert result["housekeeping"] == "0-1"
    assert result["kernel_cmdline"] == [
        "isolcpus=managed_irq,domain,2-3",
        "nohz_full=2-3",
        "rcu_nocbs=2-3",
        "irqaffinity=0-1",
    ]
    assert result["services"] == {"feed-binance": {"cpu": 2, "node": 1}, "book": {"cpu": 3, "node": 1}}
    # A node without a wish has its pages taken away, should someone have left some there.
    assert result["hugepages"] == [
        {"node": 0, "size": "2M", "size_kb": 2048, "count": 0},
        {"node": 1, "size": "2M", "size_kb": 2048, "count": 128},
    ]


def test_interrupts_never_go_to_an_isolated_cpu(host_files: HostFiles) -> None:
    result = derived(host_files(nodes=("0-7", "8-15")), isolated_cpus="2-6,9,12-15", services=[])
    assert "irqaffinity=0-1,7-8,10-11" in result["kernel_cmdline"]


def test_nothing_isolated_needs_no_parameters(host_files: HostFiles) -> None:
    result = derived(host_files(), isolated_cpus="", services=[], hugepages=[])
    assert result["kernel_cmdline"] == []
    assert result["housekeeping"] == "0-3"


def test_pages_of_1g_are_reserved_at_boot_on_their_nodes(host_files: HostFiles) -> None:
    pages = [{"node": 1, "size": "1G", "count": 4}, {"node": 0, "size": "1G", "count": 2}]
    result = derived(host_files(memory_mib=16384), hugepages=pages)
    assert result["kernel_cmdline"][-2:] == ["hugepagesz=1G", "hugepages=0:2,1:4"]


@pytest.mark.parametrize(
    ("iommu_table", "use", "expected"),
    [
        ("DMAR", "vfio", ["intel_iommu=on", "iommu=pt"]),
        ("IVRS", "vfio", ["iommu=pt"]),
        ("DMAR", "kernel", []),
    ],
)
def test_the_iommu_is_for_vfio(host_files: HostFiles, iommu_table: str, use: str, expected: list[str]) -> None:
    root = host_files(iommu_table=iommu_table)
    add_nic(root, "enp0s4", "0000:00:04.0", "igb", 1)
    result = derived(root, data_nics=[{"name": "enp0s4", "pci": "0000:00:04.0", "use": use}])
    assert result["kernel_cmdline"][4:] == expected
    assert result["data_nics"] == [
        {
            "name": "enp0s4",
            "pci": "0000:00:04.0",
            "use": use,
            "reader": "",
            "zero_copy": False,
            "allow_remote_node": False,
            "node": 1,
            "driver": "igb",
            "phc": "",
            "interrupt_cpus": "0-1",
            "interrupt_cpus_list": [0, 1],
        },
    ]


class TestSiblingsOffline:
    """A host of four cores in one node, the siblings being 4 to 7; cores 2 and 3 are isolated without theirs."""

    @pytest.fixture
    def root(self, host_files: HostFiles) -> Path:
        return host_files(nodes=("0-7",), siblings={cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)})

    def test_they_are_neither_isolated_nor_housekeeping(self, root: Path) -> None:
        found = derived(root, smt_siblings="offline", hugepages=[])
        assert (found["isolated"], found["housekeeping"]) == ("2-3", "0-1,4-5")
        assert (found["smt_siblings"], found["siblings_to_offline"]) == ("offline", [6, 7])

    def test_a_second_deploy_derives_the_same(self, root: Path) -> None:
        before = derived(root, smt_siblings="offline", hugepages=[])
        cpus = root / "sys/devices/system/cpu"
        (cpus / "present").write_text("0-7\n")
        (cpus / "online").write_text("0-5\n")
        (root / "sys/devices/system/node/node0/cpulist").write_text("0-5\n")
        for cpu in (2, 3):
            (cpus / f"cpu{cpu}/topology/thread_siblings_list").write_text(f"{cpu}\n")
        after = derived(root, smt_siblings="offline", hugepages=[])
        assert after == before | {"siblings_to_offline": []}

    def test_those_that_are_isolated_too_stay(self, root: Path) -> None:
        found = derived(root, isolated_cpus="2-3,7", smt_siblings="offline", hugepages=[])
        assert found["siblings_to_offline"] == [6]

    def test_the_core_of_cpu_0_stays_whole(self, root: Path) -> None:
        assert refused(root, isolated_cpus="2-4", smt_siblings="offline", hugepages=[]) == [
            "CPU 4 shares a core with CPU 0, which stays: take 4 out of topology_isolated_cpus."
        ]

    def test_housekeeping_may_not_count_on_them(self, root: Path) -> None:
        assert refused(root, housekeeping_cpus="0-1,4-6", smt_siblings="offline", hugepages=[]) == [
            "CPU 6 is in topology_housekeeping_cpus and is to go offline as the SMT sibling of an isolated CPU: "
            "take it out, or set topology_smt_siblings to online."
        ]
        assert refused(root, housekeeping_cpus="0-1,4-5", smt_siblings="offline", hugepages=[]) == []

    def test_a_cpu_that_is_offline_is_told_from_an_absent_one(self, root: Path) -> None:
        (root / "sys/devices/system/cpu/present").write_text("0-8\n")
        assert refused(root, isolated_cpus="2-3,6-8", hugepages=[]) == [
            "CPU 8 is offline: bring it online (chcpu --enable 8), or take it out of topology_isolated_cpus and "
            "topology_housekeeping_cpus."
        ]
