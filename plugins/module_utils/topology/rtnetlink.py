"""Routes and addresses of the running kernel, asked by rtnetlink(7).

Procfs shows the main table only, and of a route with several next hops the first: a default route of a VRF, of another
table (source routing) or over several interfaces (ECMP) isn't seen there.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
ROUTE = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of destination and source, TOS, table, ..., type, flags
ADDRESS = struct.Struct("=BBBBI")  # ifaddrmsg: family, prefix length, flags, scope, interface
NEXT_HOP = struct.Struct("=HBBi")  # rtnexthop: length, flags, hops, interface
ATTRIBUTE = struct.Struct("=HH")  # rtattr: length, type
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE = 20, 22, 24, 26
RTA_DST, RTA_SRC, RTA_OIF, RTA_MULTIPATH = 1, 2, 4, 9
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTN_UNICAST = 1
RTM_F_CLONED, RTM_F_FIB_MATCH = 0x200, 0x2000
FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}


def default_interfaces() -> set[str]:
    """Return the interfaces of all default routes of all tables, each of a route's next hops."""
    found: set[int] = set()
    for family in FAMILIES.values():
        request = ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for payload in _ask(RTM_GETROUTE, NLM_F_DUMP, request, RTM_NEWROUTE):
            _, length, *_, kind, flags = ROUTE.unpack_from(payload)
            if length == 0 and kind == RTN_UNICAST and not flags & RTM_F_CLONED:
                found |= _next_hops(payload)
    return _names(found)


def interfaces_with(address: Address) -> set[str]:
    """Return the interfaces that have this address of the host."""
    request = ADDRESS.pack(FAMILIES[address.version], 0, 0, 0, 0)
    found = set()
    for payload in _ask(RTM_GETADDR, NLM_F_DUMP, request, RTM_NEWADDR):
        attributes = dict(_attributes(payload[ADDRESS.size :]))
        if attributes.get(IFA_LOCAL, attributes.get(IFA_ADDRESS)) == address.packed:
            found.add(ADDRESS.unpack_from(payload)[-1])
    return _names(found)


def interfaces_to(peer: Address, own: Address) -> set[str]:
    """Return the interfaces by which packets from an own address to a peer leave, each of the route's next hops."""
    bits = peer.max_prefixlen
    request = ROUTE.pack(FAMILIES[peer.version], bits, bits, 0, 0, 0, 0, 0, RTM_F_FIB_MATCH)
    request += _attribute(RTA_DST, peer.packed) + _attribute(RTA_SRC, own.packed)
    found: set[int] = set()
    for payload in _ask(RTM_GETROUTE, 0, request, RTM_NEWROUTE):
        found |= _next_hops(payload)
    return _names(found)


def _names(indices: set[int]) -> set[str]:
    names = dict(socket.if_nameindex())
    return {names[index] for index in indices if index in names}


def _next_hops(payload: bytes) -> set[int]:
    attributes = dict(_attributes(payload[ROUTE.size :]))
    found = {struct.unpack("=i", attributes[RTA_OIF])[0]} if RTA_OIF in attributes else set()
    hops, place = attributes.get(RTA_MULTIPATH, b""), 0
    while place + NEXT_HOP.size <= len(hops):
        length, _, _, index = NEXT_HOP.unpack_from(hops, place)
        found.add(index)
        place += max(length + -length % 4, NEXT_HOP.size)
    return found


def _ask(kind: int, flags: int, request: bytes, answer: int) -> Iterator[bytes]:
    """Send a request and yield the payloads of its answers; nothing where the kernel has none (no such route)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(HEADER.pack(HEADER.size + len(request), kind, NLM_F_REQUEST | flags, 1, 0) + request)
        while True:
            # As large as the kernel ever makes a part of a dump (netlink_dump()).
            data = kernel.recv(65536)
            while len(data) >= HEADER.size:
                length, found, *_ = HEADER.unpack_from(data)
                if found in (NLMSG_DONE, NLMSG_ERROR):
                    return
                if found == answer:
                    yield data[HEADER.size : length]
                data = data[length + -length % 4 :]
            if not flags & NLM_F_DUMP:
                return


def _attribute(kind: int, payload: bytes) -> bytes:
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(payload), kind) + payload + bytes(-len(payload) % 4)


def _attributes(payload: bytes) -> Iterator[tuple[int, bytes]]:
    place = 0
    while place + ATTRIBUTE.size <= len(payload):
        length, kind = ATTRIBUTE.unpack_from(payload, place)
        yield kind, payload[place + ATTRIBUTE.size : place + length]
        place += max(length + -length % 4, ATTRIBUTE.size)
