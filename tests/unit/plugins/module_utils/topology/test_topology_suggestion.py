"""What is suggested for machines of every kind: it is granted, costs no latency that can be spared, and is YAML."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.wirebook.node.plugins.module_utils.topology.advice import l3_of, warnings
from ansible_collections.wirebook.node.plugins.module_utils.topology.cpus import parse_cpus
from ansible_collections.wirebook.node.plugins.module_utils.topology.derive import housekeeping_cpus
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.plugins.module_utils.topology.suggestion import block, suggest
from ansible_collections.wirebook.node.tests.unit.support.fake_host import (
    add_default_route,
    add_nic,
    set_distances,
    set_sockets,
    write,
)
from ansible_collections.wirebook.node.tests.unit.support.paths import ROOT

DUMPS = sorted((ROOT.parent / "shared/cases/hosts/dumps").glob("*.tgz"))
DEBIAN = {"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"}
EMPTY: dict[str, Any] = {
    "isolated_cpus": "", "housekeeping_cpus": "", "smt_siblings": "online", "services": [], "hugepages": [],
    "management_nic": "", "data_nics": [], "clock": {}, "accept_risk": [], "transport": {}, "kernel_cmdline_extra": [],
}  # fmt: skip
SERVICES = ("book", "feed-binance")

HostFiles = Callable[..., Path]


class Suggested:
    """What is suggested for a host: granted, as YAML and as a plan."""

    def __init__(self, root: Path, *services: str, **inventory: Any) -> None:
        facts = read_host(root) | {"os": DEBIAN, "arch": "x86_64", "tuners": [], "clock_services": []}
        self.host = Host.from_facts(facts)
        found = suggest(Wish.from_inventory(EMPTY | inventory), services or SERVICES, 256, self.host)
        self.wish, self.left_out = found.wish, found.left_out
        assert refusals(self.wish, self.host) == []
        self.lines = block(found, "colo1", self.host)
        self.yaml = yaml.safe_load("\n".join(self.lines))
        # As it is copied, it is the same wish.
        copied = {name.removeprefix("topology_"): value for name, value in self.yaml.items()}
        assert Wish.from_inventory(EMPTY | inventory | copied) == self.wish

    @property
    def cpus(self) -> dict[str, int]:
        return dict(self.wish.services)


def with_caches(root: Path, *domains: str) -> Path:
    """Give each of these lists of CPUs an L3 cache."""
    for domain in domains:
        for cpu in parse_cpus(domain):
            write(root / f"sys/devices/system/cpu/cpu{cpu}/cache/index3/level", "3\n")
            write(root / f"sys/devices/system/cpu/cpu{cpu}/cache/index3/shared_cpu_list", f"{domain}\n")
    return root


@pytest.mark.skipif(not DUMPS, reason="no dumps of machines beside this checkout")
@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.stem)
def test_real_machines(tmp_path: Path, dump: Path) -> None:
    with tarfile.open(dump) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    found = Suggested(root)
    host, cpus = found.host, found.cpus
    assert set(cpus) == set(SERVICES)
    assert list(warnings(found.wish, host)) == []
    assert host.node_of(cpus["book"]) == host.node_of(cpus["feed-binance"])
    assert l3_of(host, cpus["book"]) == l3_of(host, cpus["feed-binance"])
    # No core is split, none of two services is one core's, and CPU 0's is nobody's.
    for cpu in found.wish.isolated:
        assert host.siblings[cpu] & host.online <= found.wish.isolated
    assert not host.siblings[cpus["book"]] & {cpus["feed-binance"], 0}
    assert housekeeping_cpus(found.wish, host)
    assert len(found.wish.isolated) <= len(host.online) / 2
    (pages,) = found.wish.hugepages or (None,)
    if pages:
        assert pages.node == host.memory_node(host.node_of(cpus["book"]))
        assert pages.count == 192


class TestOneSocketWithOneCache:
    """The commonest server: the last cores of a node, the rest keeps house."""

    def test_the_last_cores_of_the_node(self, host_files: HostFiles) -> None:
        found = Suggested(with_caches(host_files(nodes=("0-7",)), "0-7"))
        assert found.yaml["topology_isolated_cpus"] == "6-7"
        assert found.yaml["topology_services"] == [{"name": "book", "cpu": 6}, {"name": "feed-binance", "cpu": 7}]
        assert found.yaml["topology_hugepages"] == [{"node": 0, "size": "2M", "count": 192}]

    def test_cores_with_both_their_threads(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-7",), siblings={cpu: f"{cpu % 4},{cpu % 4 + 4}" for cpu in range(8)})
        found = Suggested(root)
        assert found.yaml["topology_isolated_cpus"] == "2-3,6-7"
        assert found.cpus == {"book": 2, "feed-binance": 3}

    @pytest.mark.parametrize(
        ("cpus", "services", "placed", "left_out"),
        [
            ("0", 2, [], ["book", "feed-a"]),
            ("0-1", 2, [1], ["feed-a"]),
            ("0-2", 2, [2], ["feed-a"]),
            ("0-3", 2, [2, 3], []),
            ("0-3", 4, [2, 3], ["feed-b", "sim"]),
        ],
    )
    def test_of_too_few_cpus_the_book_has_the_first(
        self, host_files: HostFiles, cpus: str, services: int, placed: list[int], left_out: list[str]
    ) -> None:
        names = ["book", "feed-a", "feed-b", "sim"][:services]
        found = Suggested(host_files(nodes=(cpus,)), *names)
        assert list(found.cpus.values()) == placed
        assert list(found.left_out) == left_out
        told = [line for line in found.lines if "There is no CPU for" in line]
        assert told == ([f"# There is no CPU for {', '.join(left_out)}: housekeeping CPUs run it."] if left_out else [])

    def test_pages_are_no_more_than_a_plan_grants(self, host_files: HostFiles) -> None:
        found = Suggested(host_files(nodes=("0-7",), memory_mib=512))
        assert found.yaml["topology_hugepages"] == [{"node": 0, "size": "2M", "count": 153}]


class TestNics:
    """The services run beside the NICs that carry market data."""

    @pytest.fixture
    def root(self, host_files: HostFiles) -> Path:
        root = host_files(nodes=("0-7", "8-15"))
        add_nic(root, "eno1", "0000:01:00.0", "igb", 1)
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 0)
        add_default_route(root, "eno1")
        write(root / "sys/class/net/eno1/address", "02:00:00:00:00:01\n")
        return root

    def test_the_node_is_that_of_the_nics_that_do_not_manage_the_host(self, root: Path) -> None:
        found = Suggested(root)
        assert found.yaml["topology_isolated_cpus"] == "6-7"
        assert found.yaml["topology_management_nic"] == "eno1"
        assert '#   - {name: ens1, pci: "0000:3b:00.0"} # ice, on node 0' in found.lines
        assert not any("name: eno1" in line for line in found.lines)

    def test_those_of_the_inventory_count_if_it_has_any(self, root: Path) -> None:
        add_nic(root, "ens2", "0000:5e:00.0", "ice", 1)
        nics = [{"name": "ens2", "pci": "0000:5e:00.0", "reader": "book"}]
        found = Suggested(root, data_nics=nics, transport={"interface": "ens2"})
        assert found.yaml["topology_isolated_cpus"] == "14-15"
        assert "# The interrupts of ens2: on CPU 8-13." in found.lines

    def test_the_node_keeps_a_cpu_for_their_interrupts(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-3", "4-7"))
        add_nic(root, "ens2", "0000:5e:00.0", "ice", 1)
        nics = [{"name": "ens2", "pci": "0000:5e:00.0", "reader": "book"}]
        found = Suggested(root, "book", "feed-a", "feed-b", data_nics=nics, transport={"interface": "ens2"})
        assert found.yaml["topology_isolated_cpus"] == "5-7"
        assert "# The interrupts of ens2: on CPU 4." in found.lines

    def test_what_vfio_takes_has_pages_on_its_node(self, root: Path) -> None:
        nics = [{"name": "ens1", "pci": "0000:3b:00.0", "use": "vfio"}]
        found = Suggested(root, data_nics=nics)
        assert found.yaml["topology_hugepages"] == [{"node": 0, "size": "2M", "count": 256}]


class TestCaches:
    """Where a socket has several L3 caches, services get one for themselves."""

    def test_the_whole_of_a_cache_that_is_not_cpu_0s(self, host_files: HostFiles) -> None:
        found = Suggested(with_caches(host_files(nodes=("0-11",)), "0-3", "4-7", "8-11"))
        assert found.yaml["topology_isolated_cpus"] == "4-7"
        assert found.cpus == {"book": 4, "feed-binance": 5}
        assert "# An L3 cache of their own: that of CPUs 4-7, without housekeeping." in found.lines

    def test_the_smallest_that_holds_all(self, host_files: HostFiles) -> None:
        root = with_caches(host_files(nodes=("0-15",)), "0-3", "4-5", "6-9", "10-15")
        assert Suggested(root, "book", "feed-a", "feed-b").yaml["topology_isolated_cpus"] == "6-9"

    def test_more_services_than_a_cache_has_cores_take_another_whole(self, host_files: HostFiles) -> None:
        root = with_caches(host_files(nodes=("0-11",)), "0-3", "4-7", "8-11")
        found = Suggested(root, "book", *(f"feed-{number}" for number in range(5)))
        assert found.yaml["topology_isolated_cpus"] == "4-11"


def test_the_cores_of_a_machine_without_nodes_are_of_one_socket(host_files: HostFiles) -> None:
    root = host_files(nodes=("0-11",))
    # As some firmware numbers them: in turn.
    set_sockets(root, {cpu: cpu % 3 for cpu in range(12)})
    assert Suggested(root).cpus == {"book": 7, "feed-binance": 10}
    assert Suggested(root, "book", *(f"feed-{number}" for number in range(4))).yaml["topology_isolated_cpus"] == (
        "1-2,4,7,10"
    )


class TestUnlikeNodes:
    """Nodes without CPUs or memory, and sockets of several nodes."""

    def test_e_cores_keep_house(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-11",))
        write(root / "sys/devices/cpu_atom/cpus", "4-11\n")
        found = Suggested(root)
        assert found.yaml["topology_isolated_cpus"] == "2-3"
        assert "# The E cores 4-11 keep house." in found.lines

    def test_a_node_without_cpus_is_none_for_services(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-7", ""))
        write(root / "sys/devices/system/cpu/online", "0-7\n")
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 1)
        assert Suggested(root).yaml["topology_isolated_cpus"] == "6-7"

    def test_pages_of_a_node_without_memory_are_the_nearest_ones(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-3", "4-7"))
        write(root / "sys/devices/system/node/node1/meminfo", "Node 1 MemTotal:  0 kB\n")
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 1)
        found = Suggested(root)
        assert found.yaml["topology_isolated_cpus"] == "6-7"
        assert found.yaml["topology_hugepages"] == [{"node": 0, "size": "2M", "count": 192}]

    def test_a_node_of_the_same_socket_helps_out(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-3", "4-7", "8-11", "12-15"))
        set_sockets(root, {cpu: cpu // 8 for cpu in range(16)})
        set_distances(root, {0: "10 11 21 21", 1: "11 10 21 21", 2: "21 21 10 11", 3: "21 21 11 10"})
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 3)
        found = Suggested(root, "book", *(f"feed-{number}" for number in range(5)))
        assert set(found.cpus.values()) <= set(range(8, 16))
        assert len(found.cpus) == 6
        assert found.host.node_of(found.cpus["book"]) == 3
        # Of the node itself one CPU was kept for interrupts where that costs nothing.
        assert set(Suggested(root, "book", "feed-a", "feed-b").cpus.values()) == {13, 14, 15}

    def test_a_remote_node_helps_out_last(self, host_files: HostFiles) -> None:
        root = host_files(nodes=("0-3", "4-7"))
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 1)
        found = Suggested(root, "book", *(f"feed-{number}" for number in range(5)))
        assert list(found.cpus.values()) == [4, 5, 6, 7, 2, 3]

    def test_what_is_near_the_node_only_is_no_help(self, host_files: HostFiles) -> None:
        """A NIC on a node without CPUs: the nearest node is near it, and that node's neighbour isn't."""
        root = with_caches(host_files(nodes=("0-3", "4-7", "8-11", "")), "0-3", "4-7", "8-11")
        write(root / "sys/devices/system/cpu/online", "0-11\n")
        set_sockets(root, {cpu: cpu // 8 for cpu in range(12)})
        set_distances(root, {0: "10 11 21 12", 1: "11 10 21 13", 2: "21 21 10 21", 3: "12 13 21 10"})
        add_nic(root, "ens1", "0000:3b:00.0", "ice", 3)
        nics = [{"name": "ens1", "pci": "0000:3b:00.0", "reader": "book"}]
        found = Suggested(root, data_nics=nics, transport={"interface": "ens1"})
        assert found.cpus == {"book": 1, "feed-binance": 2}
