"""The engine never shows a wrong book as LIVE, and makes every book whole again."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest

from wirebook.core.base.memory import Arena, page_faults
from wirebook.core.books.books import Books, State
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

Content = tuple[dict[int, int], dict[int, int]]


class Publisher:
    """A feed in miniature: random events of `symbols` books, as packets; remembers what each book was at each id."""

    def __init__(self, symbols: int = 3, seed: int = 1, epoch: int = 1, stream: int = 1, first: int = 0) -> None:
        self.encoder = Encoder(1, stream, epoch)
        self.chance = random.Random(seed)
        self.symbols = range(first, first + symbols)
        self.books: dict[int, Content] = {symbol: ({}, {}) for symbol in self.symbols}
        self.ids = dict.fromkeys(self.symbols, epoch * 100_000)
        self.was: dict[tuple[int, int], Content] = {}
        self.batch = Batch(4096)

    def _packets(self, channel: int = Channel.INCREMENTAL_CHANNEL) -> list[bytes]:
        packets = self.encoder.encode(self.batch, channel)
        self.batch.clear()
        return packets

    def event(self, symbol: int | None = None, levels: int = 0) -> list[bytes]:
        symbol = self.chance.choice(self.symbols) if symbol is None else symbol
        self.ids[symbol] += 1
        count = levels or self.chance.randrange(1, 5)
        for n in range(count):
            side = self.chance.randrange(2)
            price, quantity = self.chance.randrange(100), self.chance.choice([0, 1, 2, 3])
            self.books[symbol][side][price] = quantity
            flags = Flag.EVENT_END if n == count - 1 else 0
            self.batch.append(symbol, side, flags, 0, self.ids[symbol], price, quantity)
        self._remember(symbol)
        return self._packets()

    def _remember(self, symbol: int) -> None:
        bids, asks = ({p: q for p, q in side.items() if q} for side in self.books[symbol])
        self.was[symbol, self.ids[symbol]] = (bids, asks)

    def _book(self, symbol: int) -> None:
        self._remember(symbol)
        update_id = self.ids[symbol]
        self.batch.append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, update_id)
        for kind, side in zip((Kind.BID, Kind.ASK), self.was[symbol, update_id], strict=True):
            for price, quantity in side.items():
                self.batch.append(symbol, kind, Flag.SNAPSHOT, 0, update_id, price, quantity)
        self.batch.append(symbol, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, update_id)

    def inline(self, symbol: int) -> list[bytes]:
        self._book(symbol)
        return self._packets()

    def snapshot(self, symbol: int) -> list[bytes]:
        self.batch.define(symbol, f"test:S{symbol}", 0, 0)
        self._book(symbol)
        return self._packets(Channel.SNAPSHOT_CHANNEL)

    def heartbeat(self) -> list[bytes]:
        self.batch.append(0, Kind.HEARTBEAT)
        return self._packets()

    def stale(self, symbol: int, reason: int) -> list[bytes]:
        self.batch.append(symbol, Kind.STALE, Flag.EVENT_END, reason)
        return self._packets()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "market"


def engine_at(path: Path, symbols: int = 16, history: int = 1024, silence: float = 3.0, arena: int = 4 << 20) -> Engine:
    books = Books(symbols, Arena(arena, "off"))
    return Engine(books, MarketWriter(path, symbols), history=history, silence=silence)


TAKEOVER = 1.3
"""Seconds after which a publisher that said nothing more may be followed by another."""


def give(engine: Engine, *packets: list[bytes], later: float = 0.0) -> None:
    for packet in (packet for some in packets for packet in some):
        engine.process(packet, later=later)


def content(engine: Engine, symbol: int) -> Content:
    return dict(engine.books.levels(symbol, Kind.BID)), dict(engine.books.levels(symbol, Kind.ASK))


def never_wrong(engine: Engine, publisher: Publisher) -> None:
    """A LIVE book is what the publisher's was at its update id."""
    for symbol in publisher.symbols:
        if engine.books.state(symbol) is State.LIVE:
            assert content(engine, symbol) == publisher.was[symbol, engine.books.update_id(symbol)]


