"""wirebook itself."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from time import thread_time_ns

import hot
import numpy as np

from bench import floor, ringrun
from bench.subjects import Laps
from bench.workloads import BURST, PACKET_RECORDS, SLOT_BYTES, Workload, packed
from wirebook import venues
from wirebook.core.base.memory import Arena
from wirebook.core.base.ring import Ring, ring_bytes
from wirebook.core.books import books as core_books
from wirebook.core.decode.binance import BinanceScanner
from wirebook.core.decode.chain import BookSink
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch
from wirebook.venues.base import Instrument
from wirebook.venues.follower import BookFollower


class Books:
    """Decoded updates → books."""

    prefetch = True

    def __init__(self, inputs: Path) -> None:
        self._workload = Workload.load(inputs)
        self._library = floor.load(inputs.parent / "libfloor.so")

    def _time(self, laps: np.ndarray | None) -> int:
        workload = self._workload
        books = core_books.Books(workload.symbols, Arena(floor.ARENA_BYTES), self.prefetch)
        apply, target = hot.of_books(books)
        floor.drive(self._library, apply, target, workload.snapshot)
        return floor.drive(self._library, apply, target, workload.updates, laps)

    def run(self) -> dict[str, float]:
        """Nanoseconds an update."""
        return {"ns": self._time(None) / len(self._workload.updates)}

    def laps(self) -> Laps:
        """Each batch of one run."""
        laps = np.zeros(-(-len(self._workload.updates) // floor.BATCH), np.uint64)
        self._time(laps)
        return Laps(laps.tolist(), floor.BATCH)


class BooksWithoutPrefetch(Books):
    """The same with the engine's prefetching switched off."""

    prefetch = False


class Packets:
    """Received packets → books → market cache."""

    def __init__(self, inputs: Path) -> None:
        self._workload = Workload.load(inputs)
        encoder = Encoder(1, 1, 1)
        self._snapshot = packed(encoder, self._workload.snapshot)
        self._updates = packed(encoder, self._workload.updates)

    def _time(self, laps: np.ndarray | None) -> int:
        symbols = self._workload.symbols
        arena = Arena(floor.ARENA_BYTES)
        books_arena = Arena(floor.ARENA_BYTES)
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            market = MarketWriter(Path(folder) / "market", symbols)
            books = core_books.Books(symbols, books_arena)
            engine = Engine(books, market, arena=arena)
            hot.packets(engine, *self._snapshot, SLOT_BYTES, BURST)
            events = books.counters()["events"]
            taken: int = hot.packets(engine, *self._updates, SLOT_BYTES, BURST if laps is None else 1, laps)
            if books.counters()["events"] - events != np.count_nonzero(self._workload.updates["flags"]):
                raise AssertionError("the engine didn't take every event")
            return taken

    def run(self) -> dict[str, float]:
        """Nanoseconds an update."""
        return {"ns": self._time(None) / len(self._workload.updates)}

    def laps(self) -> Laps:
        """Each packet of one run, as if it came alone."""
        laps = np.zeros(len(self._updates[1]), np.uint64)
        self._time(laps)
        return Laps(laps.tolist(), PACKET_RECORDS)


class _Messages:
    def __init__(self, inputs: Path) -> None:
        facts = json.loads((inputs / "messages.json").read_text())
        self._venue = venues.get(facts["venue"])
        self._instrument = Instrument(*facts["instrument"])
        self._levels = facts["levels"]
        self._snapshot, *self._events = (inputs / "messages.txt").read_bytes().split(b"\n")


class Scan(_Messages):
    """Depth messages → books, without the sequence rule."""

    def run(self) -> dict[str, float]:
        """Nanoseconds a level."""
        books = core_books.Books(1, Arena(floor.ARENA_BYTES))
        batch = Batch(1 << 13)
        scan, apply, clear = BinanceScanner([self._instrument]).scan, books.apply, batch.clear
        start = thread_time_ns()
        for raw in self._events:
            scan(raw, batch, 1)
            apply(batch)
            clear()
        taken = thread_time_ns() - start
        if books.counters()["updates"] != self._levels:
            raise AssertionError("the scanner left messages to the slow decoder")
        return {"ns": taken / self._levels}


class Follower(_Messages):
    """Depth messages → the venue's sequence rule → books."""

    def run(self) -> dict[str, float]:
        """Messages a second."""
        books = core_books.Books(1, Arena(floor.ARENA_BYTES))
        follower = BookFollower(self._venue, [self._instrument], BookSink(books, 1 << 13))
        follower.connected()
        message = follower.message
        message(self._snapshot, 1)
        start = thread_time_ns()
        for raw in self._events:
            message(raw, 1)
        taken = thread_time_ns() - start
        if follower.counters.updates != len(self._events):
            raise AssertionError("the follower didn't take every event")
        return {"messages_per_s": len(self._events) / taken * 1e9}


class Hand:
    """The ring between two threads."""

    def __init__(self, _inputs: Path) -> None:
        self._memories = [bytearray(ring_bytes(ringrun.SLOTS)) for _ in range(2)]

    def run(self) -> dict[str, float]:
        """One way in ns, and slots a second."""
        there, back = (Ring(memory, create=True) for memory in self._memories)
        laps = np.zeros(ringrun.ROUND_TRIPS, np.uint64)
        return ringrun.figures(
            lambda: hot.ring_ping(there, back, laps),
            lambda: hot.ring_pong(there, back, ringrun.ROUND_TRIPS),
            lambda: hot.ring_consume(there, ringrun.SLOTS_HANDED),
            lambda: hot.ring_produce(there, ringrun.SLOTS_HANDED),
        )
