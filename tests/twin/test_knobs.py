"""Every knob that a deploy set is turned by hand; verify names each, and a deploy mends them all."""

from __future__ import annotations

from shlex import quote

import pytest
from disturbances import DISTURBANCES, PRELUDE, CannotBeTurnedError, last, later
from support import Twin

A_KNOB = "vm.swappiness"


def test_a_knob_turned_by_hand_is_found_and_mended(twin: Twin) -> None:
    managed = twin.ssh(f"sysctl -n {A_KNOB}")
    twin.ssh(f"sysctl -w {A_KNOB}={int(managed) + 1}")
    run = twin.make("verify")
    assert run.status == 2
    assert f"FAIL sysctl {A_KNOB}" in run.output, run.end
    twin.succeed("deploy")
    assert twin.ssh(f"sysctl -n {A_KNOB}") == managed
    twin.succeed("verify")


@pytest.mark.full
@pytest.mark.parametrize("second", [False, True], ids=["first round", "second round"])
def test_every_knob_turned_by_hand_is_named_and_mended(twin: Twin, second: bool) -> None:
    before, desired = twin.knobs(), twin.desired()
    assert {knob["status"] for knob in before.values()} <= {"PASS", "NOT-RUN"}
    unknown = {knob["probe"] for knob in desired.values()} - DISTURBANCES.keys()
    assert not unknown, "say in disturbances.py how these kinds of knobs are turned by hand"
    boot, turned, left = twin.boot_id(), [], {}
    script = PRELUDE
    for name in sorted(desired, key=lambda name: last(desired[name])):
        knob = desired[name]
        if before[name]["status"] == "NOT-RUN":
            left[name] = before[name]["reason"]
            continue
        if later(knob) != second:
            continue
        try:
            command = DISTURBANCES[knob["probe"]](knob)
        except CannotBeTurnedError as refusal:
            left[name] = str(refusal)
            continue
        # taskset tells what it does.
        script += f"{{ {command}; }} >/dev/null 2>&1 || echo {quote(name)}\n"
        turned.append(name)
    for name in twin.ssh("sh -s", script).splitlines():
        assert desired[name]["probe"] == "nic", f"{name} could not be turned"
        turned.remove(name)
        left[name] = "its driver refuses another value"
    for name, reason in left.items():
        print(f"  not turned: {name}, {reason}")

    run = twin.make("verify")
    assert run.status == 2
    unnamed = [name for name in turned if f"FAIL {name}: " not in run.output]
    assert not unnamed, run.end

    twin.succeed("deploy")
    assert {knob["status"] for knob in twin.knobs().values()} <= {"PASS", "NOT-RUN"}
    assert twin.boot_id() == boot, "what was changed by hand needs no reboot"
    assert twin.succeed("deploy").changed_nothing
