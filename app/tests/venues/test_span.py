"""A book whose snapshot has so many levels and no more is right as far as it is LIVE, wherever the price walks."""

from __future__ import annotations

import random

import pytest

from wirebook import venues
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.wire.records import Batch, Kind, Reason
from wirebook.venues.base import WantSnapshot
from wirebook.venues.follower import BookFollower
from wirebook.venues.liveness import LOOK_SECONDS
from wirebook.venues.span import RENEW_SECONDS, told

from .exchanges import EXCHANGES, Change, Exchange
from .support import Keeper

LEVELS = 100
"""Of a snapshot."""
SHOWN = 10
BY_REST = [kind for kind in EXCHANGES if not venues.get(kind.venue).snapshots_in_band]


class Deep(Keeper):
    """A sink with room for deep books."""

    def __init__(self) -> None:
        super().__init__()
        self.batch = Batch(1 << 14)
        self.books = Books(16, Arena(8 << 20, "off"))


class Walk:
    """A market of some hundred levels a side that goes where it is told to, and its follower."""

    def __init__(self, kind: type[Exchange], monkeypatch: pytest.MonkeyPatch, seed: int = 1) -> None:
        self.exchange = kind(seed)
        self.dice = random.Random(seed)
        self.symbol = self.exchange.instrument.id
        self.middle = 500_000
        self.reach = 4 * LEVELS
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._fill()
        self.exchange.sides = self.sides
        venue = venues.get(kind.venue)
        monkeypatch.setattr(venue, "snapshot_levels", LEVELS)
        self.sink = Deep()
        self.subject = BookFollower(venue, [self.exchange.instrument], self.sink)
        self.subject.connected()
        self.now = 100.0
        self.asked = 0
        self.serve()
        self.step(0)
        assert self.state is State.LIVE

    def _fill(self) -> list[Change]:
        """Levels at most ticks on both sides of the middle; what changed by that."""
        changes: list[Change] = []
        for side, sign in ((0, -1), (1, 1)):
            wanted = {self.middle + sign * n for n in range(1, self.reach) if n % 7}
            levels = self.sides[side]
            wrong = [price for price in levels if (price - self.middle) * sign <= 0]
            changes += [(side, price, 0) for price in wrong]
            changes += [(side, price, self.dice.randint(1, 9_999)) for price in sorted(wanted - levels.keys())]
        for side, price, quantity in changes:
            if quantity:
                self.sides[side][price] = quantity
            else:
                del self.sides[side][price]
        return changes

    def step(self, by: int) -> None:
        """The price goes `by` ticks, and a level anywhere changes or goes."""
        exchange = self.exchange
        self.middle += by
        changes = {(side, price): quantity for side, price, quantity in self._fill()}
        side = self.dice.randrange(2)
        price = self.dice.choice(sorted(self.sides[side]))
        quantity = self.dice.choice([0, self.dice.randint(1, 9_999)])
        self.sides[side][price] = changes[side, price] = quantity
        if not quantity:
            del self.sides[side][price]
        exchange.before = exchange.id
        exchange.step()
        self.subject.message(exchange.tell([(*at, quantity) for at, quantity in changes.items()]), 1)
        self.look()
        self.right_or_stale()

    def look(self) -> None:
        self.subject.look(self.now, 1)
        self.now += LOOK_SECONDS

    def serve(self) -> None:
        """Answer what the follower asked for, with the book as it is now."""
        wants, self.subject.wants = self.subject.wants, []
        for want in wants:
            if isinstance(want, WantSnapshot):
                self.asked += 1
                self.subject.snapshot(want.symbol, self.answer(), 1)

    def answer(self) -> bytes:
        bids, asks = self.sides
        self.exchange.sides = (
            {price: bids[price] for price in sorted(bids, reverse=True)[:LEVELS]},
            {price: asks[price] for price in sorted(asks)[:LEVELS]},
        )
        return self.exchange.snapshot()

    @property
    def state(self) -> State:
        return self.sink.books.state(self.symbol)

    def right_or_stale(self) -> None:
        """What a reader is shown of a LIVE book is the market's."""
        if self.state is State.LIVE:
            bids, asks = (self.sink.books.levels(self.symbol, side, SHOWN) for side in (Kind.BID, Kind.ASK))
            assert bids == sorted(self.sides[0].items(), reverse=True)[:SHOWN]
            assert asks == sorted(self.sides[1].items())[:SHOWN]
        else:
            assert self.sink.books.reason(self.symbol) == Reason.OUT_OF_SPAN


