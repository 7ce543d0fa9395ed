"""Probes of the clock, with what linuxptp and chrony print."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree

PMC = """echo "$@" >>"${{0%/*}}/asked"
for word; do case "$word" in
*PORT_DATA_SET) echo 'sending: GET PORT_DATA_SET'; printf '\\t\\tportState               {state}\\n' ;;
*TIME_STATUS_NP) printf '\\t\\tmaster_offset              {offset}\\n\\t\\tgmPresent                  {present}\\n'
  printf '\\t\\tingress_time               {heard}\\n' ;;
*TIME_PROPERTIES*) printf '\\t\\tcurrentUtcOffset      37\\n\\t\\tleap61                0\\n'
  printf '\\t\\tptpTimescale          {scale}\\n' ;;
*CURRENT_DATA_SET) printf '\\t\\tmeanPathDelay          {delay}\\n' ;;
esac; done"""


def pmc(
    state: str = "SLAVE",
    offset: int = -250,
    *,
    present: str = "true",
    age: float = 0.3,
    scale: int = 1,
    delay: str = "612.0",
) -> str:
    """Return a pmc that tells this; `age` is how long ago, in seconds, the last Sync came by the system's clock."""
    heard = 0 if age < 0 else time.time_ns() - round(age * 1e9)
    return PMC.format(state=state, offset=offset, present=present, heard=heard, scale=scale, delay=delay)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a host whose ptp4l follows a grandmaster, 250 ns behind."""
    tree = Tree(tmp_path)
    tree.install("pmc", pmc())
    tree.install("phc_ctl", "echo 'phc_ctl[1.234]: offset from CLOCK_REALTIME is -36999999100ns'")
    return tree


def test_ptp4l_follows_a_grandmaster(tree: Tree) -> None:
    tree.desire({"name": "p", "probe": "ptp_state", "want": "SLAVE"})
    assert tree.status() == "PASS"
    tree.install("pmc", pmc("LISTENING", 0))
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


@pytest.mark.parametrize(
    ("answer", "running"),
    [
        ({"age": 5}, "-250 ns"),
        ({"age": 48}, "ptp4l's last Sync came N s ago: its offset of -250 ns is of then"),
        ({"age": -1}, "ptp4l's last Sync came never: its offset of -250 ns is of then"),
        ({"present": "false"}, "ptp4l has no grandmaster"),
    ],
)
def test_an_offset_from_before_sync_stopped_is_off(tree: Tree, answer: dict[str, Any], running: str) -> None:
    tree.install("pmc", pmc(**answer))
    tree.desire({"name": "o", "probe": "clock_offset", "between": "grandmaster", "want": 250})
    found = tree.only()
    # How long ago is told to the second, and the machine may be slow.
    told = re.sub(r"\b\d+ s ago", "N s ago", found["running"])
    assert (found["status"], told) == ("PASS" if running == "-250 ns" else "FAIL", running)


@pytest.mark.parametrize(("age", "status"), [(0.3, "PASS"), (48, "FAIL")])
def test_with_hardware_stamps_the_age_is_by_the_nics_clock(tree: Tree, age: float, status: str) -> None:
    """It counts TAI, 37 s ahead of the system's."""
    answer = pmc(age=0)
    (heard,) = re.findall(r"ingress_time +(\d+)", answer)
    tree.install("pmc", answer.replace(heard, str(int(heard) + round((37 - age) * 1e9))))
    knob = {"name": "o", "probe": "clock_offset", "between": "grandmaster", "want": 250}
    tree.desire(knob | {"interface": "enp0s4"})
    assert tree.status() == status


@pytest.mark.parametrize(("scale", "want", "status"), [(1, "PTP", "PASS"), (0, "PTP", "FAIL"), (0, "ARB", "PASS")])
def test_a_grandmaster_that_counts_nobody_knows_what_is_off(tree: Tree, scale: int, want: str, status: str) -> None:
    tree.install("pmc", pmc(scale=scale))
    tree.desire({"name": "t", "probe": "ptp_timescale", "want": want})
    assert (tree.only()["status"], tree.only()["running"]) == (status, "PTP" if scale else "ARB")


