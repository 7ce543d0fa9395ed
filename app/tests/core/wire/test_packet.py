"""Packets against docs/wire-format.md, and against garbage."""

from __future__ import annotations

import random
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirebook.core.engine.arbiter import Arbiter
from wirebook.core.wire.packet import Channel, Encoder, decode
from wirebook.core.wire.records import Batch, Flag, Kind

HEADER = struct.Struct("<IBBHHHIQQII")
RECORD = struct.Struct("<IBBHQqqQQ")


def batch_of(*records: tuple[int, ...]) -> Batch:
    batch = Batch(max(len(records), 1))
    for record in records:
        batch.append(*record)
    return batch


record = st.tuples(
    st.integers(0, 2**32 - 1),
    st.sampled_from([Kind.BID, Kind.ASK, Kind.LIVE, Kind.STALE]),
    st.integers(0, 255),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**64 - 1),
)


@given(st.lists(record, max_size=100))
def test_packets_are_what_the_document_says(records: list[tuple[int, ...]]) -> None:
    encoder = Encoder(3, 4, 5, 6)
    packets = encoder.encode(batch_of(*records))
    found: list[tuple[int, ...]] = []
    for number, packet in enumerate(packets, 1):
        header = HEADER.unpack_from(packet)
        assert header[:8] == (0x314B4257, 1, 0, (len(packet) - 40) // 48, 3, 4, 5, number)
        assert header[9:] == (0, 6)
        assert packet[:4] == b"WBK1"
        assert len(packet) <= 1432
        found += RECORD.iter_unpack(packet[40:])
        decoded = decode(packet)
        assert decoded[:7] == (0, 3, 4, 5, 6, number, header[8])
        assert bytes(decoded.records) == packet[40:]
    assert found == [tuple(int(field) for field in record) for record in records]


def test_a_snapshot_says_which_incrementals_it_holds() -> None:
    encoder = Encoder(1, 1, 1)
    for _ in range(3):
        encoder.encode(batch_of((0, Kind.BID)))
    packets = encoder.encode(batch_of((0, Kind.CLEAR), (0, Kind.BID)), Channel.SNAPSHOT_CHANNEL)
    assert [record[5] for record in RECORD.iter_unpack(packets[0][40:])] == [3, 0]
    assert (encoder.sequence(), encoder.sequence(Channel.SNAPSHOT_CHANNEL)) == (3, 1)
    (inline,) = encoder.encode(batch_of((0, Kind.CLEAR)))
    assert RECORD.unpack_from(inline, 40)[5] == 0, "an incremental CLEAR needs no mark"


def packet(sequence: int = 1, *, epoch: int = 1, channel: int = 0, stream: int = 1) -> bytes:
    return HEADER.pack(0x314B4257, 1, channel, 1, 1, stream, epoch, sequence, 0, 0, 0) + RECORD.pack(*[0] * 9)


@pytest.mark.parametrize(
    ("fault", "data"),
    [
        ("too_short", b""),
        ("too_short", packet()[:39]),
        ("bad_magic", b"XXXX" + packet()[4:]),
        ("bad_version", packet()[:4] + b"\2" + packet()[5:]),
        ("bad_channel", packet(channel=2)),
        ("bad_count", packet()[:6] + b"\x1e\0" + packet()[8:]),
        ("bad_length", packet()[:-1]),
        ("bad_length", packet() + b"\0"),
        ("bad_sequence", packet(0)),
        ("bad_flags", packet()[:32] + b"\1" + packet()[33:]),
    ],
)
def test_faults(fault: str, data: bytes) -> None:
    arbiter = Arbiter()
    assert arbiter.take(data)[0] == "invalid"
    assert arbiter.counters()[fault] == 1
    with pytest.raises(ValueError, match=fault):
        decode(data)


def test_mutated_packets_are_each_counted() -> None:
    chance = random.Random(7)
    arbiter = Arbiter()
    good = Encoder(1, 1, 1).encode(batch_of(*[(n, Kind.BID, Flag.EVENT_END) for n in range(29)]))[0]
    rounds = 20_000
    for _ in range(rounds):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(40)] = chance.randrange(256)
        arbiter.take(bytes(data[: chance.choice([len(data), chance.randrange(len(data))])]))
    counters = arbiter.counters()
    streams = counters.pop("streams")
    # A packet of a stream or a publisher that isn't followed is valid, and refused.
    refused = sum(counters[name] for name in ("too_many_streams", "unknown_stream", "refused"))
    assert sum(counters.values()) - refused == rounds
    assert sum(stream["packets"] for stream in streams) + refused == counters["valid"]
    assert refused > 0
