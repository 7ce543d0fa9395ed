"""The verdict on a knob: PASS, FAIL or NOT-RUN, and why."""

from __future__ import annotations

from .host import CannotProbeError, Host
from .knobs import FAIL, NO_BOOT_VALUE, NOT_RUN, PASS, Finding, Knob, Reading, describe
from .probes import PROBES


def boot_file_reading(host: Host, knob: Knob, reading: Reading) -> Reading:
    """Add what the next boot will set, for knobs that say which line of which file does it."""
    if "boot_file" not in knob.spec or reading.boot_ok is not None:
        return reading
    name, lines = knob.spec["boot_file"], knob.argument("boot_line")
    text = host.read(name)
    there = {entry.strip() for entry in (text or "").splitlines()}
    lacking = [line for line in ([lines] if isinstance(lines, str) else lines) if line not in there]
    boot = f"{name} {'is absent' if text is None else f'lacks {lacking[0]!r}'}" if lacking else describe(knob.want)
    return Reading(reading.running, reading.running_ok, boot, not lacking)


def examine(host: Host, knob: Knob, *, now: bool = False) -> Finding:
    """Read one knob and judge it; with `now` whatever the next boot will set."""
    container = host.container()
    foreign = bool(container) and knob.scope == "kernel"
    shared = f"this is a {container} container, and the knob is the machine's"
    try:
        if "needs" in knob.spec and not host.path(knob.spec["needs"]).exists():
            raise CannotProbeError(knob.argument("lacking"))
        reading = boot_file_reading(host, knob, PROBES[knob.probe].read(host, knob))
    except CannotProbeError as error:
        return Finding(knob, NOT_RUN, NO_BOOT_VALUE, NO_BOOT_VALUE, shared if foreign else str(error))
    if foreign:
        # The files are the container's own, the running kernel and the boot loader are not: a wrong file is a fault.
        boot = NO_BOOT_VALUE if knob.probe in ("cmdline", "boot_entry") else reading.boot
        if boot != NO_BOOT_VALUE and not reading.boot_ok:
            return Finding(knob, FAIL, boot, NO_BOOT_VALUE, "the next boot won't set it")
        return Finding(knob, NOT_RUN, boot, NO_BOOT_VALUE, shared)
    if reading.running_ok and (now or reading.boot_ok in (True, None)):
        return Finding(knob, PASS, reading.boot, reading.running, "")
    if reading.running_ok:
        reason = "right now, but the next boot won't set it"
    elif reading.boot_ok:
        reason = "the next boot will set it"
    elif reading.boot_ok is False:
        reason = "neither running nor set for the next boot"
    else:
        reason = "not as desired"
    return Finding(knob, FAIL, reading.boot, reading.running, reason)
