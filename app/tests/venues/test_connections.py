"""What a follower takes from one connection to the next: nothing but its books, which are stale."""

from __future__ import annotations

import pytest

from wirebook import venues
from wirebook.core.books.books import State
from wirebook.core.wire.records import Reason

from .exchanges import EXCHANGES, Coinbase, Exchange
from .support import BTC, event, follower, snapshot
from .test_every_venue import held, serve, start

every_exchange = pytest.mark.parametrize("kind", EXCHANGES)


@every_exchange
@pytest.mark.parametrize("events", [0, 1, 5])
def test_another_connection_makes_a_book_live_without_a_gap(kind: type[Exchange], events: int) -> None:
    """Message numbers begin anew with it, wherever the old one was."""
    exchange = kind(21)
    subject, sink = start(exchange)
    for _ in range(events):
        subject.message(exchange.event(), 1)
    subject.disconnected(Reason.DISCONNECTED, 2)
    assert sink.books.state(exchange.instrument.id) is State.STALE
    exchange.event()  # nobody heard it
    if isinstance(exchange, Coinbase):
        exchange.id = -1
    subject.wants.clear()
    subject.connected()
    if venues.get(exchange.venue).snapshots_in_band:
        subject.message(exchange.snapshot(), 3)
    serve(exchange, subject)
    subject.message(exchange.event(), 4)
    assert sink.books.state(exchange.instrument.id) is State.LIVE
    assert held(exchange, sink) == exchange.truth[exchange.id]
    assert (subject.counters.gaps, subject.counters.repeats, subject.live) == (0, 0, 1)


@every_exchange
def test_a_book_is_not_live_on_the_word_of_the_old_connection(kind: type[Exchange]) -> None:
    """Neither what it sent before it was lost nor what comes of it later counts."""
    exchange = kind(22)
    subject, sink = start(exchange)
    whole, told = exchange.snapshot(), [exchange.event() for _ in range(3)]
    subject.disconnected(Reason.DISCONNECTED, 2)
    for raw in (whole, *told):
        subject.message(raw, 3)
    subject.snapshot(exchange.instrument.id, whole, 3)
    assert sink.books.state(exchange.instrument.id) is State.STALE
    assert subject.live == 0


@pytest.mark.parametrize("lost_at", [10, 12])
def test_events_that_waited_for_a_snapshot_are_forgotten_with_their_connection(lost_at: int) -> None:
    """Between the connections events were missed: one that waited can't prove that the new snapshot is continued."""
    subject, sink = follower()
    subject.message(event(11, 12, "100.50:2"), 1)
    subject.message(event(13, 13, "100.60:2"), 1)
    subject.disconnected(Reason.DISCONNECTED, 2)
    subject.connected()
    subject.snapshot(BTC.id, snapshot(lost_at), 3)
    assert sink.books.state(BTC.id) is State.STALE
    assert sink.books.update_id(BTC.id) == lost_at
    assert subject.live == 0
