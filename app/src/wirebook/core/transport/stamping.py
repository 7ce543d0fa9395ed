"""Which stamps a NIC's packets can get, and how its clock relates to the system's.

The kernel stamps what a driver hands over. A NIC that stamps every packet by its own clock (PHC) does better: then the
stamp is of the wire, without interrupt and softirq. Many NICs can only stamp PTP's own packets, which is no use here.
Sources: Documentation/networking/timestamping.rst, Documentation/driver-api/ptp.rst.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from typing import NamedTuple

_SIOCETHTOOL = 0x8946
_SIOCSHWTSTAMP = 0x89B0
_SIOCGHWTSTAMP = 0x89B1
_ETHTOOL_GET_TS_INFO = 0x41
_SOF_RX_HARDWARE = 1 << 2
_SOF_RAW_HARDWARE = 1 << 6
_FILTER_NONE = 0
_FILTER_ALL = 1

_IFREQ = struct.Struct("16sP16x")
_TS_INFO = struct.Struct("IIiI12xI12x")
"""cmd, so_timestamping, phc_index, tx_types, rx_filters."""
_HWTSTAMP = struct.Struct("iii")
"""flags, tx_type, rx_filter."""

_SAMPLES = 5
_CLOCK_TIME = struct.Struct("qII")
_PTP_SYS_OFFSET_BYTES = 16 + 16 * (2 * 25 + 1)
_PTP_SYS_OFFSET = 1 << 30 | _PTP_SYS_OFFSET_BYTES << 16 | ord("=") << 8 | 5

_STEP_NS = 10_000
_WORST_RATE = 1e-4
"""If a reading is further than both of these from what was expected, a clock was set: no quartz is that wrong."""


class Stamping(NamedTuple):
    """What stamps an interface's packets."""

    phc: int
    """The PTP clock that stamps every packet, N of /dev/ptpN; -1: only the kernel stamps."""
    reason: str
    """Why there are no hardware stamps; empty when there are."""


def _ioctl(interface: str, request: int, data: bytearray) -> None:
    """An ioctl of netdevice(7) whose argument is a structure of its own."""
    memory = (ctypes.c_char * len(data)).from_buffer(data)
    ifreq = bytearray(_IFREQ.pack(os.fsencode(interface), ctypes.addressof(memory)))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, request, ifreq)


def stamping(interface: str) -> Stamping:
    """Find out, and switch hardware stamps on where that is allowed."""
    info = bytearray(_TS_INFO.pack(_ETHTOOL_GET_TS_INFO, 0, 0, 0, 0))
    try:
        _ioctl(interface, _SIOCETHTOOL, info)
    except OSError as error:
        return Stamping(-1, f"{interface} tells nothing about its stamps ({error.strerror})")
    _, can, phc, _, filters = _TS_INFO.unpack(info)
    if not can & _SOF_RX_HARDWARE or not can & _SOF_RAW_HARDWARE or phc < 0:
        return Stamping(-1, f"{interface} stamps no packets in hardware")
    if not filters >> _FILTER_ALL & 1:
        return Stamping(-1, f"{interface} stamps nothing but PTP's packets in hardware")
    reason = _switch_on(interface)
    return Stamping(phc if not reason else -1, reason)


def _switch_on(interface: str) -> str:
    """Make the NIC stamp all packets; the reason why not, or an empty text."""
    config = bytearray(_HWTSTAMP.size)
    with contextlib.suppress(OSError):  # a driver need not tell; then it is as after a reset
        _ioctl(interface, _SIOCGHWTSTAMP, config)
    flags, tx_type, rx_filter = _HWTSTAMP.unpack(config)
    if rx_filter == _FILTER_ALL:
        return ""
    config[:] = _HWTSTAMP.pack(flags, tx_type, _FILTER_ALL)  # what transmission has stays: ptp4l may use it
    try:
        _ioctl(interface, _SIOCSHWTSTAMP, config)
    except PermissionError:
        now = "nothing" if rx_filter == _FILTER_NONE else "nothing but PTP's packets"
        return f"{interface} is set to stamp {now}: hwstamp_ctl -i {interface} -t {tx_type} -r {_FILTER_ALL}"
    except OSError as error:
        return f"{interface} refuses to stamp every packet ({error.strerror})"
    if _HWTSTAMP.unpack(config)[2] != _FILTER_ALL:
        return f"{interface} stamps only some packets in hardware"
    return ""


class Relation(NamedTuple):
    """How a PHC's time becomes the system's, from one reading of both to the next."""

    phc_ns: int
    """The PHC's time at the last reading."""
    offset_ns: int
    """System time - PHC's time, then."""
    rate: float
    """By how much the offset grows in a ns of the PHC."""

    def offset_at(self, phc_ns: int) -> int:
        """System time - PHC's time when the PHC says `phc_ns`."""
        return self.offset_ns + round((phc_ns - self.phc_ns) * self.rate)

    def read(self, phc_ns: int, offset_ns: int) -> tuple[Relation, int]:
        """Return the relation by the next reading, and by how many ns a clock was set in between, or 0.

        After that nothing is known about the rate.
        """
        error = offset_ns - self.offset_at(phc_ns)
        passed = phc_ns - self.phc_ns
        if passed <= 0 or abs(error) >= max(_STEP_NS, passed * _WORST_RATE):
            return Relation(phc_ns, offset_ns, 0.0), error
        return Relation(phc_ns, offset_ns, (offset_ns - self.offset_ns) / passed), 0


def best_reading(answer: bytes | bytearray) -> tuple[int, int]:
    """(PHC's time, system time - PHC's time) in ns: of the readings in a `ptp_sys_offset`, the one that took least."""
    count = struct.unpack_from("I", answer)[0]
    times = [second * 1_000_000_000 + ns for second, ns, _ in _CLOCK_TIME.iter_unpack(answer[16:])]
    before, phc, after = min(
        ((times[2 * n], times[2 * n + 1], times[2 * n + 2]) for n in range(count)),
        key=lambda reading: reading[2] - reading[0],
    )
    return phc, (before + after) // 2 - phc


class PhcWatch:
    """Follows a PTP clock, so that its stamps can be told in the system's time."""

    def __init__(self, phc: int) -> None:
        """Raises OSError if the clock can't be read."""
        self.steps = 0
        """How often the clock was not where it was expected."""
        self._device = f"/dev/ptp{phc}"
        self._fd = os.open(self._device, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.relation = Relation(*self._read(), 0.0)
        except OSError:
            self.close()
            raise

    def _read(self) -> tuple[int, int]:
        request = bytearray(_PTP_SYS_OFFSET_BYTES)
        struct.pack_into("I", request, 0, _SAMPLES)
        fcntl.ioctl(self._fd, _PTP_SYS_OFFSET, request)
        return best_reading(request)

    def look(self) -> str:
        """Read the clocks again, once a second or so; a warning, or an empty text. Raises OSError if they can't be."""
        self.relation, step = self.relation.read(*self._read())
        if step == 0:
            return ""
        self.steps += 1
        return (
            f"{self._device} or the system's clock was set, by {step} ns: hardware stamps of the last second are off by"
            " as much; see that ptp4l and phc2sys run"
        )

    def close(self) -> None:
        """Close the clock."""
        os.close(self._fd)
