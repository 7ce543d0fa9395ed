"""The drawing of a host as it will be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.wirebook.node.plugins.module_utils.topology.drawing import draw
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.tests.unit.support.fake_host import add_default_route, add_nic, enable

HostFiles = Callable[..., Path]


def drawn(root: Path, **changes: Any) -> str:
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
    wish, host = Wish.from_inventory(inventory | changes), Host.from_facts(read_host(root))
    assert refusals(wish, host) == []
    return "\n".join(draw("colo1", wish, host))


def test_a_host_with_all_there_can_be(host_files: HostFiles) -> None:
    siblings = {cpu: f"{cpu % 8},{cpu % 8 + 8}" for cpu in range(16)}
    root = host_files(nodes=("0-3,8-11", "4-7,12-15"), siblings=siblings, memory_mib=16384)
    add_nic(root, "eno1", "0000:00:03.0", "tg3", 0)
    add_default_route(root, "eno1")
    enable(root, "chrony.service", "chrony.service")
    add_nic(root, "line-a", "0000:00:04.0", "ice", 1, phc="ptp0")
    add_nic(root, "", "0000:00:05.0", "vfio-pci", 1, group="9")
    add_nic(root, "eno2", "0000:00:06.0", "tg3", -1)
    assert (
        drawn(
            root,
            isolated_cpus="5-7,13-15",
            services=[{"name": "feed-binance", "cpu": 5}, {"name": "book", "cpu": 6}],
            hugepages=[{"node": 1, "size": "1G", "count": 4}, {"node": 1, "size": "2M", "count": 256}],
            data_nics=[
                {"name": "line-a", "pci": "0000:00:04.0", "use": "af_xdp", "reader": "book", "zero_copy": True},
                {"name": "line-b", "pci": "0000:00:05.0", "use": "vfio"},
            ],
            clock={"mode": "ptp-hardware", "interface": "line-a"},
            transport={"interface": "line-a"},
            accept_risk=["idle=poll"],
        )
        == """\
colo1: Debian GNU/Linux 13 (trixie), Linux 6.12.48+deb13-amd64

+- socket 0, node 0, 16 GiB -------------------------------------------------+
| [0|8] [1|9] [2|10] [3|11]  housekeeping, interrupts                        |
| NIC  0000:00:03.0  eno1  tg3  management                                   |
+----------------------------------------------------------------------------+

+- socket 1, node 1, 16 GiB -------------------------------------------------+
| [4|12]  housekeeping, interrupts                                           |
| [5|13]  isolated: feed-binance on 5, 13 free                               |
| [6|14]  isolated: book on 6, 14 free                                       |
| [7|15]  isolated, free                                                     |
| hugepages  256 of 2M: 512 MiB, 3% of the node                              |
| hugepages  4 of 1G: 4 GiB, 25% of the node                                 |
| NIC  0000:00:04.0  line-a  ice       data, af_xdp, zero-copy, read by book |
|                                      IRQs on 4,12                          |
|                                      PTP with ptp0                         |
| NIC  0000:00:05.0  line-b  vfio-pci  data, vfio in IOMMU group 9           |
+----------------------------------------------------------------------------+

+- on no node that the firmware tells ---------------------------------------+
| NIC  0000:00:06.0  eno2  tg3  unused                                       |
+----------------------------------------------------------------------------+

isolated CPUs        5-7,13-15
housekeeping CPUs    0-4,8-12: the service manager, all else, and every interrupt
clock                topology_clock (ptp-hardware); chrony.service kept away
risk accepted        idle=poll: The CPUs never sleep: they run hot and leave no power to boost the busy ones.
kernel command line  isolcpus=managed_irq,domain,5-7,13-15
                     nohz_full=5-7,13-15
                     rcu_nocbs=5-7,13-15
                     irqaffinity=0-4,8-12
                     hugepagesz=1G
                     hugepages=1:4
                     intel_iommu=on
                     iommu=pt
                     idle=poll"""
    )


def test_a_small_host(host_files: HostFiles) -> None:
    root = host_files(nodes=("0-5",))
    enable(root, "systemd-timesyncd.service", "systemd-timesyncd.service")
    assert (
        drawn(root, isolated_cpus="", services=[])
        == """\
colo1: Debian GNU/Linux 13 (trixie), Linux 6.12.48+deb13-amd64

+- socket 0, node 0, 2 GiB -----------------+
| [0] [1] [2] [3]  housekeeping, interrupts |
| [4] [5]                                   |
+-------------------------------------------+

isolated CPUs        none
housekeeping CPUs    0-5: the service manager, all else, and every interrupt
clock                systemd-timesyncd.service
kernel command line  nothing of wirebook's"""
    )


def test_siblings_that_go_offline(host_files: HostFiles) -> None:
    root = host_files(nodes=("0-7",), siblings={cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)})
    lines = drawn(root, smt_siblings="offline").splitlines()
    assert [line[2:-2].rstrip() for line in lines if "6]" in line or "7]" in line] == [
        "[2|6]        isolated, free, 6 offline",
        "[3|7]        isolated: book on 3, 7 offline",
    ]
    assert "offline CPUs         6-7" in lines
