"""The inputs of the benchmarks: the same for every subject, and made before anything is timed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wirebook import traffic, venues
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind
from wirebook.venues.base import Depth, Instrument, Snapshot
from wirebook.venues.follower import BookFollower
from wirebook.venues.learn import learn

Records = NDArray[np.void]

RECORD = np.dtype(
    [
        ("symbol", "<u4"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("aux", "<u2"),
        ("update_id", "<u8"),
        ("price", "<i8"),
        ("quantity", "<i8"),
        ("exchange_ns", "<u8"),
        ("receive_ns", "<u8"),
    ]
)
"""The record of docs/wire-format.md."""

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"
SLOT_BYTES = 1536
"""A packet's place in a buffer of packets."""
BURST = 32
"""Packets that arrive at once: as many as the engine takes with one system call."""
PACKET_RECORDS = 29

# Where the level updates of two captures are: (ticks from the mid, share of the updates within).
_SPOT = ((64, 0.02), (1_024, 0.12), (4_096, 0.38), (16_384, 0.89), (131_072, 1.0))
_FUTURES = ((64, 0.23), (1_024, 0.84), (4_096, 0.88), (16_384, 0.89), (131_072, 1.0))

_DELETES = 0.3
"""Of 124,090 spot updates 48 % remove a level, of 428,662 futures updates 14 %."""
_EVENT = 4
"""Synthetic events have 1 to 7 levels, 4 on average. Those of the two captures have 36 and 65."""


@dataclass(frozen=True)
class Workload:
    """Records that fill the books, and then those that are timed."""

    symbols: int
    snapshot: Records
    updates: Records

    def save(self, folder: Path) -> None:
        """Leave it for the subjects in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "records.npz", symbols=self.symbols, snapshot=self.snapshot, updates=self.updates)

    @staticmethod
    def load(folder: Path) -> Workload:
        """What `save` left."""
        with np.load(folder / "records.npz") as file:
            return Workload(int(file["symbols"]), file["snapshot"], file["updates"])


@dataclass(frozen=True)
class Messages:
    """One instrument's traffic as the venue sent it: a snapshot and the depth events that continue it."""

    venue: str
    instrument: Instrument
    snapshot: bytes
    events: list[bytes]
    levels: int
    """In all events."""

    def save(self, folder: Path) -> None:
        """Leave it for the subjects in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "messages.txt").write_bytes(b"\n".join([self.snapshot, *self.events]))
        facts = {"venue": self.venue, "instrument": self.instrument, "levels": self.levels}
        (folder / "messages.json").write_text(json.dumps(facts))


def captures() -> list[tuple[str, Path]]:
    """(venue, file) of the captures that are here and that the engine has a venue for, the benchmark's own first."""
    known = (("binance", "binance_spot/btcusdt.txt.gz"), ("binance-usdm", "binance_usdm/ethusdt.txt.gz"))
    return [(venue, CAPTURES / name) for venue, name in known if venue in venues.names() and (CAPTURES / name).exists()]


class _Keep:
    """A sink that keeps every record: the batch is never drained."""

    def __init__(self, records: int) -> None:
        self.batch = Batch(records)

    def commit(self, _symbol: int) -> None:
        pass


def captured(venue_name: str, path: Path) -> tuple[Workload, Messages]:
    """The first instrument of a capture: what the venue's own follower makes of it, and the messages themselves."""
    venue = venues.get(venue_name)
    learned = learn(venue, path)
    name, scale = next(iter(learned.scales.items()))
    instrument = Instrument(0, name, *scale)
    sink = _Keep(1 << 20)
    follower = BookFollower(venue, [instrument], sink)
    follower.connected()
    snapshot = b""
    events = []
    levels = 0
    for receive_ns, raw in traffic.read(path):
        follower.message(raw, receive_ns)
        message = venue.decode(raw)
        if isinstance(message, Snapshot) and not snapshot:
            snapshot, last = raw, message.last
        elif isinstance(message, Depth) and message.instrument == name:
            events.append((message.last, len(message.bids) + len(message.asks), raw))
    events = [event for event in events if event[0] > last]
    levels = sum(count for _, count, _ in events)
    records = sink.batch.array.copy()
    start = int(np.flatnonzero(records["flags"] & Flag.SNAPSHOT)[-1]) + 1
    live = np.zeros(1, RECORD)
    live["kind"] = Kind.LIVE
    live["update_id"] = records["update_id"][0]
    return (
        Workload(1, np.concatenate([records[:start], live]), records[start:]),
        Messages(venue_name, instrument, snapshot, [raw for _, _, raw in events], levels),
    )


def _distances(rng: np.random.Generator, profile: tuple[tuple[int, float], ...], count: int) -> NDArray[np.int64]:
    """`count` distances from the mid in ticks, 1 or more, spread as the profile says."""
    ends = [0, *(ticks for ticks, _ in profile)]
    shares = [0.0, *(share for _, share in profile)]
    return 1 + np.floor(np.interp(rng.random(count), shares, ends)).astype(np.int64)


def synthetic(symbols: int, prices: int, updates: int) -> Workload:
    """Books with about 0.7 * `prices` levels a side, and `updates` updates of symbols in random order.

    Half of the symbols are dense like USD-M ETHUSDT (a single symbol is), half are sparse like Binance spot BTCUSDT.
    Levels come and go at `prices` prices a side, so that books neither grow nor dry up.
    """
    rng = np.random.default_rng(1)
    mid = 10_000_000
    places = np.empty((symbols, 2, prices), np.int64)
    for symbol in range(symbols):
        profile = _SPOT if symbol % 2 else _FUTURES
        places[symbol, Kind.BID] = mid - _distances(rng, profile, prices)
        places[symbol, Kind.ASK] = mid + _distances(rng, profile, prices)
    snapshot = np.zeros(symbols * (2 * prices + 2), RECORD)
    for symbol, part in enumerate(np.split(snapshot, symbols)):
        part["symbol"] = symbol
        part["flags"] = Flag.SNAPSHOT
        part["kind"] = [Kind.CLEAR, *[Kind.BID] * prices, *[Kind.ASK] * prices, Kind.LIVE]
        part["price"][1:-1] = places[symbol].reshape(-1)
        part["quantity"][1:-1] = rng.integers(1, 1_000_000, 2 * prices)
        part["update_id"] = 1
    lengths = rng.integers(1, 2 * _EVENT, 2 * updates // _EVENT)
    event = np.repeat(np.arange(len(lengths)), lengths)[:updates]
    records = np.zeros(updates, RECORD)
    records["symbol"] = rng.integers(0, symbols, len(lengths))[event]
    records["kind"] = rng.integers(0, 2, updates)
    records["price"] = places[records["symbol"], records["kind"], rng.integers(0, prices, updates)]
    records["quantity"] = rng.integers(1, 1_000_000, updates) * (rng.random(updates) >= _DELETES)
    records["update_id"] = event + 2
    records["flags"][np.flatnonzero(np.diff(event, append=event[-1] + 1))] = Flag.EVENT_END
    return Workload(symbols, snapshot, records)


def packed(encoder: Encoder, records: Records) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
    """The records as full packets of the incremental channel: (slots of SLOT_BYTES, each packet's length)."""
    batch = Batch(len(records))
    batch.extend(records.tobytes())
    packets = encoder.encode(batch)
    slots = np.zeros(len(packets) * SLOT_BYTES, np.uint8)
    for number, packet in enumerate(packets):
        slots[number * SLOT_BYTES : number * SLOT_BYTES + len(packet)] = np.frombuffer(packet, np.uint8)
    return slots, np.array([len(packet) for packet in packets], np.uint64)
