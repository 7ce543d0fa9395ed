"""Services that would undo what wirebook sets: what else steers a clock, and what else tunes a host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from .files import text_of

# What steers the system's clock or a NIC's: Debian's packages, linuxptp's units, and what vendors of NICs and clocks
# bring along (sfptpd: Solarflare; timebeat; ptpd, which Debian no longer has).
CLOCK_SERVICES = (
    "chrony.service", "chronyd.service", "systemd-timesyncd.service", "ntpsec.service", "ntp.service", "ntpd.service",
    "openntpd.service", "timemaster.service", "sfptpd.service", "ptpd.service", "ptpd2.service", "timebeat.service",
    "ptp4l.service", "phc2sys.service", "ts2phc.service", "ptp4l@.service", "phc2sys@.service", "ts2phc@.service",
)  # fmt: skip
# What moves tasks and memory, or sets governors and sysctls, as it sees fit. irqbalance isn't one: the role affinity
# keeps it away by itself.
TUNERS = frozenset({
    "tuned.service", "tuned-ppd.service", "numad.service", "power-profiles-daemon.service", "tlp.service",
    "auto-cpufreq.service", "cpupower.service", "cpufrequtils.service", "loadcpufreq.service", "ksmtuned.service",
})  # fmt: skip


def clock_services(enabled: Iterable[str]) -> list[str]:
    """Return those of the enabled services that steer a clock."""
    return sorted(name for name in enabled if _template(name) in CLOCK_SERVICES)


def software_ptp(root: Path, services: Iterable[str], clocks: dict[str, str]) -> list[str]:
    """Return those of the services that are a ptp4l which steers the system's clock.

    `clocks` are the PHCs of interfaces: by default ptp4l takes hardware stamps and steers the NIC's own clock, if there
    is one.
    """
    software = re.search(r"^\s*time_stamping\s+software", text_of(root / "etc/linuxptp/ptp4l.conf"), re.MULTILINE)
    ptp4l = [name for name in services if _template(name) in ("ptp4l.service", "ptp4l@.service")]
    return [name for name in ptp4l if software or not clocks.get(_instance(name))]


def enabled_services(root: Path) -> Iterator[str]:
    """Yield the services that the next boot starts; a link to a removed or masked unit starts nothing."""
    own = root / "etc/systemd/system"
    folders = (own, *(root / name for name in ("usr/local/lib", "usr/lib", "lib")))
    units = [folder if folder == own else folder / "systemd/system" for folder in folders]
    for name in {link.name for kind in ("wants", "requires") for link in own.glob(f"*.{kind}/*.service")}:
        masked = (own / name).is_symlink() and (own / name).readlink() == Path("/dev/null")
        if not masked and any((folder / _template(name)).exists() for folder in units):
            yield name


def _template(name: str) -> str:
    return re.sub(r"@.+\.service", "@.service", name)


def _instance(name: str) -> str:
    """Return the interface of an instance; a hyphen in it is escaped (systemd-escape(1))."""
    return name.partition("@")[2].removesuffix(".service").replace("\\x2d", "-")
