"""wirebook-clock: wait for the clock."""

from __future__ import annotations

import argparse
import math
import time
from typing import Any

from ..doctor import clock
from ..doctor.host import CannotProbeError
from ..doctor.phc import has_clock
from .arguments import interface, whole_number
from .program import FAILED, STATUSES, Argument, Command, Program
from .system import host, settings, tell

SETTINGS = "/etc/wirebook/clock.json"
KEYS = ("mode", "interface", "budget_ns", "system_budget_ns", "gate", "gate_seconds")
# So many looks in a row have to be good: a servo that swings through zero isn't settled.
LOOKS = 3
SECONDS_BETWEEN_LOOKS = 1.0
# A line that begins so is a warning in systemd's journal (sd-daemon(3)).
WARNING = "<4>"


def why_not(wanted: dict[str, Any]) -> str:
    """Return why the clock isn't good, or ""."""
    asked = host()
    try:
        if wanted["mode"] == "chrony":
            return beyond("the system's clock", clock.chrony_offset(asked), wanted["budget_ns"])
        if (state := clock.port_state(asked)) != "SLAVE":
            return f"ptp4l is {state}, not SLAVE"
        hardware = wanted["mode"] == "ptp-hardware"
        offset = clock.grandmaster_offset(asked, wanted["interface"] if hardware else "")
        if (counts := clock.timescale(asked)) != (accepted := wanted.get("timescale", "PTP")):
            return f"the grandmaster counts the timescale {counts}, not {accepted}, and its offset from UTC isn't known"
        if (said := clock.utc_offset(asked)) != clock.AS_ANNOUNCED:
            return f"the grandmaster tells {said}, and the system's clock would follow"
        told = beyond("the clock that ptp4l steers", offset, wanted["budget_ns"])
        if not told and (budget := wanted.get("path_delay_ns")):
            told = beyond("the way from the grandmaster", clock.path_delay(asked), budget, "long")
        if hardware and not told:
            offset = clock.system_offset(asked, wanted["interface"])
            told = beyond("the system's clock", offset, wanted["system_budget_ns"])
    except CannotProbeError as error:
        return str(error)
    return told


def beyond(what: str, offset: int, budget: int, off: str = "off") -> str:
    """Return a sentence if an offset is over its budget, both in ns."""
    return f"{what} is {offset} ns {off}, and may be {budget}" if abs(offset) > budget else ""


def wait(wanted: dict[str, Any], seconds: float) -> str:
    """Wait until the clock is good, for at most `seconds`; return why it isn't good even then, or ""."""
    started = time.monotonic()
    good, told = 0, ""
    while good < LOOKS:
        reason = why_not(wanted)
        good = 0 if reason else good + 1
        if reason and reason.split()[:4] != told.split()[:4]:
            tell(f"{WARNING}waiting for the clock: {reason}")
            told = reason
        if reason and time.monotonic() - started > seconds:
            return reason
        time.sleep(SECONDS_BETWEEN_LOOKS)
    tell(f"the clock is good after {time.monotonic() - started:.0f} s")
    return ""


def run(arguments: argparse.Namespace) -> int:
    """Wait for what is asked."""
    if arguments.command == "wait-phc":
        while not has_clock(host(), arguments.interface):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        return 0
    wanted = settings(SETTINGS, *KEYS)
    if arguments.command == "settle":
        return FAILED if wait(wanted, arguments.seconds) else 0
    if reason := wait(wanted, wanted["gate_seconds"] if wanted["gate"] == "warn" else math.inf):
        tell(f"{WARNING}the feeds start with a clock that isn't good: {reason}")
    return 0


PROGRAM = Program(
    name="wirebook-clock",
    summary="wait for the clock",
    description=(
        "Waits until the clock is good, or until a NIC has its own clock, for the units that need that.",
        "The clock is good when ptp4l is SLAVE (or chrony follows a server), was heard lately, agrees with IERS about "
        "UTC and leap seconds, and offsets and path delay are within their budgets, three times in a row.",
    ),
    run=run,
    commands=(
        Command(
            "wait-phc", "Wait until a network interface has its PTP hardware clock (PHC).",
            (Argument("INTERFACE", "the interface", {"type": interface}),),
        ),
        Command(
            "gate",
            "Hold the feeds until the clock is good; if clock_gate is `warn`, for clock_gate_seconds at most.",
        ),
        Command(
            "settle", "Wait until the clock is good, for a limited time.",
            (Argument("SECONDS", "the longest time to wait", {"type": whole_number}),),
        ),
    ),
    statuses=STATUSES | {FAILED: "After `settle` SECONDS the clock isn't good; or something failed."},
    files={
        SETTINGS: "who steers the clock, the budgets in ns, and the gate's policy",
        "/etc/systemd/system/wirebook-clock-gate.service": "runs `gate`, and every feed requires it",
    },
    examples={"wirebook-clock settle 60": "Wait for a minute at most; the exit status says whether the clock is good."},
    see_also=("ptp4l(8)", "phc2sys(8)", "chronyd(8)", "node-doctor(8)"),
)  # fmt: skip
