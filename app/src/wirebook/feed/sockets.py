"""The options of a connection's TCP socket: set, read back, told."""

from __future__ import annotations

import logging
from socket import IPPROTO_TCP, SO_RCVBUF, SOL_SOCKET, TCP_NODELAY
from typing import Final, Protocol

_log = logging.getLogger(__name__)

_SO_RCVBUFFORCE: Final = 33
"""From asm-generic/socket.h; the standard library doesn't name it."""


class Options(Protocol):
    """What a socket and asyncio's stand-in for one have in common."""

    def getsockopt(self, level: int, name: int, /) -> int:
        """Read an option."""

    def setsockopt(self, level: int, name: int, value: int, /) -> None:
        """Set an option."""


def tune(options: Options, venue: str, receive_buffer: int) -> None:
    """Send small messages at once, and hold `receive_buffer` bytes that weren't read yet; 0: as the kernel sees fit.

    One line tells what the socket has afterwards; a buffer that is smaller than asked for is a warning.
    """
    options.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    if receive_buffer:
        # net.core.rmem_max cuts it silently, unless the process has CAP_NET_ADMIN and says "force".
        options.setsockopt(SOL_SOCKET, SO_RCVBUF, receive_buffer)
        if _receive_buffer(options) < receive_buffer:
            try:
                options.setsockopt(SOL_SOCKET, _SO_RCVBUFFORCE, receive_buffer)
            except PermissionError:
                _log.warning(
                    "%s: the receive buffer has %d bytes instead of %d: sysctl -w net.core.rmem_max=%d",
                    venue,
                    _receive_buffer(options),
                    receive_buffer,
                    receive_buffer,
                )
    _log.info(
        "%s: TCP_NODELAY is %s, the receive buffer is %s",
        venue,
        "on" if options.getsockopt(IPPROTO_TCP, TCP_NODELAY) else "off",
        f"{_receive_buffer(options)} bytes" if receive_buffer else "the kernel's to size",
    )


def _receive_buffer(options: Options) -> int:
    """Bytes as one sets them: the kernel doubles the value for its own bookkeeping and tells the doubled one."""
    return options.getsockopt(SOL_SOCKET, SO_RCVBUF) // 2