def all_right(engine: Engine, publisher: Publisher) -> None:
    for symbol in publisher.symbols:
        assert engine.books.state(symbol) is State.LIVE
        assert engine.books.update_id(symbol) == publisher.ids[symbol]
    never_wrong(engine, publisher)


def started(path: Path, publisher: Publisher) -> Engine:
    engine = engine_at(path)
    for symbol in publisher.symbols:
        give(engine, publisher.inline(symbol))
    all_right(engine, publisher)
    return engine


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("history", [8, 1024])
def test_any_loss_and_any_lag_between_the_channels(path: Path, seed: int, history: int) -> None:
    publisher = Publisher(5, seed)
    chance = random.Random(seed)
    engine = engine_at(path, history=history)
    for _ in range(200):
        publisher.event()
    queues: dict[int, list[bytes]] = {Channel.INCREMENTAL_CHANNEL: [], Channel.SNAPSHOT_CHANNEL: []}
    for step in range(6000):
        if step == 3000:  # the publisher dies and is started again
            before, publisher = publisher, Publisher(5, seed + 100, epoch=2)
            publisher.was |= before.was
            last = {channel: queue[-2:] for channel, queue in queues.items()}
            for queue in queues.values():
                give(engine, queue[:-2])
                queue.clear()
        if step == 3050:  # its last packets were still on their way
            for channel, packets in last.items():
                queues[channel] += packets
        loss = 0.02 if step < 5000 else 0.0
        if chance.random() < 0.1:
            packets, channel = publisher.snapshot(chance.choice(publisher.symbols)), Channel.SNAPSHOT_CHANNEL
        elif chance.random() < 0.02:
            packets, channel = publisher.inline(chance.choice(publisher.symbols)), Channel.INCREMENTAL_CHANNEL
        elif chance.random() < 0.02:
            packets = publisher.stale(chance.choice(publisher.symbols), Reason.CHECKSUM)
            channel = Channel.INCREMENTAL_CHANNEL
        else:
            packets, channel = publisher.event(), Channel.INCREMENTAL_CHANNEL
        queues[channel] += [packet for packet in packets if chance.random() >= loss]
        for queue in queues.values():
            for _ in range(chance.choice([0, 1, 1, 2, 5])):
                if queue:
                    engine.process(queue.pop(0), later=TAKEOVER * (step >= 3000))
                    never_wrong(engine, publisher)
    for queue in queues.values():
        give(engine, queue, later=TAKEOVER)
    for symbol in publisher.symbols:
        give(engine, publisher.snapshot(symbol), later=TAKEOVER)
    all_right(engine, publisher)
    counters = engine.counters()
    assert counters["gaps"] > 20
    assert counters["recoveries"] > 20
    assert counters["restarts"] >= 1


def test_a_gap_makes_all_books_of_its_stream_stale_and_no_other(path: Path) -> None:
    one, two = Publisher(3), Publisher(2, stream=2, first=8)
    engine = started(path, one)
    for symbol in two.symbols:
        give(engine, two.inline(symbol))
    one.event()
    give(engine, one.event())
    assert {engine.books.state(symbol) for symbol in one.symbols} == {State.STALE}
    assert {engine.books.reason(symbol) for symbol in one.symbols} == {Reason.GAP}
    all_right(engine, two)
    view = MarketView(path)
    assert (view.top(0).state, view.top(0).reason) == (State.STALE, Reason.GAP)
    for symbol in one.symbols:
        give(engine, one.snapshot(symbol))
    all_right(engine, one)
    assert view.top(0).state is State.LIVE


def test_a_snapshot_older_than_the_gap_does_not_help(path: Path) -> None:
    publisher = Publisher(1)
    engine = started(path, publisher)
    old = publisher.snapshot(0)
    publisher.event(0)  # lost
    give(engine, publisher.heartbeat(), old)
    assert engine.books.state(0) is State.STALE
    give(engine, publisher.snapshot(0))
    all_right(engine, publisher)


