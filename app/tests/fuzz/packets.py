"""Frames that carry packets of wirebook's, valid ones and every way in which one can be wrong."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator

from wirebook.core.packet import Channel, Encoder
from wirebook.core.records import Batch, Kind

CHANNELS = {Channel.INCREMENTAL_CHANNEL: ("239.192.7.1", 17001), Channel.SNAPSHOT_CHANNEL: ("239.192.7.2", 17002)}
HEADERS = 42
_HEADER_FIELDS = ("<I", 0), ("<B", 4), ("<B", 5), ("<H", 6), ("<H", 8), ("<H", 10), ("<I", 12), ("<Q", 16), ("<I", 32)
_RECORD_FIELDS = ("<I", 0), ("<B", 4), ("<B", 5), ("<H", 6), ("<Q", 8), ("<q", 16), ("<q", 24), ("<Q", 32)
_LARGEST = 1514
_SHORTEST = 15
"""What a packet socket takes: an Ethernet header and a byte."""


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(payload: bytes, group: str, port: int) -> bytearray:
    """The payload in UDP (without a checksum), IPv4 and Ethernet, to a multicast group."""
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 1, 17, 0, socket.inet_aton("10.77.0.1"),
        socket.inet_aton(group),
    )  # fmt: skip
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    address = socket.inet_aton(group)
    mac = b"\1\0\x5e" + bytes([address[1] & 0x7F]) + address[2:]
    udp = struct.pack(">HHHH", 40000, port, 8 + len(payload), 0)
    return bytearray(mac + b"\2\0\0\0\0\1\x08\0" + head + udp + payload)


def _seal(data: bytearray) -> None:
    """Make the IP header's checksum right again."""
    data[24:26] = b"\0\0"
    data[24:26] = struct.pack(">H", checksum(bytes(data[14:34])))


def valid(dice: random.Random, count: int) -> list[bytes]:
    """Frames of a publisher: books defined, emptied, filled, marked stale and live on both channels."""
    encoder = Encoder(1, 1, 1_700_000_000)
    frames = []
    for _ in range(count):
        batch = Batch(29)
        for _ in range(dice.randint(1, 28)):
            kind = dice.choice([*([Kind.BID, Kind.ASK] * 5), Kind.CLEAR, Kind.LIVE, Kind.STALE, Kind.HEARTBEAT])
            batch.append(dice.randrange(2048), kind, dice.randrange(4), 0, dice.getrandbits(40),
                         dice.randint(1, 1000), dice.choice([0, 5]))  # fmt: skip
        symbol = dice.randrange(2048)
        batch.define(symbol, f"binance:S{symbol}USDT", dice.randrange(9), dice.randrange(9))
        channel = dice.choice(list(CHANNELS))
        (packet,) = encoder.encode(batch, channel)
        frames.append(bytes(frame(packet, *CHANNELS[channel])))
    return frames


def _number(dice: random.Random, layout: str) -> bytes:
    """One that fits, often of the kind that breaks things."""
    bits = struct.calcsize(layout) * 8
    odd = dice.choice([0, 1, 2, 29, 30, (1 << bits) - 1, 1 << (bits - 1), dice.getrandbits(bits)])
    return (odd & ((1 << bits) - 1)).to_bytes(bits // 8, "little")


def _header_field(dice: random.Random, data: bytearray) -> None:
    layout, offset = dice.choice(_HEADER_FIELDS)
    value = _number(dice, layout)
    data[HEADERS + offset : HEADERS + offset + len(value)] = value


def _record_field(dice: random.Random, data: bytearray) -> None:
    records = (len(data) - HEADERS - 40) // 48
    layout, offset = dice.choice(_RECORD_FIELDS)
    value = _number(dice, layout)
    start = HEADERS + 40 + 48 * dice.randrange(records) + offset
    data[start : start + len(value)] = value


def _flips(dice: random.Random, data: bytearray) -> None:
    for _ in range(dice.randint(1, 16)):
        data[dice.randrange(HEADERS, len(data))] ^= 1 << dice.randrange(8)


def _network_headers(dice: random.Random, data: bytearray) -> None:
    for _ in range(dice.randint(1, 3)):
        data[dice.randrange(HEADERS)] = dice.getrandbits(8)
    if dice.random() < 0.5:
        _seal(data)


def _lengths(dice: random.Random, data: bytearray) -> None:
    offset = dice.choice([16, 38])
    true = struct.unpack_from(">H", data, offset)[0]
    struct.pack_into(">H", data, offset, dice.choice([0, 7, 8, 27, 28, true - 1, true + 1, dice.getrandbits(16)]))
    _seal(data)


def _truncated(dice: random.Random, data: bytearray) -> None:
    del data[dice.randrange(_SHORTEST, len(data)) :]


def _oversized(dice: random.Random, data: bytearray) -> None:
    data += dice.randbytes(dice.randint(1, max(1, _LARGEST - len(data))))
    del data[_LARGEST:]


def _resized(dice: random.Random, data: bytearray) -> None:
    """A payload of another length, in headers that are right."""
    payload = bytes(data[HEADERS : HEADERS + dice.randrange(len(data) - HEADERS)]) + dice.randbytes(dice.randrange(60))
    _replace(dice, data, payload[: _LARGEST - HEADERS])


def _noise(dice: random.Random, data: bytearray) -> None:
    _replace(dice, data, dice.randbytes(dice.randrange(_LARGEST - HEADERS)))


def _replace(dice: random.Random, data: bytearray, payload: bytes) -> None:
    data[:] = frame(payload, *dice.choice(list(CHANNELS.values())))


MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    _header_field, _record_field, _flips, _network_headers, _lengths, _truncated, _oversized, _resized, _noise,
)  # fmt: skip


def frames(dice: random.Random, count: int) -> Iterator[bytes]:
    """`count` frames, a tenth of them valid."""
    pool = valid(dice, 256)
    for _ in range(count):
        data = bytearray(dice.choice(pool))
        if dice.random() > 0.1:
            dice.choice(MUTATIONS)(dice, data)
        yield bytes(data)
