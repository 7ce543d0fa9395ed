"""What a feed publishes, in which order, and that its own books are what it published."""

from __future__ import annotations

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Flag, Kind
from wirebook.feed.publisher import Publisher
from wirebook.venues.base import Instrument

from .support import Sent

INSTRUMENT = Instrument(3, "AB", 2, 3)
PACKET = 29
"""Records that a packet has room for."""


@pytest.fixture
def sent() -> Sent:
    return Sent()


@pytest.fixture
def publisher(sent: Sent) -> Publisher:
    books = Books(16, Arena(4 << 20, "off"))
    return Publisher("venue", [INSTRUMENT], books, Encoder(1, 1, 1), sent, sent, 50_000)


def begin(publisher: Publisher, *levels: tuple[int, int]) -> None:
    """A whole book at id 10, committed."""
    publisher.batch.append(3, Kind.CLEAR, Flag.SNAPSHOT, 0, 10)
    for price, quantity in levels:
        publisher.batch.append(3, Kind.BID, Flag.SNAPSHOT, 0, 10, price, quantity)
    publisher.batch.append(3, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 10)
    publisher.commit(3)


def event(publisher: Publisher, update_id: int, price: int, quantity: int) -> None:
    publisher.batch.append(3, Kind.BID, Flag.EVENT_END, 0, update_id, price, quantity)
    publisher.commit(3)


def test_the_feeds_own_books_are_what_was_published(publisher: Publisher, sent: Sent) -> None:
    begin(publisher, (100, 1), (99, 2))
    publisher.flush()
    event(publisher, 11, 100, 0)
    publisher.flush()
    for books in (publisher.books, sent.books):
        assert books.state(3) is State.LIVE
        assert books.update_id(3) == 11
        assert books.levels(3, Kind.BID) == [(99, 2)]
    assert len(publisher.batch) == 0


def test_a_full_packet_is_sent_without_waiting(publisher: Publisher, sent: Sent) -> None:
    begin(publisher)
    for number in range(PACKET - 3):
        event(publisher, 11 + number, 100 + number, 1)
        assert sent.records == []
    event(publisher, 11 + PACKET, 200, 1)
    assert len(sent.records) == PACKET


def test_a_snapshot_comes_after_all_that_is_in_it(publisher: Publisher, sent: Sent) -> None:
    """Readers who wait for it have seen its last event go by: what follows it continues it."""
    begin(publisher, (100, 1))
    event(publisher, 11, 101, 5)
    assert sent.packets == []
    publisher.cycle(1.0)
    assert [channel for channel, _ in sent.packets[:2]] == [Channel.INCREMENTAL_CHANNEL, Channel.SNAPSHOT_CHANNEL]
    _, records = sent.packets[1]
    levels = [(record[5], record[6]) for record in records if record[1] == Kind.BID]
    assert sorted(levels) == [(100, 1), (101, 5)]
    assert {record[4] for record in records if record[1] == Kind.BID} == {11}
    assert records[0][1] == Kind.DEFINE


def test_a_book_that_is_not_live_is_only_defined(publisher: Publisher, sent: Sent) -> None:
    begin(publisher, (100, 1))
    publisher.batch.append(3, Kind.STALE, Flag.EVENT_END, 1, 10)
    publisher.commit(3)
    publisher.cycle(1.0)
    _, records = sent.packets[-1]
    assert Kind.LIVE not in [record[1] for record in records]
    assert Kind.BID not in [record[1] for record in records]


def test_a_heartbeat_leaves_at_once(publisher: Publisher, sent: Sent) -> None:
    publisher.heartbeat(77)
    ((channel, ((_, kind, flags, *_, receive_ns),)),) = sent.packets
    assert (channel, kind, receive_ns) == (Channel.INCREMENTAL_CHANNEL, Kind.HEARTBEAT, 77)
    assert flags & Flag.EVENT_END