def test_what_came_after_the_snapshot_was_made_is_applied_on_top(path: Path) -> None:
    publisher = Publisher(1)
    engine = engine_at(path)
    give(engine, publisher.heartbeat())
    snapshot = publisher.snapshot(0)
    later = [publisher.event(0) for _ in range(20)]
    give(engine, *later, snapshot)
    all_right(engine, publisher)
    assert engine.counters()["recoveries"] == 1


def test_a_snapshot_that_overtakes_its_incrementals_waits_for_the_next(path: Path) -> None:
    publisher = Publisher(1)
    engine = engine_at(path)
    give(engine, publisher.heartbeat())
    events = [publisher.event(0) for _ in range(5)]
    give(engine, publisher.snapshot(0))
    assert engine.books.state(0) is not State.LIVE
    give(engine, *events, publisher.snapshot(0))
    all_right(engine, publisher)


def test_a_late_reader_is_whole_after_one_cycle(path: Path) -> None:
    publisher = Publisher(3)
    for _ in range(100):
        publisher.event()
    engine = engine_at(path)
    give(engine, publisher.snapshot(0))
    assert engine.books.state(0) is State.EMPTY, "no incremental was heard yet: nothing says what comes next"
    give(engine, publisher.event())
    for symbol in publisher.symbols:
        give(engine, publisher.snapshot(symbol))
    all_right(engine, publisher)


def test_an_event_over_several_packets_is_published_at_its_end(path: Path) -> None:
    publisher = Publisher(1)
    engine, view = started(path, publisher), MarketView(path)
    before = view.top(0)
    packets = publisher.event(0, levels=70)
    assert len(packets) == 3
    give(engine, packets[:2])
    assert view.top(0) == before
    give(engine, packets[2:])
    assert view.top(0).update_id == before.update_id + 1
    all_right(engine, publisher)


def test_a_rebuild_in_the_middle_of_an_event_is_published_at_its_end(path: Path) -> None:
    publisher = Publisher(1)
    engine = engine_at(path)
    give(engine, publisher.heartbeat())
    view = MarketView(path)
    snapshot, packets = publisher.snapshot(0), publisher.event(0, levels=70)
    give(engine, packets[:2], snapshot)
    assert view.top(0).state is State.EMPTY
    give(engine, packets[2:])
    assert view.top(0).state is State.LIVE
    all_right(engine, publisher)


def test_a_lost_snapshot_packet_spoils_that_snapshot_only(path: Path) -> None:
    publisher = Publisher(1)
    for _ in range(200):
        publisher.event(0)
    engine = engine_at(path)
    give(engine, publisher.heartbeat())
    packets = publisher.snapshot(0)
    assert len(packets) > 2
    give(engine, [packets[0], *packets[2:]])
    assert engine.books.state(0) is not State.LIVE
    give(engine, publisher.snapshot(0))
    all_right(engine, publisher)


def test_the_publishers_own_stale_mark_holds_until_its_next_snapshot(path: Path) -> None:
    publisher = Publisher(1)
    engine = started(path, publisher)
    old = publisher.snapshot(0)
    give(engine, publisher.stale(0, Reason.DISCONNECTED), old, publisher.event(0))
    assert (engine.books.state(0), engine.books.reason(0)) == (State.STALE, Reason.DISCONNECTED)
    give(engine, publisher.inline(0))
    all_right(engine, publisher)


def test_a_restart_is_no_gap(path: Path) -> None:
    engine = started(path, Publisher(2, seed=1))
    again = Publisher(2, seed=2, epoch=2)
    give(engine, again.heartbeat(), later=TAKEOVER)
    assert {engine.books.state(symbol) for symbol in again.symbols} == {State.STALE}
    assert {engine.books.reason(symbol) for symbol in again.symbols} == {Reason.RESYNC}
    for symbol in again.symbols:
        give(engine, again.inline(symbol), later=TAKEOVER)
    all_right(engine, again)
    assert (engine.counters()["gaps"], engine.counters()["restarts"]) == (0, 1)


