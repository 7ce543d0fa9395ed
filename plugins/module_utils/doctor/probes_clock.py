"""Probes of who steers the clock, and how well."""

from __future__ import annotations

from . import clock
from .host import CannotProbeError, Host
from .knobs import Knob, Probe, Reading


def within(offset: int, knob: Knob) -> Reading:
    """Compare an offset with the budget; both in ns."""
    return Reading(f"{offset} ns", running_ok=abs(offset) <= int(knob.want))


def probe_ptp_state(host: Host, knob: Knob) -> Reading:
    """Compare the state of ptp4l's port."""
    try:
        found = clock.port_state(host)
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)
    return Reading(found, running_ok=found == knob.want)


def probe_ptp_timescale(host: Host, knob: Knob) -> Reading:
    """Compare what the grandmaster counts."""
    try:
        found = clock.timescale(host)
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)
    return Reading(found, running_ok=found == knob.want)


def probe_ptp_utc_offset(host: Host, knob: Knob) -> Reading:
    """Compare what the grandmaster says of UTC and of leap seconds with what IERS announced."""
    try:
        found = clock.utc_offset(host)
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)
    return Reading(found, running_ok=found == knob.want)


def probe_ptp_path_delay(host: Host, knob: Knob) -> Reading:
    """Compare the way from the grandmaster with a budget of `want` ns: another way round has other errors."""
    try:
        return within(clock.path_delay(host), knob)
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)


def probe_clock_offset(host: Host, knob: Knob) -> Reading:
    """Compare an offset with a budget of `want` ns.

    `between`: "grandmaster" (it and what ptp4l steers: the clock of the NIC `interface`, or without one the system's),
    "system" (the clock of the NIC `interface` and the system's) or "chrony" (its sources and the system's clock).
    """
    between = knob.argument("between")
    try:
        if between == "grandmaster":
            return within(clock.grandmaster_offset(host, str(knob.spec.get("interface", ""))), knob)
        if between == "system":
            return within(clock.system_offset(host, knob.argument("interface")), knob)
        return within(clock.chrony_offset(host), knob)
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)


PROBES = {
    "ptp_state": Probe(probe_ptp_state, "kernel"),
    "ptp_timescale": Probe(probe_ptp_timescale, "kernel"),
    "ptp_utc_offset": Probe(probe_ptp_utc_offset, "kernel"),
    "ptp_path_delay": Probe(probe_ptp_path_delay, "kernel"),
    "clock_offset": Probe(probe_clock_offset, "kernel"),
}
