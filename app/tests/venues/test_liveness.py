"""What a live book has to go on proving, on every venue. Time is what the test says it is."""

from __future__ import annotations

import pytest

from wirebook import venues
from wirebook.core.books.books import State
from wirebook.core.wire.records import Reason
from wirebook.venues.base import WantLog, WantResubscribe, WantSnapshot
from wirebook.venues.follower import BookFollower
from wirebook.venues.liveness import (
    AHEAD_SECONDS,
    LOOK_SECONDS,
    REPEATS_SECONDS,
    UNREADABLE_SECONDS,
)

from .exchanges import EXCHANGES, Exchange
from .support import BTC, ETH, event, follower, snapshot
from .test_every_venue import NEVER_SEEN, held, serve, start

every_exchange = pytest.mark.parametrize("kind", EXCHANGES)
NUMBERED = [kind for kind in EXCHANGES if venues.get(kind.venue).numbered]
SYMBOL = 7


class Watched:
    """A live book, looked at as a feed does while its market goes on or doesn't."""

    def __init__(self, kind: type[Exchange], seed: int = 1) -> None:
        self.exchange = kind(seed)
        self.subject, self.sink = start(self.exchange)
        self.now = 100.0
        self.subject.wants.clear()

    def wait(self, seconds: float, *, events: bool = False) -> None:
        """Let time go by, with an event before each look or without any."""
        end = self.now + seconds
        while self.now < end:
            if events:
                self.subject.message(self.exchange.event(), 1)
            self.subject.look(self.now, 1)
            self.now += LOOK_SECONDS

    @property
    def state(self) -> tuple[State, int]:
        return self.sink.books.state(SYMBOL), self.sink.books.reason(SYMBOL)

    def asked(self) -> list[WantSnapshot | WantResubscribe]:
        return [want for want in self.subject.wants if isinstance(want, WantSnapshot | WantResubscribe)]

    def heal(self) -> None:
        serve(self.exchange, self.subject)
        self.subject.message(self.exchange.event(), 1)
        assert self.state[0] is State.LIVE
        assert held(self.exchange, self.sink) == self.exchange.truth[self.exchange.id]


@every_exchange
def test_a_book_whose_events_go_on_stays_live(kind: type[Exchange]) -> None:
    watched = Watched(kind)
    watched.wait(120.0, events=True)
    assert watched.state[0] is State.LIVE
    assert not watched.asked()


@every_exchange
def test_a_busy_book_that_falls_silent_is_stale_and_heals(kind: type[Exchange]) -> None:
    watched = Watched(kind)
    watched.wait(20.0, events=True)
    watched.wait(4.5)
    assert watched.state[0] is State.LIVE
    watched.wait(1.5)
    assert watched.state == (State.STALE, Reason.SILENCE)
    assert len(watched.asked()) == 1
    [said] = [want for want in watched.subject.wants if isinstance(want, WantLog)]
    assert watched.exchange.instrument.name in said.text
    assert "no event for" in said.text
    watched.heal()


@every_exchange
def test_what_a_book_taught_never_loosens_the_venue_s_limit_and_pauses_it_has_are_its_own(kind: type[Exchange]) -> None:
    watched = Watched(kind)
    for _ in range(60):
        watched.wait(4.0, events=False)
        watched.subject.message(watched.exchange.event(), 1)
    watched.wait(15.0)  # five times its longest pause is more
    assert watched.state[0] is State.LIVE
    limit = venues.get(watched.exchange.venue).book_seconds
    watched.wait(min(limit, 30.0))
    assert watched.state == (State.STALE, Reason.SILENCE)


@every_exchange
def test_a_quiet_book_stays_live_unless_the_venue_promises_a_sign_of_life(kind: type[Exchange]) -> None:
    watched = Watched(kind)
    limit = venues.get(watched.exchange.venue).book_seconds
    watched.wait(60.0)
    assert watched.state[0] is State.LIVE
    watched.wait(30.0)
    assert watched.state[0] is (State.STALE if limit < 90 else State.LIVE)


