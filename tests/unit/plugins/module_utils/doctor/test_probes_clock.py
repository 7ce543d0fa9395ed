"""Probes of the clock, with what linuxptp and chrony print."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree

PMC = """case "$4" in
*PORT_DATA_SET*) echo 'sending: GET PORT_DATA_SET'; printf '\\t\\tportState               {state}\\n' ;;
*TIME_STATUS_NP*) printf '\\t\\tmaster_offset              {offset}\\n\\t\\tgmPresent                  true\\n' ;;
*TIME_PROPERTIES*) printf '\\t\\tcurrentUtcOffset      37\\n\\t\\tleap61                0\\n' ;;
esac"""


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a host whose ptp4l follows a grandmaster, 250 ns behind."""
    tree = Tree(tmp_path)
    tree.install("pmc", PMC.format(state="SLAVE", offset=-250))
    tree.install("phc_ctl", "echo 'phc_ctl[1.234]: offset from CLOCK_REALTIME is -36999999100ns'")
    return tree


def test_ptp4l_follows_a_grandmaster(tree: Tree) -> None:
    tree.desire({"name": "p", "probe": "ptp_state", "want": "SLAVE"})
    assert tree.status() == "PASS"
    tree.install("pmc", PMC.format(state="LISTENING", offset=0))
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "LISTENING")


def test_a_ptp4l_that_does_not_answer_is_off(tree: Tree) -> None:
    tree.install("pmc", "echo 'sending: GET PORT_DATA_SET'")
    tree.desire({"name": "p", "probe": "ptp_state", "want": "SLAVE"})
    assert tree.status() == "FAIL"
    assert tree.only()["running"].startswith("ptp4l doesn't answer")


@pytest.mark.parametrize(("budget", "status"), [(250, "PASS"), (249, "FAIL")])
def test_the_offset_from_the_grandmaster_has_a_budget(tree: Tree, budget: int, status: str) -> None:
    tree.desire({"name": "o", "probe": "clock_offset", "between": "grandmaster", "want": budget})
    assert (tree.only()["status"], tree.only()["running"]) == (status, "-250 ns")


@pytest.mark.parametrize(("budget", "status"), [(900, "PASS"), (899, "FAIL")])
def test_the_systems_clock_counts_utc_and_the_nics_tai(tree: Tree, budget: int, status: str) -> None:
    tree.desire(
        {"name": "o", "probe": "clock_offset", "between": "system", "interface": "enp0s4", "want": budget},
    )
    assert (tree.only()["status"], tree.only()["running"]) == (status, "900 ns")


def test_chrony(tree: Tree) -> None:
    tracking = "A29FC87B,192.0.2.1,3,1795327200.1,-0.000001500,0.0,0.0,1.0,0.0,0.1,0.01,0.02,64.2,{}"
    tree.desire({"name": "o", "probe": "clock_offset", "between": "chrony", "want": 2000})
    tree.install("chronyc", f"echo '{tracking.format('Normal')}'")
    assert (tree.only()["status"], tree.only()["running"]) == ("PASS", "-1500 ns")
    tree.install("chronyc", f"echo '{tracking.format('Not synchronised')}'")
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "chrony isn't synchronised with any source yet")
