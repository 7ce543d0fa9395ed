"""Books at their limits: crossed, full, with quantities beyond 32 bits, and without readers while they are stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

Record = tuple[int, ...]


def apply(books: Books, *records: Record) -> None:
    batch = Batch(len(records))
    for record in records:
        batch.append(*record)
    books.apply(batch)


def live(symbols: int = 2, arena: int = 4 << 20) -> Books:
    """Books of which symbol 0 is LIVE and empty, at id 1."""
    books = Books(symbols, Arena(arena, "off"))
    apply(books, (0, Kind.CLEAR, Flag.SNAPSHOT, 0, 1), (0, Kind.LIVE, Flag.EVENT_END, 0, 1))
    return books


def event(update_id: int, kind: Kind, price: int, quantity: int) -> Record:
    return (0, kind, Flag.EVENT_END, 0, update_id, price, quantity)


# ---- crossed books ----


def test_every_event_of_a_book_that_stays_crossed_is_counted() -> None:
    """Also one that is far below the best, and where nobody listens."""
    books = live()
    apply(books, event(2, Kind.BID, 100, 1), event(3, Kind.ASK, 101, 1), event(4, Kind.BID, 50, 1))
    assert books.counters()["crossed"] == 0
    apply(books, event(5, Kind.BID, 102, 1))
    assert books.counters()["crossed"] == 1
    apply(books, event(6, Kind.BID, 50, 2), event(7, Kind.ASK, 200, 2))
    assert books.counters()["crossed"] == 3
    apply(books, event(8, Kind.BID, 102, 0), event(9, Kind.BID, 50, 3))
    assert books.counters()["crossed"] == 3


@pytest.mark.parametrize("kind", [Kind.BID, Kind.ASK])
def test_a_book_is_crossed_from_either_side(kind: Kind) -> None:
    books = live()
    other = Kind.ASK if kind == Kind.BID else Kind.BID
    apply(books, event(2, other, 100, 1), event(3, kind, 100, 1))
    assert books.counters()["crossed"] == 1


def test_a_stale_book_is_not_counted_as_crossed() -> None:
    books = live()
    apply(books, (0, Kind.STALE, Flag.EVENT_END, Reason.GAP, 1))
    apply(books, event(2, Kind.BID, 102, 1), event(3, Kind.ASK, 101, 1))
    assert books.counters()["crossed"] == 0


# ---- who is told ----


@pytest.mark.parametrize("mark", [(0, Kind.STALE, Flag.EVENT_END, Reason.CHECKSUM, 9), (0, Kind.CLEAR, 0, 0, 9)])
def test_events_of_a_stale_book_are_not_published(tmp_path: Path, mark: Record) -> None:
    """Readers keep what they had, and why it is stale."""
    engine = Engine(live(), MarketWriter(tmp_path / "market", 2), history=16)
    view = MarketView(tmp_path / "market", silence=60.0)
    apply(engine.books, event(9, Kind.BID, 100, 1))
    apply(engine.books, mark)
    shown, published = view.top(0), view.symbol(0).events
    assert shown.state is State.STALE
    apply(engine.books, event(10, Kind.BID, 101, 7), event(11, Kind.ASK, 105, 7))
    assert view.top(0) == shown
    assert view.symbol(0).events == published
    apply(engine.books, (0, Kind.LIVE, Flag.EVENT_END, 0, 11))
    assert view.top(0)[:7] == (State.LIVE, 0, 11, 101, 7, 105, 7)


# ---- snapshots ----


def test_a_snapshot_fits_into_a_batch_of_just_its_size() -> None:
    books = live()
    for number in range(10):
        apply(books, event(2, Kind.BID, 100 - number, 1), event(2, Kind.ASK, 200 + number, 1))
    full = Batch(22)  # CLEAR, LIVE and twenty levels
    books.snapshot(0, full)
    assert len(full) == 22
    assert [int(record["kind"]) for record in full.array[[0, -1]]] == [Kind.CLEAR, Kind.LIVE]


@pytest.mark.parametrize(("capacity", "before"), [(21, 0), (22, 1), (1, 0)])
def test_a_snapshot_without_room_appends_nothing(capacity: int, before: int) -> None:
    books = live()
    for number in range(10):
        apply(books, event(2, Kind.BID, 100 - number, 1), event(2, Kind.ASK, 200 + number, 1))
    batch = Batch(capacity)
    for _ in range(before):
        batch.append(1, Kind.HEARTBEAT)
    with pytest.raises(OverflowError, match="no room for 20 levels"):
        books.snapshot(0, batch)
    assert len(batch) == before


# ---- quantities ----


@pytest.mark.parametrize("side", [Kind.BID, Kind.ASK])
@pytest.mark.parametrize("quantity", [2**32 - 1, 2**32, 2**32 + 1, 2**33 - 1, 2**33, 2**62, 2**63 - 1])
def test_a_large_quantity_survives_a_page_that_fills_and_empties(quantity: int, side: Kind) -> None:
    """A full page of 64 ticks keeps its quantities elsewhere, and is packed into 32 bits each when few are left."""
    books = live()
    prices = list(range(1000, 1016))
    apply(books, *(event(2, side, price, quantity if price == 1003 else price) for price in prices))
    expected = {price: quantity if price == 1003 else price for price in prices}
    for price in [price for price in prices if price != 1003]:
        assert dict(books.levels(0, side)) == expected
        apply(books, event(3, side, price, 0))
        del expected[price]
    assert books.levels(0, side) == [(1003, quantity)]