@pytest.mark.parametrize("kind", NUMBERED)
@pytest.mark.parametrize("what", ["garbled", "unknown"])
def test_a_message_that_may_be_the_book_s_and_can_not_be_read_makes_it_stale(kind: type[Exchange], what: str) -> None:
    watched = Watched(kind)
    watched.wait(1.0, events=True)
    lost = watched.exchange.event()
    if what == "garbled":
        unread = lost[: len(lost) // 2]
    elif watched.exchange.venue == "coinbase":
        pytest.skip("an unknown message has a number of its own there")
    else:
        unread = NEVER_SEEN[watched.exchange.venue.split("-")[0]]
    watched.subject.message(unread, 1)
    watched.wait(UNREADABLE_SECONDS)
    assert watched.state[0] is State.LIVE
    watched.wait(1.0)
    assert watched.state == (State.STALE, Reason.UNREADABLE)
    watched.heal()


@pytest.mark.parametrize("kind", NUMBERED)
def test_a_readable_event_after_it_shows_that_nothing_is_missing(kind: type[Exchange]) -> None:
    watched = Watched(kind)
    watched.wait(1.0, events=True)
    watched.subject.message(b'{"e":', 1)
    watched.wait(20.0, events=True)
    assert watched.state[0] is State.LIVE


def two_books() -> BookFollower:
    subject, _ = follower(BTC, ETH)
    for symbol, name in ((BTC.id, "BTCUSDT"), (ETH.id, "ETHUSDT")):
        subject.snapshot(symbol, snapshot(100), 1)
        subject.message(event(101, 101, symbol=name), 1)
    subject.look(0.0, 1)
    assert subject.live == 2
    return subject


def test_only_the_books_that_an_unreadable_message_names_are_doubtful() -> None:
    subject = two_books()
    subject.message(b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","s":"ETHUSDT","U":"x"}}', 1)
    for now in (1.0, 2.0, 3.0):
        subject.look(now, 1)
    assert subject.live == 1


def test_each_book_is_doubtful_after_more_unreadable_messages_than_can_be_searched() -> None:
    subject = two_books()
    for _ in range(33):
        subject.message(b'{"stream":"ethusdt@depth@100ms","data":{"e":"depthUpdate","s":"ETHUSDT","U":"x"}}', 1)
    for now in (1.0, 2.0, 3.0):
        subject.look(now, 1)
    assert subject.live == 0


def test_one_symbol_of_two_falls_silent() -> None:
    subject = two_books()
    now = 1.0
    for number in range(102, 202):
        subject.message(event(number, number), 1)
        if number < 160:
            subject.message(event(number, number, symbol="ETHUSDT"), 1)
        subject.look(now, 1)
        now += LOOK_SECONDS
    assert subject.live == 1


def test_ids_that_start_over_are_a_resync() -> None:
    subject, sink = follower()
    subject.snapshot(SYMBOL, snapshot(10_000), 1)
    subject.message(event(10_001, 10_001), 1)
    now, number = 0.0, 5
    while now < 2 * REPEATS_SECONDS and sink.books.state(SYMBOL) is State.LIVE:
        subject.message(event(number, number, "100.50:1"), 1)
        subject.look(now, 1)
        now, number = now + LOOK_SECONDS, number + 1
    assert REPEATS_SECONDS < now < REPEATS_SECONDS + 1
    assert sink.books.reason(SYMBOL) == Reason.RESYNC


def test_a_repeat_now_and_then_is_none() -> None:
    subject, sink = follower()
    subject.snapshot(SYMBOL, snapshot(100), 1)
    for number in range(101, 201):
        subject.message(event(number, number), 1)
        subject.message(event(number, number), 1)
        subject.look(number * LOOK_SECONDS, 1)
    assert sink.books.state(SYMBOL) is State.LIVE


@pytest.mark.parametrize("last", [(1 << 63) - 1, 102 + (1 << 33)])
def test_a_jump_that_no_venue_makes_is_a_resync(last: int) -> None:
    subject, sink = follower()
    subject.snapshot(SYMBOL, snapshot(100), 1)
    subject.message(event(101, 101), 1)
    subject.message(event(102, last, "100.50:1"), 1)
    assert (sink.books.state(SYMBOL), sink.books.reason(SYMBOL)) == (State.STALE, Reason.GAP)
    assert sink.books.update_id(SYMBOL) == 101
    subject.snapshot(SYMBOL, snapshot(105), 1)
    subject.message(event(106, 106), 1)
    assert sink.books.state(SYMBOL) is State.LIVE


def test_a_snapshot_ahead_of_the_events_has_a_deadline_and_a_word() -> None:
    subject, _ = follower()
    subject.snapshot(SYMBOL, snapshot(10_000), 1)
    subject.wants.clear()
    now, number = 0.0, 1
    while now < 2 * AHEAD_SECONDS and not subject.awaits(SYMBOL):
        subject.message(event(number, number), 1)
        subject.look(now, 1)
        now, number = now + LOOK_SECONDS, number + 1
    assert AHEAD_SECONDS < now < AHEAD_SECONDS + 1
    said, asked = subject.wants
    assert isinstance(said, WantLog)
    assert "ahead of the events" in said.text
    assert asked == WantSnapshot(SYMBOL)
