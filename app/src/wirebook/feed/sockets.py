"""The options of a connection's TCP socket: set, read back, logged."""

from __future__ import annotations

import logging
from socket import IPPROTO_TCP, TCP_NODELAY

from wirebook.core.transport.multicast import Options, set_receive_buffer
from wirebook.core.transport.multicast import receive_buffer as given_buffer

_log = logging.getLogger(__name__)


def tune(options: Options, venue: str, receive_buffer: int) -> None:
    """Send small messages at once, and hold `receive_buffer` bytes that weren't read yet; 0 leaves it to the kernel.

    One line tells what the socket has afterwards; a buffer that is smaller than asked for is a warning.
    """
    options.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    if receive_buffer:
        note = set_receive_buffer(options, receive_buffer)
        if note is not None:
            _log.warning("%s: %s", venue, note)
    _log.info(
        "%s: TCP_NODELAY is %s, the receive buffer is %s",
        venue,
        "on" if options.getsockopt(IPPROTO_TCP, TCP_NODELAY) else "off",
        f"{given_buffer(options)} bytes" if receive_buffer else "the kernel's to size",
    )
