"""A book that stays crossed or locked is stale, with that reason, on every venue, and live as soon as it isn't."""

from __future__ import annotations

import pytest

from wirebook import venues
from wirebook.core.books.books import State
from wirebook.core.wire.records import Kind, Reason
from wirebook.venues.base import WantLog

from .exchanges import EXCHANGES, Exchange
from .test_every_venue import held, serve
from .test_liveness import SYMBOL, Watched

every_exchange = pytest.mark.parametrize("kind", EXCHANGES)


def change(watched: Watched, side: int, price: int, quantity: int) -> None:
    """One level of the market changes, and the venue tells it."""
    exchange = watched.exchange
    if quantity:
        exchange.sides[side][price] = quantity
    else:
        del exchange.sides[side][price]
    exchange.before = exchange.id
    exchange.step()
    exchange.note()
    watched.subject.message(exchange.tell([(side, price, quantity)]), 1)


def limit(kind: type[Exchange]) -> float:
    seconds = venues.get(kind.venue).crossed_seconds
    assert seconds <= 10.0
    return seconds


def cross(watched: Watched, *, locked: bool = False) -> int:
    """A bid at the best ask or above it, and it stays; returns its price."""
    price = min(watched.exchange.sides[1]) + (0 if locked else 1)
    change(watched, 0, price, 5)
    return price


def stay(watched: Watched, seconds: float, price: int) -> None:
    """Other events go on."""
    end = watched.now + seconds
    while watched.now < end:
        change(watched, 0, price, 1 + int(watched.now * 4) % 7)
        watched.wait(0.25)


@every_exchange
@pytest.mark.parametrize("locked", [False, True])
def test_a_level_that_goes_on_crossing_makes_it_stale(kind: type[Exchange], locked: bool) -> None:
    watched = Watched(kind)
    watched.wait(1.0, events=True)
    price = cross(watched, locked=locked)
    stay(watched, limit(kind) - 0.5, price)
    assert watched.state[0] is State.LIVE
    assert not watched.asked()
    stay(watched, 1.5, price)
    assert watched.state == (State.STALE, Reason.CROSSED)
    assert watched.subject.live == 0
    assert len(watched.asked()) == 1
    [said] = [want for want in watched.subject.wants if isinstance(want, WantLog)]
    assert "crossed or locked" in said.text
    assert watched.subject.counters.crossed == 1


@every_exchange
def test_what_crosses_for_a_moment_again_and_again_stays_live(kind: type[Exchange]) -> None:
    watched = Watched(kind)
    for _ in range(8):
        price = cross(watched)
        stay(watched, limit(kind) / 2, price)
        change(watched, 0, price, 0)
        watched.wait(0.25)
    assert watched.state[0] is State.LIVE
    assert watched.subject.counters.crossed == 0


@every_exchange
def test_a_snapshot_without_the_level_heals_it(kind: type[Exchange]) -> None:
    watched = Watched(kind)
    price = cross(watched)
    stay(watched, limit(kind) + 1.0, price)
    assert watched.state == (State.STALE, Reason.CROSSED)
    exchange = watched.exchange
    del exchange.sides[0][price]  # its deletion is lost on the way, or never sent
    exchange.before = exchange.id
    exchange.step()
    exchange.note()
    watched.heal()
    assert watched.subject.live == 1


@every_exchange
def test_a_venue_that_says_so_again_is_followed_and_live_when_it_no_longer_crosses(kind: type[Exchange]) -> None:
    watched = Watched(kind)
    price = cross(watched)
    stay(watched, limit(kind) + 1.0, price)
    serve(watched.exchange, watched.subject)
    watched.subject.wants.clear()
    for _ in range(4):
        stay(watched, 10.0, price)
        assert watched.state == (State.STALE, Reason.CROSSED)
        assert watched.subject.live == 0
    assert not watched.asked(), "no storm"
    assert watched.subject.counters.crossed == 1
    change(watched, 0, price, 0)
    watched.wait(0.5)
    assert watched.state[0] is State.LIVE
    assert watched.subject.live == 1
    assert held(watched.exchange, watched.sink) == watched.exchange.truth[watched.exchange.id]
    watched.wait(2.0, events=True)
    assert held(watched.exchange, watched.sink) == watched.exchange.truth[watched.exchange.id]
    assert watched.sink.books.levels(SYMBOL, Kind.BID, 1) == [max(watched.exchange.sides[0].items())]
