"""The gate that feeds wait for, with commands that say what linuxptp says."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.wirebook.node.tests.unit.support.load import load_program
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES

ROLE = ROLES / "clock"

PMC = """#!/bin/sh
looks=$(cat {folder}/looks 2>/dev/null || echo 0); echo $((looks + 1)) > {folder}/looks
case "$4" in
*PORT_DATA_SET*) [ $looks -lt {listening} ] && s=LISTENING || s=SLAVE; printf '\\t\\tportState  %s\\n' $s ;;
*TIME_STATUS_NP*) printf '\\t\\tmaster_offset  {offset}\\n' ;;
esac
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the program with the folder's commands, and a gate for software PTP that doesn't dawdle."""
    module = load_program(ROLE / "files/wirebook-clock")
    monkeypatch.setattr(module, "CONFIGURATION", tmp_path / "clock.json")
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LOOKS", 0.01)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return module


def ask(tmp_path: Path, *, gate: str, listening: int = 0, offset: int = 0, seconds: float = 0.2) -> None:
    """Write the gate's configuration and a pmc that says LISTENING so many times first."""
    wanted = {"mode": "ptp-software", "interface": "x", "budget_ns": 1000, "system_budget_ns": 1}
    (tmp_path / "clock.json").write_text(json.dumps(wanted | {"gate": gate, "gate_seconds": seconds}))
    (tmp_path / "pmc").write_text(PMC.format(folder=tmp_path, listening=listening, offset=offset))
    (tmp_path / "pmc").chmod(0o755)


def run(program: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command; return its status."""
    monkeypatch.setattr(sys, "argv", ["wirebook-clock", *arguments])
    status: int = program.main()
    return status


def test_the_gate_holds_until_ptp4l_follows_a_grandmaster(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(tmp_path, gate="hold", listening=4)
    assert run(program, monkeypatch, "gate") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "<4>waiting for the clock: ptp4l is LISTENING, not SLAVE"
    assert told[-1].startswith("the clock is good after")
    # Four looks that weren't good, then three in a row, each of two questions.
    assert (tmp_path / "looks").read_text().strip() == "10"


def test_a_gate_that_only_warns_opens_after_its_time(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(tmp_path, gate="warn", offset=1001)
    assert run(program, monkeypatch, "gate") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == (
        "<4>the feeds start with a clock that isn't good: the clock that ptp4l steers is 1001 ns off, and may be 1000"
    )


def test_settling_has_its_own_time_whatever_the_gates_policy_is(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(tmp_path, gate="warn", listening=8, seconds=0)
    assert run(program, monkeypatch, "settle", "60") == 0
    ask(tmp_path, gate="hold", offset=1001)
    assert run(program, monkeypatch, "settle", "0") == 1
    assert run(program, monkeypatch, "settle", "soon") == 2
