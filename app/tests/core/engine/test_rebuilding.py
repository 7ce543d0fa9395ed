"""A book is rebuilt from what is newer than its snapshot, of this epoch, and only if there is room for all of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

from .test_engine import TAKEOVER, Publisher, all_right, content, engine_at, give, started


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "market"


def test_what_the_snapshot_holds_is_not_applied_again(path: Path) -> None:
    """Of the packets that were kept, the one that the snapshot says it holds is the last that isn't needed."""
    publisher = Publisher(1)
    engine = engine_at(path)
    give(engine, publisher.heartbeat())
    held, newer = publisher.event(0, levels=4), []
    snapshot = publisher.snapshot(0)
    newer = publisher.event(0, levels=3)
    bids, asks = publisher.was[0, publisher.ids[0] - 1]
    give(engine, held, newer, snapshot)
    all_right(engine, publisher)
    assert engine.counters()["updates"] == len(bids) + len(asks) + 3


def test_a_snapshot_that_does_not_fit_makes_no_live_book(path: Path) -> None:
    """An empty book that says LIVE would be the worst of all."""
    publisher = Publisher(1)
    publisher.batch = Batch(50_000)
    books = Books(1, Arena(2 << 20, "off"))
    engine = Engine(books, MarketWriter(path, 1), history=64)
    give(engine, publisher.heartbeat())
    publisher.books[0] = ({4096 * price: 1 for price in range(40_000)}, {})
    give(engine, publisher.snapshot(0))
    assert (engine.books.state(0), engine.books.reason(0)) == (State.STALE, Reason.POOL_EXHAUSTED)
    view = MarketView(path, silence=60.0)
    assert (view.top(0).state, view.top(0).reason) == (State.STALE, Reason.POOL_EXHAUSTED)
    assert (engine.live(), engine.counters()["recoveries"]) == (0, 0)
    publisher.books[0] = ({4096 * price: 1 for price in range(10)}, {})
    give(engine, publisher.snapshot(0))
    all_right(engine, publisher)


def test_what_was_forgotten_of_an_earlier_epoch_holds_up_no_snapshot_of_the_next(path: Path) -> None:
    """Its packets are counted from 1 again."""
    first = Publisher(1, seed=1)
    engine = engine_at(path, history=8)
    give(engine, first.heartbeat(), *(first.event(0) for _ in range(60)))
    again = Publisher(1, seed=2, epoch=2)
    give(engine, again.heartbeat(), again.event(0), again.snapshot(0), later=TAKEOVER)
    all_right(engine, again)


def test_a_stale_mark_of_an_earlier_epoch_holds_up_no_snapshot_of_the_next(path: Path) -> None:
    first = Publisher(1, seed=1)
    engine = started(path, first)
    give(engine, *(first.event(0) for _ in range(60)), first.stale(0, Reason.DISCONNECTED))
    again = Publisher(1, seed=2, epoch=2)
    give(engine, again.heartbeat(), again.event(0), again.snapshot(0), later=TAKEOVER)
    all_right(engine, again)


def test_a_snapshot_of_another_epoch_is_not_used(path: Path) -> None:
    """It comes late, says that it holds packet 1, and there is a packet 1 in this epoch too."""
    old = Publisher(1, seed=1)
    old.heartbeat()
    late = old.snapshot(0)
    engine = engine_at(path)
    again = Publisher(1, seed=2, epoch=2)
    give(engine, again.heartbeat(), again.event(0), again.event(0), late)
    assert engine.books.state(0) is not State.LIVE
    give(engine, again.snapshot(0))
    all_right(engine, again)


def test_the_decimals_of_a_book_that_goes_on_are_those_of_its_incrementals(path: Path) -> None:
    """A snapshot that was sent before they changed, and comes after it, doesn't put the point where it was."""
    publisher = Publisher(1)
    engine = engine_at(path)
    view = MarketView(path, silence=60.0)
    name = publisher.snapshot(0)
    give(engine, publisher.heartbeat(), name)
    before = engine.books.decimals(0)
    stale = publisher.stale(0, Reason.RESYNC)
    publisher.batch.define(0, "test:S0", before[0] + 1, before[1] + 2)
    changed = publisher.inline(0)
    late = publisher.snapshot(0)
    give(engine, stale, changed, late)
    assert engine.books.state(0) is State.LIVE
    assert engine.books.decimals(0) == (before[0] + 1, before[1] + 2)
    symbol = next(one for one in view.defined() if one.number == 0)
    assert (symbol.price_decimals, symbol.quantity_decimals) == (before[0] + 1, before[1] + 2)


def test_a_snapshot_of_a_publisher_that_is_not_followed_is_refused(path: Path) -> None:
    """A publisher whose clock was set back is followed after a silence; then nothing of another counts any more."""
    engine = engine_at(path)
    first = Publisher(1, seed=1, epoch=3)
    give(engine, first.inline(0), first.snapshot(0))
    again = Publisher(1, seed=2, epoch=2)
    give(engine, again.heartbeat(), later=TAKEOVER)
    restarts, refused = engine.counters()["restarts"], engine.counters()["refused"]
    older = Publisher(1, seed=3, epoch=1)
    older.heartbeat()
    give(engine, older.snapshot(0)[:1], later=TAKEOVER)
    assert (engine.counters()["restarts"], engine.counters()["refused"]) == (restarts, refused + 1)
    assert engine.books.state(0) is State.STALE
    give(engine, again.snapshot(0), later=TAKEOVER)
    all_right(engine, again)


def test_a_source_that_speaks_is_not_silent(path: Path) -> None:
    """Silence is counted from its last packet, not from its first."""
    publisher = Publisher(1)
    engine, view = engine_at(path, silence=2.0), MarketView(path, silence=60.0)
    give(engine, publisher.inline(0))
    for _ in range(2):
        time.sleep(1.3)
        give(engine, publisher.heartbeat())
        engine.check_silence()
        assert view.top(0).state is State.LIVE
    time.sleep(2.1)
    engine.check_silence()
    assert (view.top(0).state, view.top(0).reason) == (State.STALE, Reason.SILENCE)


def test_metrics_are_those_of_the_books_each_under_its_own_name(path: Path) -> None:
    publisher = Publisher(1)
    engine = started(path, publisher)
    batch = Batch(64)
    now = publisher.ids[0]
    for _ in range(2):
        batch.append(0, Kind.BID, Flag.EVENT_END, 0, 1, 50, 1)  # older than the book
    for price in range(3):
        batch.append(0, Kind.BID, Flag.EVENT_END, 0, now, 5000 + price, 0)  # never there
    batch.append(0, Kind.BID, Flag.EVENT_END, 0, now, 9000, 1)
    for _ in range(4):
        batch.append(0, Kind.ASK, Flag.EVENT_END, 0, now, 8000, 1)
    for _ in range(5):
        batch.append(700, Kind.ASK, Flag.EVENT_END, 0, now, 8000, 1)
    for _ in range(6):
        batch.append(0, 9)
    give(engine, publisher.encoder.encode(batch))
    told, held = engine.counters(), engine.books.counters()
    wanted = {"out_of_order": 2, "deletes_of_absent": 3, "unknown_symbol": 5, "unknown_kind": 6}
    assert {name: told[name] for name in wanted} == wanted
    same = told.keys() & held.keys()
    assert len(same) > 8
    assert {name: told[name] for name in same} == {name: held[name] for name in same}
    assert told["crossed"] == held["crossed"] > 0
    assert content(engine, 0)[0][9000] == 1
