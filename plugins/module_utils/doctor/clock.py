"""How good the clock is: asked of ptp4l by pmc(8), of the NIC's clock by phc_ctl(8), of chrony by chronyc(1).

An answer may be an old one: ptp4l stays SLAVE with its last offset when Sync messages stop, and chrony tells its last
offset for days. So the age of what was heard last is judged too.
"""

from __future__ import annotations

import re
import time

from .host import CannotProbeError, Host

SECOND = 1_000_000_000  # ns
# What ptp4l runs with; pmc and phc2sys have to be told the same.
CONFIGURATION = "/etc/linuxptp/wirebook.conf"
# By the local socket, and to this very clock only.
PMC = ("pmc", "-u", "-b", "0")
# Options of ptp4l's [global] that decide whom ptp4l answers, and pmc's for the same.
PMC_OPTIONS = {"domainNumber": "-d", "transportSpecific": "-t", "uds_address": "-s"}
# Grandmasters send from 128 Sync messages a second to one in two; none in this time is a loss.
SYNC_SECONDS = 10
# chrony: polls of its sources that may be missed, and the shortest time between updates that counts.
CHRONY_UPDATES, CHRONY_SECONDS = 4, 64.0
CHRONY_OWN_CLOCK = "7F7F0101"  # the reference ID of `local` (chronyc(1))
CHRONY_FIELDS = 14
# What the International Earth Rotation Service announces, as Debian's tzdata has it; seconds count from 1900.
LEAP_SECONDS = "/usr/share/zoneinfo/leap-seconds.list"
SECONDS_FROM_1900 = 2_208_988_800
# Where the host has no such file: since 2017.
UTC_BEHIND_TAI = 37
# A leap second is announced in the day before it, or in the month (IEEE 1588, 9.4; ntp.conf(5)).
LEAP_ANNOUNCED = 31 * 24 * 3600
AS_ANNOUNCED = "as announced"


def pmc_command(host: Host) -> tuple[str, ...]:
    """Return pmc with the arguments that it needs here: a ptp4l of another domain doesn't answer."""
    text = host.read(CONFIGURATION) or ""
    options: list[str] = []
    for name, option in PMC_OPTIONS.items():
        found = re.findall(rf"^\s*{name}\s+(\S+)\s*$", text, re.MULTILINE)
        if found and found[-1] not in ("0", "0x0"):
            options += [option, found[-1]]
    return (*PMC, *options)


def _ask_ptp4l(host: Host, *data: str) -> dict[str, str]:
    """Return the values of PTP management messages; none if ptp4l doesn't answer."""
    text = host.command(*pmc_command(host), *(f"GET {name}" for name in data))
    return dict(re.findall(r"^\s+(\w+)\s+(\S+)$", text, re.MULTILINE))


def _value(host: Host, found: dict[str, str], key: str, data: str) -> str:
    if key not in found:
        asked = " ".join(pmc_command(host)[len(PMC) :])
        with_options = f" ({asked})" if asked else ""
        raise CannotProbeError(f"ptp4l doesn't answer 'GET {data}'{with_options}: systemctl status wirebook-ptp4l")
    return found[key]


def port_state(host: Host) -> str:
    """Return the state of ptp4l's port: SLAVE follows a grandmaster."""
    return _value(host, _ask_ptp4l(host, "PORT_DATA_SET"), "portState", "PORT_DATA_SET")


def grandmaster_offset(host: Host, interface: str = "") -> int:
    """Return how far the clock that ptp4l steers is from the grandmaster's, in ns.

    That clock is the one of the NIC `interface`, or the system's. CannotProbeError: there is no grandmaster, or no Sync
    came lately.
    """
    found = _status(host)
    offset = int(_value(host, found, "master_offset", "TIME_STATUS_NP"))
    if found.get("gmPresent") == "false":
        raise CannotProbeError("ptp4l has no grandmaster")
    if "ingress_time" in found:
        heard = int(found["ingress_time"])
        now = time.time_ns() - (_phc_offset(host, interface) if interface else 0)
        if not heard or abs(now - heard) > SYNC_SECONDS * SECOND:
            ago = f"{(now - heard) / SECOND:.0f} s ago" if heard else "never"
            raise CannotProbeError(f"ptp4l's last Sync came {ago}: its offset of {offset} ns is of then")
    return offset


def timescale(host: Host) -> str:
    """Return what the grandmaster counts: "PTP" (TAI), or "ARB", of which nobody knows how far it is from UTC.

    IEEE 1588, 7.2.1; a linuxptp grandmaster with software stamps says ARB, and counts its system's clock.
    """
    return "ARB" if _status(host).get("ptpTimescale") == "0" else "PTP"


