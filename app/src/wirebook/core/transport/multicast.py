"""What sockets are asked for, once for all: membership of groups, and room for what hasn't been read yet."""

from __future__ import annotations

import socket
import struct
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Final, Protocol

from wirebook.core.transport.base import Endpoint
from wirebook.errors import UserError

SO_RCVBUFFORCE: Final = 33
"""From asm-generic/socket.h; the standard library doesn't name it."""


class Options(Protocol):
    """What a socket and asyncio's stand-in for one have in common."""

    def getsockopt(self, level: int, name: int, /) -> int:
        """Read an option."""

    def setsockopt(self, level: int, name: int, value: int, /) -> None:
        """Set an option."""


def join(member: socket.socket, endpoint: Endpoint, *, bind: bool) -> None:
    """Make a socket a member of the endpoint's group, on its interface; with `bind`, also the reader of its port.

    Raises UserError for an interface that isn't there or is down, a group that is none, and a port that is taken.
    """
    request = struct.pack("@4s4si", socket.inet_aton(endpoint.group), b"", endpoint.check())
    try:
        if bind:
            member.bind((endpoint.group, endpoint.port))
        member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
    except OSError as error:
        where = f"{endpoint.group}:{endpoint.port}" if bind else endpoint.group
        owned = "another program may own the port, or the interface is down" if bind else "bring the interface up"
        raise UserError(f"can't join {where} on {endpoint.interface!r}: {error.strerror}; {owned}") from None


def receive_buffer(options: Options) -> int:
    """Bytes as one sets them: the kernel doubles the value for its own bookkeeping and tells the doubled one."""
    return options.getsockopt(SOL_SOCKET, SO_RCVBUF) // 2


def set_receive_buffer(options: Options, wanted: int) -> str | None:
    """Give a socket `wanted` bytes for what isn't read yet; a sentence for the log when the kernel gave less."""
    # net.core.rmem_max cuts it silently, unless the process has CAP_NET_ADMIN and says "force".
    options.setsockopt(SOL_SOCKET, SO_RCVBUF, wanted)
    given = receive_buffer(options)
    if given < wanted:
        try:
            options.setsockopt(SOL_SOCKET, SO_RCVBUFFORCE, wanted)
        except PermissionError:
            return f"the receive buffer has {given} bytes instead of {wanted}: sysctl -w net.core.rmem_max={wanted}"
    return None
