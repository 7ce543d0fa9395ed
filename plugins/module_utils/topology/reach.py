"""The interfaces by which a host is reached: those of default routes, and those of the SSH session that runs this."""

from __future__ import annotations

import ipaddress
import re
import sys
from pathlib import Path

from . import rtnetlink
from .files import text_of

RUNNING = Path("/")


def default_route_interfaces(root: Path) -> set[str]:
    """Return the interfaces that carry a default route, IPv4 or IPv6, in any table."""
    if root == RUNNING:
        return rtnetlink.default_interfaces()
    # proc_pid_net(5)
    found = set()
    for line in text_of(root / "proc/net/route").splitlines()[1:]:
        fields = line.split()
        if fields[1] == fields[7] == "00000000":
            found.add(fields[0])
    for line in text_of(root / "proc/net/ipv6_route").splitlines():
        fields = line.split()
        if fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            found.add(fields[9])
    return found


def ssh_interfaces(root: Path) -> set[str]:
    """Return the interfaces that may carry the SSH session that runs this.

    Of the running host those that have the session's address, and those by which its answers leave; of files those
    whose network has it.
    """
    peer, own = _ssh_connection(root / "proc")
    if own is None:
        return set()
    if root == RUNNING:
        return rtnetlink.interfaces_with(own) | (set() if peer is None else rtnetlink.interfaces_to(peer, own))
    if own.version == 6:
        lines = [line.split() for line in text_of(root / "proc/net/if_inet6").splitlines()]
        return {fields[5] for fields in lines if bytes.fromhex(fields[0]) == own.packed}
    # The kernel prints the four bytes of an address as one number of the machine's own byte order.
    number = int.from_bytes(own.packed, sys.byteorder)
    found = set()
    for line in text_of(root / "proc/net/route").splitlines()[1:]:
        fields = line.split()
        destination, gateway, mask = (int(fields[column], 16) for column in (1, 2, 7))
        if not gateway and number & mask == destination:
            found.add(fields[0])
    return found


def _ssh_connection(proc: Path) -> tuple[rtnetlink.Address | None, rtnetlink.Address | None]:
    """Return the client's address and the host's of the SSH session of this process, or nothing.

    sudo takes SSH_CONNECTION (ssh(1)) out of the environment, so that the processes above are asked too.
    """
    process = proc / "self"
    while True:
        try:
            environment = text_of(process / "environ")
        except OSError:  # a process that has ended
            environment = ""
        if found := re.search(r"(?:^|\0)SSH_CONNECTION=(\S+) \d+ (\S+) \d+", environment):
            return _address(found.group(1)), _address(found.group(2))
        parent = re.search(r"^PPid:\s*([1-9]\d*)$", text_of(process / "status"), re.MULTILINE)
        if parent is None:
            return None, None
        process = proc / parent.group(1)


def _address(text: str) -> rtnetlink.Address | None:
    """Return an address; sshd may say UNKNOWN (its canohost.c)."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
