"""Two hosts on one machine: network namespaces with a veth pair between them. For tests that root runs."""

from __future__ import annotations

import array
import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_SIOCETHTOOL = 0x8946
# linux/ethtool.h: ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGRO
TRANSMIT_CHECKSUMS, TRANSMIT_SPLITTING, RECEIVE_MERGING = 0x17, 0x1F, 0x2C
_NUMBERS = count()


def ip(*arguments: str) -> None:
    """Run `ip`."""
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


def set_offload(name: str, offload: int, *, on: bool) -> None:
    """Set an offload of an interface in this namespace."""
    value = array.array("I", [offload, on])
    request = struct.pack("16sP16x", name.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


class Lan:
    """`left` and `right`: namespaces, each with an end of the pair, called like it, and an address of 10.77.0.0/24."""

    def __init__(self) -> None:
        number = next(_NUMBERS)
        self.left, self.right = (f"wb{os.getpid() % 100000}{side}{number}" for side in "lr")

    def make(self, *, sums: bool = True) -> None:
        """Make both; unmake() must follow even if this fails.

        Without `sums` the kernel leaves the checksums of what it sends to a NIC: here nobody, frames pass without.
        """
        for name in (self.left, self.right):
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("link", "add", self.left, "netns", self.left, "type", "veth", "peer", self.right, "netns", self.right)
        for number, name in enumerate((self.left, self.right), start=1):
            ip("-n", name, "address", "add", f"10.77.0.{number}/24", "dev", name)
            # No router or neighbour solicitation: what is on the wire, a test has sent.
            quiet = self.command(name, "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1")
            subprocess.run(quiet, check=True)
            if sums:
                with self.inside(name):
                    set_offload(name, TRANSMIT_CHECKSUMS, on=False)
            ip("-n", name, "link", "set", name, "up")

    def unmake(self) -> None:
        """Take away what there is; the pair goes with its namespaces."""
        for name in (self.left, self.right):
            if Path("/run/netns", name).exists():
                ip("netns", "delete", name)

    def command(self, name: str, *command: str) -> list[str]:
        """What runs a command inside, with the namespace's own /sys."""
        return ["ip", "netns", "exec", name, *command]

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """Open sockets of this thread in the namespace `name`; /sys stays that of the test."""
        libc = ctypes.CDLL(None, use_errno=True)
        here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{name}", os.O_RDONLY)
        try:
            if libc.setns(there, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            yield
        finally:
            libc.setns(here, _CLONE_NEWNET)
            os.close(here)
            os.close(there)

    def xdp_program(self, name: str) -> int | None:
        """Id of the XDP program on the end of the pair in `name`, as `ip link` tells it."""
        done = subprocess.run(
            ["ip", "-n", name, "-json", "link", "show", name], check=True, capture_output=True, text=True
        )
        (link,) = json.loads(done.stdout)
        program: int | None = link.get("xdp", {}).get("prog", {}).get("id")
        return program


def reason_not_to() -> str:
    """Why no namespaces can be made here; empty: they can."""
    if os.geteuid() != 0:
        return "namespaces are made by root"
    done = subprocess.run(["ip", "netns", "add", f"wb{os.getpid()}probe"], capture_output=True, text=True, check=False)
    if done.returncode:
        return f"no network namespaces here: {done.stderr.strip()}"
    ip("netns", "delete", f"wb{os.getpid()}probe")
    return ""
