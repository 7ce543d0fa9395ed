"""Messages larger than the batch: refused as a whole, said, and never half applied; smaller ones fit to the last."""

from __future__ import annotations

from typing import TypeVar

import pytest

from wirebook import venues
from wirebook.core.books.books import State
from wirebook.core.wire.records import Batch

from .exchanges import EXCHANGES, Exchange, Kraken
from .support import Keeper, follow
from .test_every_venue import held

ROOM = 64
"""Records."""
MARKS = 3
"""Records for which there is room beside a snapshot's levels: CLEAR, SPAN and LIVE."""

K = TypeVar("K", bound=Exchange)


class Narrow(Keeper):
    """With a batch of ROOM records."""

    def __init__(self) -> None:
        super().__init__()
        self.batch = Batch(ROOM)


def deep(kind: type[K], levels: int) -> K:
    """A market of so many levels."""
    exchange = kind(41)
    bids = levels // 2
    exchange.sides = (
        {9_999 - n: 1_000 + n for n in range(bids)}, {10_001 + n: 1_000 + n for n in range(levels - bids)}
    )  # fmt: skip
    exchange.note()
    return exchange


def take(exchange: Exchange) -> tuple[Narrow, int]:
    """Give a follower the snapshot; what it has then, and how often it refused."""
    subject, sink = follow(Narrow(), exchange.instrument, venue=exchange.venue)
    if venues.get(exchange.venue).snapshots_in_band:
        subject.message(exchange.snapshot(), 1)
    else:
        subject.snapshot(exchange.instrument.id, exchange.snapshot(), 1)
    return sink, subject.counters.unrepresentable


def most(kind: type[Exchange]) -> int:
    """Levels that fit; where we truncate, each may push another one out."""
    return (ROOM - MARKS) // (1 if venues.get(kind.venue).truncate is None else 2)


@pytest.mark.parametrize("kind", EXCHANGES)
def test_a_snapshot_that_just_fits_is_taken(kind: type[Exchange]) -> None:
    exchange = deep(kind, most(kind))
    sink, refused = take(exchange)
    assert refused == 0
    assert held(exchange, sink) == exchange.truth[exchange.id]


@pytest.mark.parametrize("kind", EXCHANGES)
@pytest.mark.parametrize("more", [1, 2, 3, 100])
def test_a_snapshot_that_does_not_fit_is_refused(kind: type[Exchange], more: int) -> None:
    exchange = deep(kind, most(kind) + more)
    sink, refused = take(exchange)
    assert refused == 1
    assert sink.books.state(exchange.instrument.id) is not State.LIVE
    assert sink.books.count(exchange.instrument.id) == (0, 0)


@pytest.mark.parametrize(("new", "refused"), [(24, 0), (30, 0), (31, 1), (40, 1), (60, 1)])
def test_kraken_levels_that_fall_out_of_the_depth_take_room_too(new: int, refused: int) -> None:
    """Each new level deletes another one for the readers."""
    exchange = deep(Kraken, 30)
    depth = len(exchange.sides[1])
    subject, sink = follow(Narrow(), exchange.instrument, venue="kraken")
    subject.message(
        b'{"method":"subscribe","result":{"channel":"book","depth":%d,"symbol":"BTC/USD"},"success":true}' % depth, 1
    )
    subject.message(exchange.snapshot(), 1)
    assert sink.books.state(7) is State.LIVE
    better = {9_000 - n: 500 for n in range(new)}
    exchange.sides = (exchange.sides[0], dict(sorted({**better, **exchange.sides[1]}.items())[:depth]))
    subject.message(exchange.say("update", [(1, price, quantity) for price, quantity in better.items()]), 2)
    assert subject.counters.unrepresentable == refused
    assert sink.books.state(7) is (State.STALE if refused else State.LIVE)
    if not refused:
        assert held(exchange, sink) == exchange.sides
