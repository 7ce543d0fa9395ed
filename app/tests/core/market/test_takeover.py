"""A writer that takes a market cache over, and what readers see of it: never an old record as a new writer's."""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import signal
import struct
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import pytest

from wirebook import MarketView
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

fork = multiprocessing.get_context("fork")

HEADER_BYTES = 4096
RECORD_BYTES = 512
START_NS, HEARTBEAT_NS = 24, 40
"""Where the header has them: docs/market-cache.md."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "market"


def written(path: Path, symbols: int = 4) -> Engine:
    """A market cache whose symbol 1 is LIVE, named, and has levels."""
    engine = Engine(Books(symbols, Arena(4 << 20, "off")), MarketWriter(path, symbols), history=16)
    batch = Batch(8)
    batch.define(1, "venue:S1", 2, 3)
    batch.append(1, Kind.CLEAR, 0, 0, 7)
    batch.append(1, Kind.BID, 0, 0, 7, 100, 5)
    batch.append(1, Kind.ASK, 0, 0, 7, 101, 6)
    batch.append(1, Kind.LIVE, Flag.EVENT_END, 0, 7)
    for packet in Encoder(1, 1, 1).encode(batch):
        engine.process(packet)
    return engine


def poke(path: Path, offset: int, value: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value)


@pytest.mark.parametrize("orderly", [True, False])
def test_a_new_writer_empties_what_its_predecessor_left(path: Path, orderly: bool) -> None:
    """Names, levels and states: its symbols may be others."""
    engine = written(path)
    view = MarketView(path, silence=60.0)
    assert view.top(1).state is State.LIVE
    if orderly:
        engine.market.close()
    del engine
    writer = MarketWriter(path, 4)
    for reader in (view, MarketView(path, silence=60.0)):
        assert reader.alive
        top, bids, asks = reader.depth(1)
        assert top[:7] == (State.EMPTY, 0, 0, None, None, None, None)
        assert (bids, asks, reader.defined()) == ([], [], [])
        assert reader.symbol(1).events == 0
    del writer


@pytest.mark.parametrize("sequence", [1, 7, 2**32 - 1])
def test_a_record_that_a_killed_writer_left_half_written_can_be_read_again(path: Path, sequence: int) -> None:
    """Its sequence is odd; a reader waits while it is, and a writer makes it odd while it writes."""
    engine = written(path)
    del engine
    place = HEADER_BYTES + RECORD_BYTES
    poke(path, place, struct.pack("<I", sequence))
    view = MarketView(path, silence=60.0)
    engine = written(path)
    after = int(view.array["sequence"][1])
    assert after % 2 == 0
    assert view.top(1)[:7] == (State.LIVE, 0, 7, 100, 5, 101, 6)
    del engine


def test_every_change_of_a_record_moves_its_sequence_by_two(path: Path) -> None:
    """Also one of its name alone: a reader that copies it meanwhile must see that it changed."""
    engine, encoder = written(path), Encoder(1, 1, 1)
    encoder.encode(_one(Kind.HEARTBEAT))
    array = MarketView(path).array
    seen = [int(array["sequence"][1])]

    def give(batch: Batch, channel: int = 0) -> None:
        for packet in encoder.encode(batch, channel):
            engine.process(packet)
        seen.append(int(array["sequence"][1]))

    name = Batch(1)
    name.define(1, "venue:OTHER", 2, 3)  # other decimals would make the book stale
    give(name)
    give(name, 1)
    give(_one(Kind.BID, Flag.EVENT_END, 0, 8, 99, 1))
    give(_one(Kind.STALE, Flag.EVENT_END, Reason.GAP, 8))
    assert MarketView(path).symbol(1).name == "venue:OTHER"
    assert [after - before for before, after in pairwise(seen)] == [2, 2, 2, 2]
    assert array["sequence"][0] == array["sequence"][2]


def _one(kind: Kind, *rest: int) -> Batch:
    batch = Batch(1)
    batch.append(1, kind, *rest)
    return batch


@pytest.mark.parametrize(
    ("ahead_ns", "alive"),
    [
        (-1_000_000_000, True),
        (-11_000_000_000, False),
        (500_000_000, True),  # came while we looked at the clock
        (3_600_000_000_000, False),  # of an earlier boot: the clock began anew
        (2**62, False),
    ],
)
def test_a_heartbeat_is_of_now(path: Path, ahead_ns: int, alive: bool) -> None:
    engine = written(path)
    poke(path, HEARTBEAT_NS, struct.pack("<Q", time.monotonic_ns() + ahead_ns))
    view = MarketView(path, silence=10.0)
    assert view.alive is alive
    assert view.top(1).state is (State.LIVE if alive else State.STALE)
    assert view.depth(1)[0].state is (State.LIVE if alive else State.STALE)
    del engine


def test_a_file_says_that_it_is_a_market_cache_when_it_is_one() -> None:
    """Who sees the first eight bytes of a new file can believe all others, wherever its writer was stopped."""
    chance, whole = random.Random(3), 0
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="wirebook-test-") as shared:
        path = Path(shared, "market")
        writing = fork.Process(target=_write_anew, args=(path,), daemon=True)
        writing.start()
        try:
            for _ in range(600):
                time.sleep(chance.random() / 1000)
                os.kill(writing.pid or 0, signal.SIGSTOP)
                os.waitpid(writing.pid or 0, os.WUNTRACED)
                head = path.read_bytes()[:64] if path.exists() else b""
                os.kill(writing.pid or 0, signal.SIGCONT)
                if head[:8] == b"WBMARKET":
                    whole += 1
                    (records,) = struct.unpack_from("<I", head, 16)
                    start_ns, heartbeat_ns = (struct.unpack_from("<Q", head, at)[0] for at in (START_NS, HEARTBEAT_NS))
                    assert (records, start_ns != 0, heartbeat_ns != 0) == (2048, True, True), "half of a header"
        finally:
            writing.kill()
            writing.join()
    assert whole > 10


def _write_anew(path: Path) -> None:
    while True:
        MarketWriter(path, 2048)
        path.unlink()


@pytest.mark.parametrize("what", ["top", "depth"])
def test_an_old_record_is_never_live_by_a_new_writers_heartbeat(path: Path, what: str) -> None:
    """A writer died, its successor empties the records and then beats, and all that while a reader was stopped: once in
    some twenty times between the record and the heartbeat."""
    engine = written(path)
    del engine
    chance, deadline = random.Random(4), time.monotonic() + 60
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory, mmap.mmap(-1, 4096) as answers:
        heartbeat = memoryview(memory)[HEARTBEAT_NS : HEARTBEAT_NS + 8].cast("Q")
        state_at = HEADER_BYTES + RECORD_BYTES + 4
        told = memoryview(answers).cast("Q")
        heartbeat[0] = 1  # long ago
        reading = fork.Process(target=_read, args=(path, what, answers), daemon=True)
        reading.start()

        def looked(times: int) -> None:
            """Wait until the reader has begun and ended a look since."""
            before = told[0]
            while told[0] < before + times:
                assert time.monotonic() < deadline
                time.sleep(0)

        try:
            looked(10)
            for _ in range(1500):
                memory[state_at] = State.LIVE
                looked(2)
                time.sleep(chance.random() / 2000)
                os.kill(reading.pid or 0, signal.SIGSTOP)
                os.waitpid(reading.pid or 0, os.WUNTRACED)
                memory[state_at] = State.EMPTY
                heartbeat[0] = time.monotonic_ns()
                os.kill(reading.pid or 0, signal.SIGCONT)
                looked(2)
                heartbeat[0] = 1
                looked(2)
        finally:
            reading.kill()
            reading.join()
        seen = {state: told[1 + state] for state in State}
        heartbeat.release()
        told.release()
    assert seen[State.STALE] > 500
    assert seen[State.EMPTY] > 500
    assert seen[State.LIVE] == 0


def _read(path: Path, what: str, answers: mmap.mmap) -> None:
    """Look at symbol 1 for ever; count the looks, and the states that were seen."""
    told = memoryview(answers).cast("Q")
    view = MarketView(path)
    look = view.top if what == "top" else lambda symbol: view.depth(symbol)[0]
    while True:
        state = look(1).state
        told[1 + state] += 1
        told[0] += 1
