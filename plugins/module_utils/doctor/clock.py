"""How good the clock is: asked of ptp4l by pmc(8), of the NIC's clock by phc_ctl(8), of chrony by chronyc(1)."""

from __future__ import annotations

import re

from .host import CannotProbeError, Host

SECOND = 1_000_000_000  # ns
# By the local socket, and to this very clock only.
PMC = ("pmc", "-u", "-b", "0")


def _ask_ptp4l(host: Host, data: str, key: str) -> str:
    """Return one value of a PTP management message; CannotProbeError where ptp4l doesn't answer."""
    text = host.command(*PMC, f"GET {data}")
    found = re.search(rf"^\s*{key}\s+(\S+)$", text, re.MULTILINE)
    if found is None:
        raise CannotProbeError(f"ptp4l doesn't answer 'GET {data}': systemctl status wirebook-ptp4l")
    return found.group(1)


def port_state(host: Host) -> str:
    """Return the state of ptp4l's port: SLAVE follows a grandmaster."""
    return _ask_ptp4l(host, "PORT_DATA_SET", "portState")


def grandmaster_offset(host: Host) -> int:
    """Return how far the clock that ptp4l steers is from the grandmaster's, in ns."""
    return int(_ask_ptp4l(host, "TIME_STATUS_NP", "master_offset"))


def system_offset(host: Host, interface: str) -> int:
    """Return how far the system's clock is from the clock of the NIC, in ns.

    The NIC's clock counts TAI, which is ahead of UTC by what the grandmaster says.
    """
    ahead = int(_ask_ptp4l(host, "TIME_PROPERTIES_DATA_SET", "currentUtcOffset"))
    text = host.command("phc_ctl", interface, "cmp")
    found = re.search(r"offset from CLOCK_REALTIME is (-?\d+)ns", text)
    if found is None:
        raise CannotProbeError(f"phc_ctl doesn't tell the clock of {interface}: {text.strip()}")
    return int(found.group(1)) + ahead * SECOND


def chrony_offset(host: Host) -> int:
    """Return how far chrony takes the system's clock to be from its sources, in ns; CannotProbeError if it has none."""
    fields = host.command("chronyc", "-c", "tracking").strip().split(",")
    if fields[-1] == "Not synchronised":
        raise CannotProbeError("chrony isn't synchronised with any source yet")
    return round(float(fields[4]) * SECOND)
