"""A NIC's XDP features, asked of the kernel by generic netlink (Documentation/netlink/specs/netdev.yaml)."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

from .host import CannotProbeError

NETLINK_GENERIC = 16  # linux/netlink.h
GENL_ID_CTRL = 16
CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 3, 1, 2
NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, NETDEV_A_DEV_XDP_FEATURES = 1, 1, 3
NLM_F_REQUEST = 1
NLMSG_ERROR = 2
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
GENERIC = struct.Struct("=BBxx")  # genlmsghdr: command, version
ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
# netdev.yaml, xdp-act, from the lowest bit on.
FEATURES = ("basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg", "ndo-xmit-sg")


def xdp_features(interface: str) -> list[str]:
    """Return the XDP features of an interface, by their names in netdev.yaml.

    Raises CannotProbeError where the kernel doesn't tell.
    """
    try:
        index = socket.if_nametoindex(interface)
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as generic:
            name = _attribute(CTRL_ATTR_FAMILY_NAME, b"netdev\0")
            family = _ask(generic, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, name)
            (number,) = struct.unpack("=H", family[CTRL_ATTR_FAMILY_ID])
            device = _ask(
                generic, number, NETDEV_CMD_DEV_GET, _attribute(NETDEV_A_DEV_IFINDEX, struct.pack("=I", index))
            )
    except OSError as error:
        raise CannotProbeError(
            f"the kernel doesn't tell the XDP features of {interface} ({error.strerror}): it does from Linux 6.3 on"
        ) from error
    (bits,) = struct.unpack("=Q", device[NETDEV_A_DEV_XDP_FEATURES])
    return [feature for place, feature in enumerate(FEATURES) if bits >> place & 1]


def _attribute(kind: int, payload: bytes) -> bytes:
    padding = -len(payload) % 4
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(payload), kind) + payload + bytes(padding)


def _ask(generic: socket.socket, family: int, command: int, attributes: bytes) -> dict[int, bytes]:
    """Send a request and return the attributes of the answer; OSError if the kernel refuses."""
    payload = GENERIC.pack(command, 1) + attributes
    generic.send(HEADER.pack(HEADER.size + len(payload), family, NLM_F_REQUEST, 1, 0) + payload)
    answer = generic.recv(65536)
    _, kind, *_ = HEADER.unpack_from(answer)
    if kind == NLMSG_ERROR:
        (number,) = struct.unpack_from("=i", answer, HEADER.size)
        raise OSError(-number, "the kernel has no such interface" if number else "no answer")
    return dict(_attributes(answer[HEADER.size + GENERIC.size :]))


def _attributes(payload: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + ATTRIBUTE.size <= len(payload):
        length, kind = ATTRIBUTE.unpack_from(payload, place)
        yield kind, payload[place + ATTRIBUTE.size : place + length]
        place += length + -length % 4