def test_a_restart_with_the_clock_set_back_is_followed_when_the_old_one_is_silent(path: Path) -> None:
    engine = engine_at(path)
    first = Publisher(2, seed=1, epoch=2)
    for symbol in first.symbols:
        give(engine, first.inline(symbol), first.snapshot(symbol))
    again = Publisher(2, seed=2, epoch=1)
    give(engine, again.inline(0))
    all_right(engine, first)  # so far it could be an old packet that comes late
    give(engine, again.event(), later=TAKEOVER)
    assert {engine.books.state(symbol) for symbol in again.symbols} == {State.STALE}
    for symbol in again.symbols:
        give(engine, again.snapshot(symbol), later=TAKEOVER)
    all_right(engine, again)


def test_silence_is_stale_and_ends_with_the_next_packet(path: Path) -> None:
    publisher = Publisher(1)
    engine, view = engine_at(path, silence=0.0), MarketView(path)
    give(engine, publisher.inline(0))
    assert view.top(0).state is State.LIVE
    engine.check_silence()
    assert (view.top(0).state, view.top(0).reason) == (State.STALE, Reason.SILENCE)
    give(engine, publisher.heartbeat())
    assert view.top(0).state is State.LIVE
    engine.check_silence()
    publisher.event(0)
    give(engine, publisher.heartbeat())
    assert (view.top(0).state, view.top(0).reason) == (State.STALE, Reason.GAP)


def test_a_symbol_has_one_publisher(path: Path) -> None:
    publisher = Publisher(1)
    engine = started(path, publisher)
    other = Publisher(1, seed=9, stream=2)
    give(engine, other.inline(0), other.event(0), other.snapshot(0))
    all_right(engine, publisher)
    assert engine.counters()["foreign"] > 0


def test_a_dry_pool_is_mended_by_a_snapshot_that_fits(path: Path) -> None:
    publisher = Publisher(1)
    engine = started(path, publisher)
    batch = Batch(29)
    price, encoder = 0, publisher.encoder
    while engine.books.state(0) is State.LIVE:
        batch.clear()
        for _ in range(29):
            price += 4096
            batch.append(0, Kind.BID, Flag.EVENT_END, 0, publisher.ids[0], price, 1)
        give(engine, encoder.encode(batch))
    view = MarketView(path)
    assert (view.top(0).state, view.top(0).reason) == (State.STALE, Reason.POOL_EXHAUSTED)
    give(engine, publisher.snapshot(0))
    all_right(engine, publisher)


def test_the_audit_has_every_event(path: Path, tmp_path: Path) -> None:
    audit = tmp_path / "audit"
    publisher = Publisher(2)
    engine = Engine(Books(4, Arena(4 << 20, "off")), MarketWriter(path, 4), audit=audit)
    for symbol in publisher.symbols:
        give(engine, publisher.inline(symbol))
    for _ in range(500):
        give(engine, publisher.event())
    engine.check_silence()  # flushes it
    found = {}
    for line in audit.read_text().splitlines():
        symbol, update_id, state, *best = map(int, line.split(","))
        if state == State.LIVE:
            found[symbol, update_id] = best
    expected = {}
    for key, (bids, asks) in publisher.was.items():
        bid, ask = max(bids, default=0), min(asks, default=0)
        expected[key] = [bid, bids.get(bid, 0), ask, asks.get(ask, 0)]
    assert found == expected


def test_no_page_fault_in_the_steady_state() -> None:
    publisher = Publisher(16)
    # Not on a disk's file system, which would write-protect the pages whenever it has written them back.
    shared = tempfile.NamedTemporaryFile(dir="/dev/shm", prefix="wirebook-test-")  # noqa: SIM115
    engine = engine_at(Path(shared.name))
    for symbol in publisher.symbols:
        give(engine, publisher.inline(symbol))
    packets = [packet for _ in range(5000) for packet in publisher.event()]
    warm, steady = packets[:500], packets[500:]
    give(engine, warm)
    without, third = [], len(steady) // 3
    for part in (steady[:third], steady[third : 2 * third], steady[2 * third :]):
        before = page_faults()
        for packet in part:
            engine.process(packet)
        without.append(page_faults() == before)
    # Memory that isn't locked may be taken away once. What the engine does would show in each part.
    assert any(without)
    all_right(engine, publisher)
