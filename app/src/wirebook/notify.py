"""sd_notify(3) in a few lines: tells systemd that a service is ready, and that it is still alive."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send `state` ("READY=1", "STATUS=…", "WATCHDOG=1") to the service manager; False if there is none.

    The protocol is one datagram to the socket that systemd names; a leading `@` is the abstract namespace.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError:  # a manager that went away must not take the feed with it
            return False
    return True


def watchdog_interval() -> float | None:
    """Seconds between two "WATCHDOG=1", half of what the unit's WatchdogSec= allows; None if it asks for none."""
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    process = os.environ.get("WATCHDOG_PID", "")
    if not microseconds.isdigit() or (process and process != str(os.getpid())):
        return None
    return int(microseconds) / 2e6