def path_delay(host: Host) -> int:
    """Return how long the way from the grandmaster takes, in ns, as ptp4l measured it.

    CannotProbeError: it never did, so that the offset is wrong by all of it.
    """
    found = _ask_ptp4l(host, "CURRENT_DATA_SET")
    delay = round(float(_value(host, found, "meanPathDelay", "CURRENT_DATA_SET")))
    if not delay:
        raise CannotProbeError("ptp4l has not measured the path delay: nobody answers its Delay_Req messages")
    return delay


def utc_offset(host: Host) -> str:
    """Return AS_ANNOUNCED, or how the grandmaster's idea of UTC differs from what IERS announced.

    phc2sys sets the system's clock by it, and a leap second that it announces is inserted.
    """
    found = _ask_ptp4l(host, "TIME_PROPERTIES_DATA_SET")
    told = int(_value(host, found, "currentUtcOffset", "TIME_PROPERTIES_DATA_SET"))
    if found.get("ptpTimescale") == "0":
        return AS_ANNOUNCED  # it counts UTC itself, if anything
    expected, change = _announced(host, time.time())
    if told != expected:
        return f"UTC {told} s behind TAI instead of {expected} s"
    leap = (found.get("leap61") == "1") - (found.get("leap59") == "1")
    if leap and leap != change:
        return "a leap second that IERS didn't announce"
    return AS_ANNOUNCED


def _announced(host: Host, now: float) -> tuple[int, int]:
    """Return how far UTC is behind TAI now, in s, and the change that is near; by the list of leap seconds."""
    lines = [line.split() for line in (host.read(LEAP_SECONDS) or "").splitlines() if line and line[0].isdigit()]
    steps = sorted((int(since) - SECONDS_FROM_1900, int(behind)) for since, behind, *_ in lines)
    current = next((behind for since, behind in reversed(steps) if since <= now), UTC_BEHIND_TAI)
    near = [behind - current for since, behind in steps if now < since <= now + LEAP_ANNOUNCED]
    return current, near[0] if near else 0


def _status(host: Host) -> dict[str, str]:
    return _ask_ptp4l(host, "TIME_STATUS_NP", "TIME_PROPERTIES_DATA_SET")


def _phc_offset(host: Host, interface: str) -> int:
    """Return how far the system's clock is ahead of the NIC's, in ns."""
    text = host.command("phc_ctl", interface, "cmp")
    found = re.search(r"offset from CLOCK_REALTIME is (-?\d+)ns", text)
    if found is None:
        raise CannotProbeError(f"phc_ctl doesn't tell the clock of {interface}: {text.strip()}")
    return int(found.group(1))


def system_offset(host: Host, interface: str) -> int:
    """Return how far the system's clock is from the clock of the NIC, in ns.

    The NIC's clock counts TAI, which is ahead of UTC by what the grandmaster says; phc2sys takes an arbitrary timescale
    (ARB) for UTC.
    """
    found = _ask_ptp4l(host, "TIME_PROPERTIES_DATA_SET")
    ahead = int(_value(host, found, "currentUtcOffset", "TIME_PROPERTIES_DATA_SET"))
    return _phc_offset(host, interface) + (0 if found.get("ptpTimescale") == "0" else ahead * SECOND)


def chrony_offset(host: Host) -> int:
    """Return how far the system's clock may be from true time at most, in ns, by what chrony knows.

    That is its offset, half of the way to the reference, and the dispersion, which grows while nothing is heard
    (chronyc(1), "tracking"). CannotProbeError: chrony has no source, or none that answers.
    """
    fields = host.command("chronyc", "-c", "tracking").strip().split(",")
    if fields[-1] == "Not synchronised" or len(fields) < CHRONY_FIELDS:
        raise CannotProbeError("chrony isn't synchronised with any source yet")
    if fields[0] == CHRONY_OWN_CLOCK:
        raise CannotProbeError("chrony follows its own clock (local), not a source's")
    offset, delay, dispersion, interval = (float(fields[number]) for number in (4, 10, 11, 12))
    age = time.time() - float(fields[3])
    if age > CHRONY_UPDATES * max(interval, CHRONY_SECONDS):
        raise CannotProbeError(f"chrony heard its source {age:.0f} s ago the last time: chronyc sources")
    sources = [line.split(",") for line in host.command("chronyc", "-c", "sources").splitlines()]
    # Mode, state, name, stratum, poll, reach (octal), ...; a reference clock has the mode #.
    reach = [int(source[5], 8) for source in sources if source[0] in ("^", "=", "#") and source[1] == "*"]
    if any(source[0] in ("^", "=", "#") for source in sources) and not any(reach):
        raise CannotProbeError("chrony follows no source that answers: chronyc sources")
    return round((abs(offset) + delay / 2 + dispersion) * SECOND)