def test_phc2sys_takes_an_arbitrary_timescale_for_utc(tree: Tree) -> None:
    tree.install("pmc", pmc(scale=0))
    tree.install("phc_ctl", "echo 'phc_ctl[1.234]: offset from CLOCK_REALTIME is -900ns'")
    tree.desire({"name": "o", "probe": "clock_offset", "between": "system", "interface": "enp0s4", "want": 900})
    assert tree.status() == "PASS"


LEAP_LIST = "#\tcomment\n#@\t3991766400\n3692217600\t37\t# 1 Jan 2017\n3644697600\t36\t# 1 Jul 2015\n"
SINCE_1900 = 2_208_988_800


@pytest.mark.parametrize(
    ("told", "change", "running"),
    [
        ((37, 0, 0), None, "as announced"),
        ((36, 0, 0), None, "UTC 36 s behind TAI instead of 37 s"),
        ((37, 1, 0), None, "a leap second that IERS didn't announce"),
        ((37, 0, 1), None, "a leap second that IERS didn't announce"),
        # In ten days the list has one more second, or one less.
        ((37, 1, 0), (10, 38), "as announced"),
        ((37, 0, 0), (10, 38), "as announced"),
        ((37, 0, 1), (10, 38), "a leap second that IERS didn't announce"),
        ((37, 0, 1), (10, 36), "as announced"),
        ((37, 1, 0), (90, 38), "a leap second that IERS didn't announce"),
        ((38, 0, 0), (10, 38), "UTC 38 s behind TAI instead of 37 s"),
        ((38, 0, 0), (-10, 38), "as announced"),
        ((37, 0, 0), (90, 38), "as announced"),
        ((36, 0, 0), (90, 38), "UTC 36 s behind TAI instead of 37 s"),
    ],
)
def test_utc_is_as_iers_announced(
    tree: Tree, told: tuple[int, int, int], change: tuple[int, int] | None, running: str
) -> None:
    # Where nothing is near, a host without the list is as good.
    if change is not None:
        since = round(time.time()) + SINCE_1900 + change[0] * 86400
        tree.write("/usr/share/zoneinfo/leap-seconds.list", f"{LEAP_LIST}{since}\t{change[1]}\n")
    offset, leap61, leap59 = told
    answer = pmc().replace("currentUtcOffset      37", f"currentUtcOffset      {offset}")
    answer = answer.replace("leap61                0", f"leap61                {leap61}\\n\\t\\tleap59  {leap59}")
    tree.install("pmc", answer)
    tree.desire({"name": "u", "probe": "ptp_utc_offset", "want": "as announced"})
    found = tree.only()
    assert (found["running"], found["status"]) == (running, "PASS" if running == "as announced" else "FAIL")


def test_who_counts_an_arbitrary_timescale_tells_nothing_of_utc(tree: Tree) -> None:
    tree.install("pmc", pmc(scale=0).replace("currentUtcOffset      37", "currentUtcOffset      0"))
    tree.desire({"name": "u", "probe": "ptp_utc_offset", "want": "as announced"})
    assert tree.status() == "PASS"


@pytest.mark.parametrize(
    ("delay", "status", "running"),
    [
        ("612.0", "PASS", "612 ns"),
        ("1000", "PASS", "1000 ns"),
        ("1001.4", "FAIL", "1001 ns"),
        ("0.0", "FAIL", "ptp4l has not measured the path delay: nobody answers its Delay_Req messages"),
    ],
)
def test_the_path_delay_has_a_budget(tree: Tree, delay: str, status: str, running: str) -> None:
    tree.install("pmc", pmc(delay=delay))
    tree.desire({"name": "d", "probe": "ptp_path_delay", "want": 1000})
    assert (tree.only()["status"], tree.only()["running"]) == (status, running)


@pytest.mark.parametrize("probe", ["ptp_utc_offset", "ptp_path_delay"])
def test_what_a_ptp4l_does_not_tell_is_off(tree: Tree, probe: str) -> None:
    tree.install("pmc", "true")
    tree.desire({"name": "x", "probe": probe, "want": 1000})
    assert tree.only()["running"].startswith("ptp4l doesn't answer")
    assert tree.status() == "FAIL"


