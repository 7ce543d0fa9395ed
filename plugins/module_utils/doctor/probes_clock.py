"""Probes of who steers the clock, and how well."""

from __future__ import annotations

from collections.abc import Callable

from . import clock
from .host import CannotProbeError, Host
from .knobs import Knob, Probe, Reading


def within(offset: int, knob: Knob) -> Reading:
    """Compare an offset with the budget; both in ns."""
    return Reading(f"{offset} ns", running_ok=abs(offset) <= int(knob.want))


def exactly(found: str, knob: Knob) -> Reading:
    """Compare what was found with what is wanted."""
    return Reading(found, running_ok=found == knob.want)


def off_if_untold(read: Callable[[], Reading]) -> Reading:
    """Return what was read. Of a clock, not to be told is a reading too: it is off, for that reason."""
    try:
        return read()
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)


def probe_ptp_state(host: Host, knob: Knob) -> Reading:
    """Compare the state of ptp4l's port."""
    return off_if_untold(lambda: exactly(clock.port_state(host), knob))


def probe_ptp_timescale(host: Host, knob: Knob) -> Reading:
    """Compare what the grandmaster counts."""
    return off_if_untold(lambda: exactly(clock.timescale(host), knob))


def probe_ptp_utc_offset(host: Host, knob: Knob) -> Reading:
    """Compare what the grandmaster says of UTC and of leap seconds with what IERS announced."""
    return off_if_untold(lambda: exactly(clock.utc_offset(host), knob))


def probe_ptp_path_delay(host: Host, knob: Knob) -> Reading:
    """Compare the way from the grandmaster with a budget of `want` ns: another way round has other errors."""
    return off_if_untold(lambda: within(clock.path_delay(host), knob))


def probe_clock_offset(host: Host, knob: Knob) -> Reading:
    """Compare an offset with a budget of `want` ns.

    `between`: "grandmaster" (it and what ptp4l steers: the clock of the NIC `interface`, or without one the system's),
    "system" (the clock of the NIC `interface` and the system's) or "chrony" (its sources and the system's clock).
    """
    between = knob.argument("between")
    if between == "grandmaster":
        return off_if_untold(lambda: within(clock.grandmaster_offset(host, str(knob.spec.get("interface", ""))), knob))
    if between == "system":
        return off_if_untold(lambda: within(clock.system_offset(host, knob.argument("interface")), knob))
    return off_if_untold(lambda: within(clock.chrony_offset(host), knob))


PROBES = {
    "ptp_state": Probe(probe_ptp_state, "kernel"),
    "ptp_timescale": Probe(probe_ptp_timescale, "kernel"),
    "ptp_utc_offset": Probe(probe_ptp_utc_offset, "kernel"),
    "ptp_path_delay": Probe(probe_ptp_path_delay, "kernel"),
    "clock_offset": Probe(probe_clock_offset, "kernel"),
}
