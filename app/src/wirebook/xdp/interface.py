"""Which interfaces the XDP program must not be attached to: each refusal is a sentence that says what to do."""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wirebook.errors import UserError

_SIOCGIFCONF: Final = 0x8912
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_GFLAGS: Final = 0x25
_ETH_FLAG_LRO: Final = 1 << 15
_SSH_PORT: Final = 22
_ESTABLISHED: Final = "01"


def check(interface: str, queue: int, *, native: bool) -> None:
    """Raise UserError if the XDP program may not be attached to `interface`, to redirect its receive queue `queue`.

    `native` says that it is to run in the driver. What only the driver can tell, its attaching does.
    """
    folder = Path("/sys/class/net", interface)
    if not folder.exists():
        raise UserError(f"there is no interface {interface!r}: change transport.interface")
    reason = _management(interface)
    if reason:
        raise UserError(
            f"AF_XDP is refused on {interface}, {reason}: a mistake there would lock you out; give it a data NIC"
        )
    reason = _layered(folder)
    if reason:
        raise UserError(f"AF_XDP is refused on {interface}, {reason}: name a NIC that stands alone")
    queues = len(list((folder / "queues").glob("rx-*")))
    if queue >= queues:
        raise UserError(f"{interface} has receive queues 0 to {queues - 1}, not {queue}: change af_xdp.queue")
    if queues > 1:
        raise UserError(
            f"{interface} spreads packets over {queues} receive queues and AF_XDP reads one: "
            f"ethtool -L {interface} combined 1"
        )
    if native and large_receive_offload(interface):
        raise UserError(f"{interface} has LRO on, which XDP can't work with: ethtool -K {interface} lro off")


def _management(interface: str) -> str:
    """Why this is the interface by which the host is reached; empty: it isn't."""
    if interface in default_routes():
        return "which has the default route"
    here = addresses(interface)
    if here & ssh_addresses():
        return "which carries an ssh connection"
    return ""


def default_routes() -> set[str]:
    """The interfaces that have a default route."""
    found = set()
    for line in Path("/proc/net/route").read_text().splitlines()[1:]:
        name, destination, *_, mask = line.split()[:8]
        if (destination, mask) == ("00000000", "00000000"):
            found.add(name)
    try:
        lines = Path("/proc/net/ipv6_route").read_text().splitlines()
    except FileNotFoundError:  # a kernel without IPv6
        return found
    for line in lines:
        fields = line.split()
        # The kernel itself keeps one that rejects, on lo.
        if fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            found.add(fields[9])
    return found


def addresses(interface: str) -> set[str]:
    """Its addresses, IPv4 and IPv6, as inet_pton(3) writes them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        buffer = array.array("B", bytes(128 * 40))
        request = struct.pack("iP", len(buffer), buffer.buffer_info()[0])
        length = struct.unpack("iP", fcntl.ioctl(any_socket, _SIOCGIFCONF, request))[0]
    found = set()
    for start in range(0, length, 40):
        name, address = struct.unpack_from("16s4x4s", buffer, start)
        # An alias is called eth0:1.
        if name.split(b"\0")[0].split(b":")[0] == os.fsencode(interface):
            found.add(socket.inet_ntoa(address))
    return found | set(_ipv6_addresses(interface))


def _ipv6_addresses(interface: str) -> Iterator[str]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except FileNotFoundError:
        return
    for line in lines:
        fields = line.split()
        if fields[5] == interface:
            yield socket.inet_ntop(socket.AF_INET6, bytes.fromhex(fields[0]))


def ssh_addresses() -> set[str]:
    """Own addresses of this host in established ssh connections to it."""
    found = set()
    session = os.environ.get("SSH_CONNECTION", "").split()
    if len(session) == 4:
        found.add(session[2])
    for file, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        try:
            lines = Path("/proc/net", file).read_text().splitlines()[1:]
        except FileNotFoundError:
            continue
        for line in lines:
            _, local, _, state = line.split()[:4]
            address, port = local.split(":")
            if state == _ESTABLISHED and int(port, 16) == _SSH_PORT:
                found.add(_address(bytes.fromhex(address), family))
    return found


def _address(words: bytes, family: int) -> str:
    """From /proc/net/tcp's notation, which writes each 32-bit word in the machine's order."""
    raw = b"".join(words[n : n + 4][::-1] for n in range(0, len(words), 4))
    mapped = bytes(10) + b"\xff\xff"
    if raw.startswith(mapped):
        return socket.inet_ntoa(raw[12:])
    return socket.inet_ntop(family, raw)


def _layered(folder: Path) -> str:
    """What the interface is a part of, or made of; empty: it stands alone."""
    if (folder / "master").exists():
        return f"which is a port of {(folder / 'master').resolve().name}"
    for kind in ("bonding", "bridge"):
        if (folder / kind).is_dir():
            return f"which is itself a {kind.removesuffix('ing')}"
    upper = sorted(path.name.removeprefix("upper_") for path in folder.glob("upper_*"))
    if upper:
        return f"which carries {upper[0]} (a VLAN or the like)"
    if Path("/proc/net/vlan", folder.name).exists():
        return "which is itself a VLAN"
    return ""


def large_receive_offload(interface: str) -> bool:
    """Whether LRO is on (ethtool's flags); False for an interface that knows no such flags."""
    value = array.array("I", [_ETHTOOL_GFLAGS, 0])
    request = struct.pack("16sP16x", os.fsencode(interface), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            fcntl.ioctl(any_socket, _SIOCETHTOOL, request)
        except OSError:
            return False
    return bool(value[1] & _ETH_FLAG_LRO)
