"""The gate that feeds wait for, with commands that say what linuxptp says."""

from __future__ import annotations

import json
import time

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.programs import clock
from ansible_collections.wirebook.node.tests.unit.support.fake_host import add_nic

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]
PMC = """
looks=$(cat {folder}/looks 2>/dev/null || echo 0); echo $((looks + 1)) > {folder}/looks
case "$4" in
*PORT_DATA_SET*) [ $looks -lt {listening} ] && s=LISTENING || s=SLAVE; printf '\\t\\tportState  %s\\n' $s ;;
*TIME_STATUS_NP*) printf '\\t\\tmaster_offset  {offset}\\n\\t\\tcurrentUtcOffset  37\\n' ;;
*TIME_PROPERTIES*) printf '\\t\\tcurrentUtcOffset  {utc}\\n' ;;
*CURRENT_DATA*) printf '\\t\\tmeanPathDelay  {delay}\\n' ;;
esac
"""


@pytest.fixture(autouse=True)
def looks(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return how long was waited after each look; in truth it is a hundredth, and not for ever."""
    looks: list[float] = []
    sleep = time.sleep

    def wait(seconds: float) -> None:
        if seconds != clock.SECONDS_BETWEEN_LOOKS:  # it is a subprocess that is waited for
            sleep(seconds)
            return
        looks.append(seconds)
        assert len(looks) < 200, "it waits for ever"
        sleep(seconds / 100)

    monkeypatch.setattr(time, "sleep", wait)
    return looks


def ask(
    host: FakeHost,
    *,
    gate: str,
    listening: int = 0,
    offset: int = 0,
    seconds: float = 0.2,
    utc: int = 37,
    delay: float = 500.0,
    path_delay_ns: int = 0,
) -> None:
    """Write the gate's configuration and a pmc that says LISTENING at its first looks."""
    wanted = {"mode": "ptp-software", "interface": "x", "budget_ns": 1000, "system_budget_ns": 1}
    wanted["path_delay_ns"] = path_delay_ns
    host.write("/etc/wirebook/clock.json", json.dumps(wanted | {"gate": gate, "gate_seconds": seconds}))
    host.install("pmc", PMC.format(folder=host.root, listening=listening, offset=offset, utc=utc, delay=delay))


def run(*arguments: str) -> int:
    return clock.PROGRAM.main(arguments)


def test_the_gate_holds_until_ptp4l_follows_a_grandmaster(host: FakeHost, capsys: Captured) -> None:
    ask(host, gate="hold", listening=4)
    assert run("gate") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "<4>waiting for the clock: ptp4l is LISTENING, not SLAVE"
    assert told[-1].startswith("the clock is good after")
    # Four looks that weren't good, then three in a row, each of three questions.
    assert host.read("/looks").strip() == "13"


def test_a_gate_that_only_warns_opens_after_its_time(host: FakeHost, capsys: Captured) -> None:
    ask(host, gate="warn", offset=1001)
    assert run("gate") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "<4>the feeds start with a clock that isn't good: the clock that ptp4l steers is 1001 ns off, and may be 1000"
    )


def test_settling_has_its_own_time_whatever_the_gates_policy_is(host: FakeHost) -> None:
    ask(host, gate="warn", listening=8, seconds=0)
    assert run("settle", "60") == 0
    ask(host, gate="hold", offset=1001)
    assert run("settle", "0") == 1


def test_the_good_looks_have_to_follow_each_other(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, looks: list[float]
) -> None:
    ask(host, gate="hold")
    reasons = iter(["", "", "the clock is off", "", "", ""])
    monkeypatch.setattr(clock, "why_not", lambda _: next(reasons))
    assert run("settle", "60") == 0
    assert looks == [1.0] * 6


@pytest.mark.parametrize("driver", ["ice", "igb"])
def test_the_clock_of_a_card_is_there_for_all_its_ports(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    """E810 has it on one function, an igb's port without one has none."""
    add_nic(host.root, "ens1f0", "0000:3b:00.0", driver, 0, phc="ptp0")
    add_nic(host.root, "ens1f1", "0000:3b:00.1", driver, 0)

    class GaveUpError(Exception):
        pass

    def give_up(_: float) -> None:
        raise GaveUpError

    monkeypatch.setattr(time, "sleep", give_up)
    assert run("wait-phc", "ens1f0") == 0
    if driver == "ice":
        assert run("wait-phc", "ens1f1") == 0
    else:
        with pytest.raises(GaveUpError):
            run("wait-phc", "ens1f1")


def test_the_gate_holds_while_the_grandmaster_counts_nobody_knows_what(host: FakeHost, capsys: Captured) -> None:
    ask(host, gate="warn", offset=1)
    host.install(
        "pmc",
        PMC.format(folder=host.root, listening=0, offset=1, utc=37, delay=1) + "\nprintf '\\t\\tptpTimescale 0\\n'",
    )
    assert run("gate") == 0
    assert "the grandmaster counts the timescale ARB, not PTP" in capsys.readouterr().out.splitlines()[-1]
    settings = json.loads(host.read("/etc/wirebook/clock.json"))
    host.write("/etc/wirebook/clock.json", json.dumps(settings | {"timescale": "ARB"}))
    assert run("settle", "60") == 0


def test_the_gate_holds_while_the_grandmaster_is_wrong_about_utc(host: FakeHost, capsys: Captured) -> None:
    ask(host, gate="warn", utc=36)
    assert run("gate") == 0
    assert (
        capsys.readouterr()
        .out.splitlines()[-1]
        .endswith("the grandmaster tells UTC 36 s behind TAI instead of 37 s, and the system's clock would follow")
    )


@pytest.mark.parametrize(
    ("delay", "budget", "reason"),
    [
        (500.0, 500, ""),
        (501.0, 500, "the way from the grandmaster is 501 ns long, and may be 500"),
        (0.0, 500, "ptp4l has not measured the path delay: nobody answers its Delay_Req messages"),
        (0.0, 0, ""),
    ],
)
def test_the_gate_holds_while_the_way_to_the_grandmaster_is_too_long(
    host: FakeHost, capsys: Captured, delay: float, budget: int, reason: str
) -> None:
    ask(host, gate="warn", delay=delay, path_delay_ns=budget)
    assert run("gate") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.endswith(reason) if reason else last.startswith("the clock is good after")


def test_a_phc_is_waited_for(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    def appear(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            host.path("/sys/class/net/eth4/device/ptp/ptp0").mkdir(parents=True)

    monkeypatch.setattr(time, "sleep", appear)
    assert run("wait-phc", "eth4") == 0
    assert len(waited) == 3
