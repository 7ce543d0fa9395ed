"""The market cache between processes: never torn, never alive after its writer."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from wirebook import MarketView
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason
from wirebook.errors import UserError

fork = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "market"


def engine_at(path: Path, symbols: int = 4) -> Engine:
    return Engine(Books(symbols, Arena(4 << 20, "off")), MarketWriter(path, symbols), history=16)


def feed(engine: Engine, encoder: Encoder, *records: tuple[int, ...]) -> None:
    batch = Batch(len(records))
    for record in records:
        batch.append(*record)
    for packet in encoder.encode(batch):
        engine.process(packet)


def write_forever(path: str) -> None:
    """Books whose every number is the update id: a torn record would show two of them."""
    engine, encoder = engine_at(Path(path)), Encoder(1, 1, int(time.time()))
    feed(engine, encoder, (0, Kind.CLEAR), (0, Kind.LIVE))
    number = 100
    while True:
        records: list[tuple[int, ...]] = []
        for _ in range(5):
            number += 1
            for level in range(1, 13):
                if number > 101:
                    records.append((0, Kind.BID, 0, 0, number, number - 1 - level * 1000, 0))
                    records.append((0, Kind.ASK, 0, 0, number, number - 1 + level * 1000, 0))
                records.append((0, Kind.BID, 0, 0, number, number - level * 1000, number, number, number))
                records.append((0, Kind.ASK, 0, 0, number, number + level * 1000, number, number, number))
            records.append((0, Kind.BID, Flag.EVENT_END, 0, number, number - 20_000, 1, number, number))
            records.append((0, Kind.BID, Flag.EVENT_END, 0, number, number - 20_000, 0, number, number))
        feed(engine, encoder, *records)
        engine.check_silence()


@pytest.mark.parametrize("span", [12, 60, 3_000, 400_000])
def test_the_shown_levels_are_the_books_best_after_every_event(path: Path, span: int) -> None:
    # They are corrected in place, update by update; the books' own walk over all levels is what they must equal.
    engine, encoder, chance = engine_at(path, 2), Encoder(1, 1, 1), random.Random(span)
    view = MarketView(path)
    feed(engine, encoder, *((symbol, kind) for symbol in range(2) for kind in (Kind.CLEAR, Kind.LIVE)))
    middle = 10_000
    for update_id in range(1, 4_000):
        symbol = chance.randrange(2)
        middle += chance.randrange(-2, 3)
        levels = [
            (symbol, chance.randrange(2), 0, 0, update_id, middle + chance.randrange(-span, span), chance.randrange(3))
            for _ in range(chance.randrange(1, 8))
        ]
        feed(engine, encoder, *levels[:-1], (*levels[-1][:2], Flag.EVENT_END, *levels[-1][3:]))
        top, bids, asks = view.depth(symbol)
        assert bids == engine.books.levels(symbol, Kind.BID, 10)
        assert asks == engine.books.levels(symbol, Kind.ASK, 10)
        assert (top.bid_price, top.bid_quantity) == (bids[0] if bids else (None, None))
        assert (top.ask_price, top.ask_quantity) == (asks[0] if asks else (None, None))


def test_an_engine_shows_books_that_were_filled_before_it(path: Path) -> None:
    books = Books(1, Arena(4 << 20, "off"))
    batch = Batch(100)
    for price in range(40):
        batch.append(0, Kind.BID, Flag.EVENT_END, 0, 1, price * 7, 1 + price)
    books.apply(batch)
    engine = Engine(books, MarketWriter(path, 1), history=16)
    batch.clear()
    batch.append(0, Kind.LIVE, Flag.EVENT_END, 0, 1)
    engine.books.apply(batch)
    assert MarketView(path).depth(0)[1] == books.levels(0, Kind.BID, 10)
    batch.clear()
    batch.append(0, Kind.BID, Flag.EVENT_END, 0, 2, 39 * 7, 0)
    books.apply(batch)
    assert MarketView(path).depth(0)[1] == [(price * 7, 1 + price) for price in range(38, 28, -1)]


@pytest.fixture
def writer(path: Path) -> Iterator[BaseProcess]:
    process = fork.Process(target=write_forever, args=(str(path),), daemon=True)
    process.start()
    yield process
    process.kill()
    process.join()


def attached(path: Path) -> MarketView:
    deadline = time.monotonic() + 10
    while True:
        try:
            return MarketView(path, silence=0.3)
        except UserError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def whole(view: MarketView) -> int:
    """Read once; everything read is of one event. Returns its update id."""
    top, bids, asks = view.depth(0)
    if top.state is not State.LIVE or not top.update_id:
        return 0
    number = top.update_id
    assert (top.exchange_ns, top.receive_ns) == (number, number)
    assert bids == [(number - level * 1000, number) for level in range(1, 11)]
    assert asks == [(number + level * 1000, number) for level in range(1, 11)]
    top = view.top(0)
    if top.state is State.LIVE:
        number = top.update_id
        assert top[3:9] == (number - 1000, number, number + 1000, number, number, number)
    return number


def test_a_reader_never_gets_a_torn_record(path: Path, writer: BaseProcess) -> None:
    view = attached(path)
    deadline = time.monotonic() + 60
    seen: set[int] = set()
    while len(seen) < 3000:
        assert time.monotonic() < deadline
        seen.add(whole(view))


def test_a_killed_writer_leaves_only_stale_records_and_its_successor_makes_them_live_again(path: Path) -> None:
    chance = random.Random(5)
    view = None
    for _ in range(12):
        process = fork.Process(target=write_forever, args=(str(path),), daemon=True)
        process.start()
        view = view or attached(path)
        deadline = time.monotonic() + 10
        while not whole(view):
            assert time.monotonic() < deadline
        time.sleep(chance.random() * 0.02)
        assert process.pid
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        until = time.monotonic() + 0.35
        while time.monotonic() < until:
            whole(view)
        assert not view.alive
        assert (view.top(0).state, view.top(0).reason) == (State.STALE, Reason.STOPPED)


def test_what_a_view_tells(path: Path) -> None:
    engine, encoder = engine_at(path), Encoder(1, 1, 1)
    batch = Batch(1)
    batch.define(2, "binance:BTCUSDT", 2, 5)
    engine.process(encoder.encode(batch)[0])
    view = MarketView(path)
    assert view.top(2).state is State.EMPTY
    feed(
        engine,
        encoder,
        (2, Kind.CLEAR, 0, 0, 7),
        (2, Kind.BID, 0, 0, 7, 100, 5, 11, 12),
        (2, Kind.LIVE, 1, 0, 7, 0, 0, 11, 12),
    )
    top = view.top("binance:BTCUSDT")
    assert top[:9] == (State.LIVE, 0, 7, 100, 5, None, None, 11, 12)
    assert abs(time.time_ns() - top.publish_ns) < 10**9
    assert view.depth(2) == (top, [(100, 5)], [])
    assert view.symbol(2)[:4] == (2, "binance:BTCUSDT", 2, 5)
    assert [symbol.number for symbol in view.defined()] == [2]
    feed(engine, encoder, (2, Kind.STALE, 0, Reason.CHECKSUM))
    assert (view.top(2).state, view.top(2).reason) == (State.STALE, Reason.CHECKSUM)
    with pytest.raises(KeyError):
        view.top("binance:ETHUSDT")
    with pytest.raises(KeyError):
        view.top(4)
    assert view.metrics()["packets"] == 0, "run() is what puts them there"


def test_depth_follows_every_change_within_ten_levels(path: Path) -> None:
    chance = random.Random(2)
    engine, encoder = engine_at(path), Encoder(1, 1, 1)
    view = MarketView(path)
    feed(engine, encoder, (1, Kind.CLEAR), (1, Kind.LIVE))
    sides: dict[int, dict[int, int]] = {Kind.BID: {}, Kind.ASK: {}}
    for number in range(1, 5000):
        kind, price, quantity = chance.choice([Kind.BID, Kind.ASK]), chance.randrange(30), chance.choice([0, 0, 1, 2])
        sides[kind][price] = quantity
        feed(engine, encoder, (1, kind, Flag.EVENT_END, 0, number, price, quantity))
        levels = {side: sorted(item for item in book.items() if item[1]) for side, book in sides.items()}
        _, bids, asks = view.depth(1)
        assert bids == levels[Kind.BID][::-1][:10]
        assert asks == levels[Kind.ASK][:10]
        top = view.top(1)
        assert (top.bid_price, top.bid_quantity) == (bids[0] if bids else (None, None))
        assert (top.ask_price, top.ask_quantity) == (asks[0] if asks else (None, None))


def test_the_numpy_view_is_the_shared_memory(path: Path) -> None:
    engine, encoder = engine_at(path), Encoder(1, 1, 1)
    array = MarketView(path).array
    feed(engine, encoder, (3, Kind.CLEAR), (3, Kind.ASK, 0, 0, 0, 9, 8), (3, Kind.LIVE))
    assert (array["ask_price"][3], array["ask_quantity"][3], array["state"][3]) == (9, 8, State.LIVE)
    assert array["ask_levels"][3][0].tolist() == (9, 8)
    assert array.dtype.itemsize == 512
    with pytest.raises(ValueError, match="read-only"):
        array["ask_price"][3] = 1
    assert np.shares_memory(array, array["ask_price"])


def test_an_orderly_stop_is_seen_at_once(path: Path) -> None:
    engine, encoder = engine_at(path), Encoder(1, 1, 1)
    feed(engine, encoder, (0, Kind.CLEAR), (0, Kind.LIVE))
    view = MarketView(path)
    assert view.top(0).state is State.LIVE
    engine.market.close()
    assert (view.alive, view.top(0).state) == (False, State.STALE)


def test_there_is_one_writer(path: Path) -> None:
    first = MarketWriter(path, 4)
    with pytest.raises(UserError, match="another wirebook book writes"):
        MarketWriter(path, 4)
    del first
    MarketWriter(path, 4)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can't be mounted here: that takes root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_without_room_nothing_is_left_behind(small_disk: Path) -> None:
    with pytest.raises(UserError, match=r"no room for the market cache .*: No space left on device; make room"):
        MarketWriter(small_disk / "market", 2048)
    assert list(small_disk.iterdir()) == []
    MarketWriter(small_disk / "market", 4)


def test_without_room_for_another_size_the_market_that_is_there_stays(small_disk: Path) -> None:
    path = small_disk / "market"
    writer = MarketWriter(path, 4)
    view = MarketView(path)
    inode = path.stat().st_ino
    del writer
    with pytest.raises(UserError, match="No space left on device"):
        MarketWriter(path, 2048)
    assert [entry.name for entry in small_disk.iterdir()] == ["market"]
    assert path.stat().st_ino == inode
    assert len(view.array) == len(MarketView(path).array) == 4
    MarketWriter(path, 4)


def test_another_number_of_symbols_is_another_file_and_readers_keep_the_old_one(path: Path) -> None:
    MarketWriter(path, 4).close()
    view = MarketView(path)
    writer = MarketWriter(path, 8)
    assert (view.symbols, view.alive) == (4, False)
    view.attach()
    assert (view.symbols, view.alive) == (8, True)
    del writer


@pytest.mark.parametrize(
    ("offset", "value", "sentence"),
    [
        (0, b"X", "is no market cache of wirebook: change market.path"),
        (8, b"\1", "has layout 1 and this reader understands 3: install the same release"),
        (12, b"\1", "has records of 513 bytes with 10 levels, this reader expects 512 with 10"),
        (20, b"\5", "has records of 512 bytes with 5 levels"),
        (16, b"\5", "says 5 records, but is 30784 bytes long"),
    ],
)
def test_a_header_that_does_not_fit(path: Path, offset: int, value: bytes, sentence: str) -> None:
    MarketWriter(path, 4).close()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value)
    with pytest.raises(UserError, match=sentence):
        MarketView(path)


def test_files_that_are_none(path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file.*is wirebook book running\?"):
        MarketView(path)
    with pytest.raises(UserError, match="can't write the market cache"):
        MarketWriter(path / "sub", 1)
    path.write_bytes(b"letters\n" * 1000)
    with pytest.raises(UserError, match="exists and is no market cache"):
        MarketWriter(path, 1)
    assert path.read_bytes() == b"letters\n" * 1000
    path.write_bytes(b"")
    with pytest.raises(UserError, match="it is empty"):
        MarketView(path)
    path.write_bytes(bytes(100))  # a writer was killed before it said what the file is
    MarketWriter(path, 1)
