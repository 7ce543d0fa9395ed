"""Books know how far the snapshot told them, and are LIVE within that alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

BIDS, ASKS = 1, 2
"""Bits of a SPAN: the sides that have an edge."""


def books() -> Books:
    return Books(4, Arena(1 << 20, "off"))


def snapshot(batch: Batch, levels: int = 12, edges: int = BIDS | ASKS) -> None:
    """Bids from 1000 downwards and asks from 1001 upwards."""
    batch.append(1, Kind.CLEAR, Flag.SNAPSHOT, 0, 10)
    batch.append(1, Kind.SPAN, Flag.SNAPSHOT, edges, 10, 1001 - levels, 1000 + levels)
    for n in range(levels):
        batch.append(1, Kind.BID, Flag.SNAPSHOT, 0, 10, 1000 - n, 5)
        batch.append(1, Kind.ASK, Flag.SNAPSHOT, 0, 10, 1001 + n, 5)
    batch.append(1, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 10)


def change(batch: Batch, side: int, price: int, quantity: int, at: int) -> None:
    batch.append(1, side, Flag.EVENT_END, 0, at, price, quantity)


@pytest.mark.parametrize("side", [Kind.BID, Kind.ASK])
def test_it_is_live_while_ten_levels_are_known(side: Kind) -> None:
    made, batch = books(), Batch(64)
    snapshot(batch)
    made.apply(batch)
    assert made.span(1) == (989, 1012)
    assert made.within(1, 100) == (12, 12)
    assert made.within(1, 5) == (5, 5)
    best = 1000 if side == Kind.BID else 1001
    worse = -1 if side == Kind.BID else 1
    for n in range(3):
        assert made.state(1) is State.LIVE
        batch.clear()
        # One beyond the edge comes for each that goes: there are twelve, and it isn't known what else there is.
        change(batch, side, best + worse * n, 0, 11 + n)
        change(batch, side, best + worse * (20 + n), 5, 11 + n)
        made.apply(batch)
    assert (made.state(1), made.reason(1)) == (State.STALE, Reason.OUT_OF_SPAN)
    batch.clear()
    change(batch, side, best, 5, 20)
    made.apply(batch)
    assert (made.state(1), made.reason(1)) == (State.LIVE, 0)


def test_a_side_without_an_edge_may_have_few_levels() -> None:
    made, batch = books(), Batch(64)
    snapshot(batch, levels=3, edges=0)
    made.apply(batch)
    assert made.state(1) is State.LIVE
    assert made.span(1) == (None, None)
    assert made.within(1, 100) == (100, 100)


def test_a_book_hands_its_span_on_and_a_clear_forgets_it() -> None:
    made, other, batch = books(), books(), Batch(64)
    snapshot(batch, edges=ASKS)
    made.apply(batch)
    batch.clear()
    made.snapshot(1, batch)
    other.apply(batch)
    assert other.span(1) == made.span(1) == (None, 1012)
    batch.clear()
    batch.append(1, Kind.CLEAR)
    other.apply(batch)
    assert other.span(1) == (None, None)


@pytest.mark.parametrize("channel", Channel)
def test_readers_see_how_far_and_never_a_live_book_beyond(tmp_path: Path, channel: Channel) -> None:
    engine = Engine(books(), MarketWriter(tmp_path / "market", 4), history=64)
    view = MarketView(tmp_path / "market", silence=60.0)
    encoder, batch = Encoder(1, 1, 1), Batch(64)

    def send(channel: Channel = Channel.INCREMENTAL_CHANNEL) -> None:
        for packet in encoder.encode(batch, channel):
            engine.process(packet)
        batch.clear()

    batch.append(0, Kind.HEARTBEAT)
    send()
    snapshot(batch, edges=BIDS)
    send(channel)
    depth = view.depth(1)
    assert depth.top.state is State.LIVE
    assert (depth.bid_edge, depth.ask_edge) == (989, None)
    for n in range(3):
        change(batch, Kind.BID, 1000 - n, 0, 11 + n)
        change(batch, Kind.BID, 900 + n, 7, 11 + n)
    send()
    depth = view.depth(1)
    assert (depth.top.state, depth.top.reason) == (State.STALE, Reason.OUT_OF_SPAN)
    assert engine.live() == 0
    change(batch, Kind.BID, 1000, 5, 20)
    send()
    assert view.top(1).state is State.LIVE
    # Another snapshot, of a book that is known whole.
    snapshot(batch, edges=0)
    send()
    depth = view.depth(1)
    assert (depth.bid_edge, depth.ask_edge) == (None, None)
    assert depth.top.state is State.LIVE
