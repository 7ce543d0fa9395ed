"""Frames that carry packets of wirebook's, valid ones and every way in which one can be wrong."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator

from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Kind

SENDER, READER = "10.77.0.1", "10.77.0.2"
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


def udp_checksum(addresses: bytes, datagram: bytes) -> int:
    """RFC 768, over header and data as they are: 0 says that the checksum in it is right."""
    pseudo = addresses + struct.pack(">HH", socket.IPPROTO_UDP, len(datagram))
    return checksum(pseudo + datagram + bytes(len(datagram) % 2))


def frame(payload: bytes, group: str, port: int, *, summed: bool = False) -> bytearray:
    """The payload in UDP (without a checksum unless `summed`), IPv4 and Ethernet, to a multicast group."""
    addresses = socket.inet_aton(SENDER) + socket.inet_aton(group)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 28 + len(payload), 0, 0, 1, 17, 0) + addresses
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    address = socket.inet_aton(group)
    mac = b"\1\0\x5e" + bytes([address[1] & 0x7F]) + address[2:]
    udp = struct.pack(">HHHH", 40000, port, 8 + len(payload), 0) + payload
    if summed:
        # 0 would say that there is none.
        udp = udp[:6] + struct.pack(">H", udp_checksum(addresses, udp) or 0xFFFF) + udp[8:]
    return bytearray(mac + b"\2\0\0\0\0\1\x08\0" + head + udp)


def by_kernel(data: bytes) -> str:
    """What Linux does with such a frame, "delivered" or why not: by its ip_rcv() and udp_rcv().

    Nothing is said of a group's members: the reader's address is READER, and it is in the groups of CHANNELS. Its
    namespace takes no fragments (ipfrag_high_thresh 0) and any sender (rp_filter 0).
    """
    ip = data[14:]
    if data[12:14] != b"\x08\0":
        return "not IPv4"
    if not data[0] & 1:
        return "to another host"
    if len(ip) < 20 or ip[0] >> 4 != 4 or (ip[0] & 15) < 5:
        return "bad IP header"
    header, total = 4 * (ip[0] & 15), int.from_bytes(ip[2:4], "big")
    if len(ip) < header or checksum(ip[:header]) != 0:
        return "bad IP checksum"
    if not header <= total <= len(ip):
        return "bad IP length"
    if header > 20:
        return "IP options"
    if int.from_bytes(ip[6:8], "big") & 0x3FFF:
        return "fragment"
    return _by_addresses(ip[:20], ip[20:total])


def _by_addresses(ip: bytes, datagram: bytes) -> str:
    # ip_mc_validate_source(): no group, loopback address or address of the host itself is a sender.
    if 224 <= ip[12] < 240 or ip[12] == 127 or ip[12:16] in (socket.inet_aton(READER), bytes(4), b"\xff" * 4):
        return "impossible sender"
    ours = {(socket.inet_aton(group), port.to_bytes(2, "big")) for group, port in CHANNELS.values()}
    if ip[9] != socket.IPPROTO_UDP or len(datagram) < 8 or (ip[16:20], datagram[2:4]) not in ours:
        return "to no group of ours"
    length = int.from_bytes(datagram[4:6], "big")
    if not 8 <= length <= len(datagram):
        return "bad UDP length"
    if datagram[6:8] != b"\0\0" and udp_checksum(ip[12:20], datagram[:length]) != 0:
        return "bad UDP checksum"
    return "delivered"


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
        frames.append(bytes(frame(packet, *CHANNELS[channel], summed=dice.random() < 0.2)))
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