@pytest.mark.parametrize(
    ("configuration", "options"),
    [
        ("", "-u -b 0"),
        ("[global]\ndomainNumber 0\ntransportSpecific 0x0\n", "-u -b 0"),
        ("[global]\ndomainNumber 24\n", "-u -b 0 -d 24"),
        ("[global]\ndomainNumber 0\nnetwork_transport L2\ndomainNumber 7\n", "-u -b 0 -d 7"),
        ("[global]\ntransportSpecific 1\nuds_address /run/p\ndomainNumber 3\n", "-u -b 0 -d 3 -t 1 -s /run/p"),
    ],
)
def test_pmc_asks_the_ptp4l_that_runs(tree: Tree, configuration: str, options: str) -> None:
    tree.write("/etc/linuxptp/wirebook.conf", configuration)
    tree.desire({"name": "p", "probe": "ptp_state", "want": "SLAVE"})
    assert tree.status() == "PASS"
    assert (tree.root / "bin/asked").read_text() == f"{options} GET PORT_DATA_SET\n"


TRACKING: dict[str, Any] = {
    "reference": "A29FC87B", "name": "192.0.2.1", "stratum": 3, "heard": 60, "offset": -0.0000015, "last": 0, "rms": 0,
    "frequency": 1, "residual": 0, "skew": 0.1, "delay": 0.0002, "dispersion": 0.0001, "interval": 64.2,
    "leap": "Normal",
}  # fmt: skip
SOURCES = "^,*,192.0.2.1,2,6,377,33,0.0,0.0,0.0\n^,?,192.0.2.2,0,6,0,4294967295,0.0,0.0,0.0"


def chronyc(tree: Tree, sources: str = SOURCES, **changes: Any) -> None:
    """Install a chronyc that tells this; `heard` is how many seconds ago."""
    told = TRACKING | changes
    told["heard"] = time.time() - told["heard"]
    tree.write("/tracking", ",".join(map(str, told.values())))
    tree.write("/sources", sources)
    tree.install("chronyc", f'cat "{tree.root}/$2"')


def test_of_chrony_all_counts_by_which_it_may_be_off(tree: Tree) -> None:
    chronyc(tree)
    # 1.5 us, half of 200 us of delay, and 100 us of dispersion
    for budget, status in ((201_500, "PASS"), (201_499, "FAIL")):
        tree.desire({"name": "o", "probe": "clock_offset", "between": "chrony", "want": budget})
        assert (tree.only()["status"], tree.only()["running"]) == (status, "201500 ns")


@pytest.mark.parametrize(
    ("changes", "running"),
    [
        ({"leap": "Not synchronised"}, "chrony isn't synchronised with any source yet"),
        ({"reference": "7F7F0101"}, "chrony follows its own clock (local), not a source's"),
        ({"dispersion": 3849.691650391}, "3849691751891 ns"),
        ({"heard": 172800}, "chrony heard its source N s ago the last time: chronyc sources"),
        ({"heard": 3000, "interval": 1024}, "201500 ns"),
        ({"sources": "^,?,192.0.2.1,2,6,0,300,0,0,0"}, "chrony follows no source that answers: chronyc sources"),
        ({"sources": "^,*,192.0.2.1,2,6,0,300,0,0,0"}, "chrony follows no source that answers: chronyc sources"),
        ({"sources": "#,*,PHC0,0,3,377,5,0,0,0"}, "201500 ns"),
    ],
)
def test_a_chrony_that_hears_nobody_is_off(tree: Tree, changes: dict[str, Any], running: str) -> None:
    chronyc(tree, **changes)
    tree.desire({"name": "o", "probe": "clock_offset", "between": "chrony", "want": 1_000_000})
    status = "PASS" if running == "201500 ns" else "FAIL"
    found = tree.only()
    assert (found["status"], re.sub(r"\b\d+ s ago", "N s ago", found["running"])) == (status, running)
