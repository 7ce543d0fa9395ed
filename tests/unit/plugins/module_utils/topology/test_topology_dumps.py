"""Real machines' sysfs, where there are dumps of some beside the checkout: each is read, planned and drawn."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.topology.derive import derive
from ansible_collections.wirebook.node.plugins.module_utils.topology.drawing import draw
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.tests.unit.support.paths import ROOT

DUMPS = sorted((ROOT.parent / "shared/cases/hosts/dumps").glob("*.tgz"))
DEBIAN = {"id": "debian", "version": "13", "codename": "trixie", "name": "Debian GNU/Linux 13 (trixie)"}


@pytest.mark.skipif(not DUMPS, reason="no dumps of machines beside this checkout")
@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.stem)
def test_the_last_core_of_each_node_can_be_isolated(tmp_path: Path, dump: Path) -> None:
    with tarfile.open(dump) as archive:
        archive.extractall(tmp_path, filter="data")
    (root,) = tmp_path.iterdir()
    facts = read_host(root) | {"os": DEBIAN, "arch": "x86_64", "tuners": [], "clock_services": []}
    host = Host.from_facts(facts)
    with_cpus = [node for node in host.nodes.values() if node.cpus & host.online]
    assert with_cpus
    last = [max(node.cpus & host.online) for node in with_cpus]
    isolated = frozenset[int]().union(*(host.siblings[cpu] & host.online for cpu in last)) - host.siblings[0]
    inventory = {
        "isolated_cpus": " ".join(map(str, sorted(isolated))), "housekeeping_cpus": "", "smt_siblings": "online",
        "services": [{"name": f"feed-{cpu}", "cpu": cpu} for cpu in last if cpu in isolated],
        "hugepages": [{"node": node.number, "size": "2M", "count": 8} for node in with_cpus if node.hugepage_sizes_kb],
        "management_nic": "", "data_nics": [], "clock": {}, "accept_risk": [], "transport": {},
        "kernel_cmdline_extra": [],
    }  # fmt: skip
    wish = Wish.from_inventory(inventory)
    assert refusals(wish, host) == []
    lines = draw("colo1", wish, host)
    for node in host.nodes.values():
        assert any(f"node {node.number}, " in line for line in lines)
    derived = derive(wish, host)
    assert derived["isolated_cpus"] == sorted(isolated)
    assert all(host.nodes[service["node"]].memory_kb for service in derived["services"].values())