by_rest = pytest.mark.parametrize("kind", BY_REST)


@by_rest
@pytest.mark.parametrize("by", [-3, 3])
def test_without_a_new_snapshot_it_is_stale_at_its_edge_and_live_again_within(
    kind: type[Exchange], by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(kind, monkeypatch)
    for _ in range(60):
        walk.step(by)
    assert walk.state is State.STALE
    for _ in range(50):
        walk.step(-by)
    assert walk.state is State.LIVE, "the price came back to what is known"


@by_rest
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("late", [0, 1, 5])
def test_a_new_snapshot_comes_before_the_edge(
    kind: type[Exchange], seed: int, late: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers come so many events after they were asked for, of the moment of the answer."""
    walk = Walk(kind, monkeypatch, seed)
    waiting, live = 0, 0
    for n in range(1500):
        walk.step(walk.dice.choice([0, 1, 1, -1]) if n % 600 < 400 else walk.dice.choice([0, 1, -1, -1]))
        live += walk.state is State.LIVE
        if any(isinstance(want, WantSnapshot) for want in walk.subject.wants):
            waiting += 1
            if waiting > late:
                waiting = 0
                walk.serve()
                walk.right_or_stale()
    assert live == 1500, "never stale"
    assert 2 <= walk.asked < 40
    assert walk.subject.counters.renewals == walk.asked - 1
    assert walk.subject.counters.gaps == walk.subject.counters.resyncs == 0
    assert walk.subject.live == 1


@by_rest
def test_an_answer_from_before_the_question_replaces_nothing(
    kind: type[Exchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(kind, monkeypatch)
    old = walk.answer()
    while not walk.subject.wants:
        walk.step(1)
    [want] = walk.subject.wants
    assert want == WantSnapshot(walk.symbol, renewal=True)
    walk.subject.wants.clear()
    walk.subject.snapshot(walk.symbol, old, 1)
    walk.right_or_stale()
    assert walk.state is State.LIVE
    assert walk.subject.counters.old_snapshots == 1
    assert not walk.subject.awaits(walk.symbol)
    for _ in range(int(RENEW_SECONDS / LOOK_SECONDS) + 1):
        walk.step(0)
    walk.serve()
    walk.step(0)
    assert walk.subject.counters.renewals == 1, "asked again, and not at once"


@by_rest
def test_an_answer_ahead_of_the_events_waits_for_them(kind: type[Exchange], monkeypatch: pytest.MonkeyPatch) -> None:
    walk = Walk(kind, monkeypatch)
    while not walk.subject.wants:
        walk.step(1)
    walk.serve()
    assert walk.state is State.LIVE
    assert walk.subject.counters.renewals == 0
    walk.step(1)
    assert walk.subject.counters.renewals == 1
    assert walk.state is State.LIVE


@by_rest
def test_a_book_that_is_lost_meanwhile_is_rebuilt_as_ever(
    kind: type[Exchange], monkeypatch: pytest.MonkeyPatch
) -> None:
    walk = Walk(kind, monkeypatch)
    while not walk.subject.wants:
        walk.step(1)
    walk.subject.wants.clear()
    walk.subject.disconnected(Reason.DISCONNECTED, 1)
    assert not walk.subject.awaits(walk.symbol)
    walk.subject.snapshot(walk.symbol, walk.answer(), 1)
    assert walk.state is State.STALE
    walk.subject.connected()
    walk.serve()
    walk.step(1)
    assert walk.state is State.LIVE


@pytest.mark.parametrize(
    ("bids", "asks", "edges"),
    [(100, 100, (1, 100)), (99, 100, (None, 100)), (99, 99, (None, None)), (0, 0, (None, None))],
)
def test_a_side_of_fewer_levels_than_asked_for_is_known_whole(
    bids: int, asks: int, edges: tuple[int | None, int | None]
) -> None:
    span = told(list(range(1, bids + 1)), list(range(1, asks + 1)), 100)
    assert (span.bid_edge, span.ask_edge) == edges
    assert span.whole == (edges == (None, None))
    assert not span.nears(25, 25)
    assert span.nears(24, 24) == (not span.whole)
    assert told([1] * bids, [1] * asks, None).whole
