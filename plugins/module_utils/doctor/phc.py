"""Whether an interface has its PTP hardware clock (PHC): asked of its driver, as ptp4l does."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
from pathlib import Path

from ..topology.nics import clock_of, pci_of
from .host import Host

# linux/sockios.h, linux/ethtool.h
SIOCETHTOOL = 0x8946
ETHTOOL_GET_TS_INFO = 0x41
# struct ethtool_ts_info: command, stamping, the clock's number, transmission and reception with room for more.
INFO = struct.Struct("=IIiI3II3I")
REQUEST = struct.Struct("16sP16x")  # struct ifreq


def has_clock(host: Host, interface: str) -> bool:
    """Return whether the driver gives the interface a clock, be it another port's: ice's ports share one.

    A VLAN or bond has its NIC's. Where no driver can be asked the card's files tell.
    """
    if host.root == Path("/"):
        try:
            return _clock_number(interface) >= 0
        except OSError:
            pass  # the interface isn't there yet, or its driver tells nothing
    folder = host.path(f"/sys/class/net/{interface}")
    pci = pci_of(folder)
    return any(folder.glob("device/ptp/ptp*")) or (pci is not None and bool(clock_of(pci)))


def _clock_number(interface: str) -> int:
    """Return the number of the interface's clock, -1 for none; OSError where nobody can say."""
    info = array.array("B", INFO.pack(ETHTOOL_GET_TS_INFO, *[0] * 10))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCETHTOOL, REQUEST.pack(interface.encode(), info.buffer_info()[0]))
    return int(INFO.unpack(info.tobytes())[2])
