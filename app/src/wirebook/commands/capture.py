"""`wirebook capture`: the node's own packets as pcapng, with either transport.

With UDP an ordinary socket that has joined the groups gets its own copy, with the kernel's time. With AF_XDP neither
the kernel nor tcpdump sees them: the book process copies them into shared memory while somebody reads (`tap`).
"""

from __future__ import annotations

import argparse
import logging
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from wirebook import __version__, channels, pcap, status
from wirebook import config as configuration
from wirebook.config import Config
from wirebook.core.transport import multicast
from wirebook.core.transport.af_xdp.tap import TAP, TapReader
from wirebook.core.transport.base import Endpoint
from wirebook.errors import UserError

_log = logging.getLogger(__name__)

_SO_TIMESTAMPNS: Final = 35
_SO_RXQ_OVFL: Final = 40
_BUFFER_BYTES: Final = 8 << 20
_PAUSE: Final = 0.01
"""Seconds between two looks: the tap holds 2,048 frames, enough for 200,000 a second."""
_LARGEST: Final = 2048


class Taken(NamedTuple):
    """A packet, with the headers that the link type promises."""

    data: bytes
    length: int
    receive_ns: int


class _Source(NamedTuple):
    link_type: int
    about: str
    read: Callable[[], list[Taken]]
    """Returns what has arrived since the last call; waits a moment."""
    lost: Callable[[], int]
    close: Callable[[], None]


def main(options: argparse.Namespace) -> int:
    """Capture into the file that the command line names."""
    config = configuration.load(options.config)
    with ExitStack() as stack:
        try:
            file = sys.stdout.buffer if options.file == "-" else stack.enter_context(Path(options.file).open("wb"))
        except OSError as error:
            raise UserError(f"can't write {options.file}: {error.strerror}; name another file") from None
        written, lost = run(config, file, seconds=options.seconds, packets=options.packets)
    print(f"wirebook capture: {written} packets, {lost} lost on the way", file=sys.stderr)
    return 0


def run(config: Config, file: BinaryIO, *, seconds: float = 0, packets: int = 0) -> tuple[int, int]:
    """Capture into `file` until SIGINT or SIGTERM, for `seconds`, or until there are `packets` (0: no end).

    Returns how many were written, and how many were lost on the way.
    """
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    source = _by_tap(config) if _past_the_kernel(config) else _by_sockets(config)
    until = time.monotonic() + seconds if seconds else float("inf")
    with closing(source):
        application = f"wirebook {__version__}"
        writer = pcap.Writer(file, source.link_type, config.transport.interface, source.about, application)
        file.flush()
        while not stopping and time.monotonic() < until and not (packets and writer.packets >= packets):
            for taken in source.read():
                writer.packet(*taken)
                if packets and writer.packets == packets:
                    break
            file.flush()
        lost = source.lost()
        writer.end(lost, time.time_ns())
    return writer.packets, lost


def _past_the_kernel(config: Config) -> bool:
    """Whether the book process, as it runs now, receives by AF_XDP."""
    kind = status.read(config.market.path, status.TRANSPORT).get("kind")
    if kind is None:
        return config.transport.kind == "af_xdp" and config.transport.fallback == "refuse"
    return bool(kind == "af_xdp")


def _by_tap(config: Config) -> _Source:
    reader = TapReader(Path(config.market.path).with_name(TAP))

    def read() -> list[Taken]:
        time.sleep(_PAUSE)
        return [Taken(data, length, ns) for data, length, ns, _, _ in reader.read()]

    about = "frames that AF_XDP took past the kernel, stamped by the XDP program"
    return _Source(pcap.ETHERNET, about, read, lambda: reader.lost, reader.close)


def _by_sockets(config: Config) -> _Source:
    addresses = {one for channel in channels.CHANNELS for one in channels.endpoints(config.transport, channel)}
    sockets = {_joined(address): address for address in addresses}
    drops = dict.fromkeys(sockets, 0)

    def read() -> list[Taken]:
        found = []
        for ready in select.select(list(sockets), [], [], _PAUSE)[0]:
            found += list(_receive(ready, sockets[ready], drops))
        return sorted(found, key=lambda taken: taken.receive_ns)

    def close() -> None:
        for one in sockets:
            one.close()

    about = "UDP payloads of a joined socket, stamped by the kernel; IP and UDP headers are made up from addresses"
    return _Source(pcap.IPV4, about, read, lambda: sum(drops.values()), close)


def _joined(address: Endpoint) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    one.setsockopt(socket.SOL_SOCKET, _SO_RXQ_OVFL, 1)
    one.setblocking(False)
    note = multicast.set_receive_buffer(one, _BUFFER_BYTES)
    if note is not None:
        _log.warning("%s:%d: %s", address.group, address.port, note)
    try:
        multicast.join(one, address, bind=True)
    except UserError:
        one.close()
        raise
    return one


def _receive(one: socket.socket, address: Endpoint, drops: dict[socket.socket, int]) -> Iterator[Taken]:
    while True:
        try:
            payload, ancillary, _, (source, port) = one.recvmsg(_LARGEST, 128)
        except BlockingIOError:
            return
        receive_ns = 0
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("@ll", data)
                receive_ns = seconds * 1_000_000_000 + nanoseconds
            elif level == socket.SOL_SOCKET and kind == _SO_RXQ_OVFL:
                (drops[one],) = struct.unpack("@I", data)
        udp = struct.pack(">HHHH", port, address.port, 8 + len(payload), 0)
        ip = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 1, socket.IPPROTO_UDP, 0,
            socket.inet_aton(source), socket.inet_aton(address.group),
        )  # fmt: skip
        data = ip + udp + payload
        yield Taken(data, len(data), receive_ns)
