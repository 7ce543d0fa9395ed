"""A connection is replaced while its books are read: nothing is lost, nothing goes stale, nothing goes back."""

from __future__ import annotations

import time

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.wire.records import Flag, Kind
from wirebook.feed.handover import Followed, Understudy
from wirebook.venues import get

from ..venues.exchanges import BybitLinear
from .support import SYMBOL, Client, Feed, kinds, run, settle, until

LIFETIME = 1000.0
"""Seconds; it is told what time it is."""


class Rehearsal:
    """A connection whose book is live, its venue, and what time it is."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.market = BybitLinear(5)
        self.understudy = Understudy(Books(16, Arena(4 << 20, "off")))
        self.followed = Followed(feed.instruments, feed.publisher, self.understudy, LIFETIME, feed.make)
        self.now = time.monotonic()

    async def opened(self) -> Client:
        """The first connection, live, and its venue's end."""
        client = await self.feed.local.client(0)
        await until(lambda: client.topics() == ["BTCUSDT"])
        client.send(self.market.snapshot(), self.market.event())
        await until(lambda: self.published_id() == self.market.id)
        return client

    async def successor(self) -> Client:
        """Make the connection old, and the venue's end of the connection that it makes."""
        self.tick(LIFETIME + 1)
        assert self.followed.changing
        client = await self.feed.local.client(1)
        await until(lambda: client.topics() == ["BTCUSDT"])
        return client

    def tick(self, seconds: float = 0.001, may_begin: bool = True) -> None:
        """Let so much time go by."""
        self.now += seconds
        self.followed.tick(self.now, may_begin)

    def published_id(self) -> int:
        return self.feed.publisher.books.update_id(SYMBOL)

    def built_id(self) -> int:
        return self.understudy.books.update_id(SYMBOL)

    def right(self) -> bool:
        """Readers have the market's book, live, and so has the publisher."""
        return all(
            books.state(SYMBOL) == State.LIVE
            and (dict(books.levels(SYMBOL, Kind.BID)), dict(books.levels(SYMBOL, Kind.ASK)))
            == self.market.truth[books.update_id(SYMBOL)]
            for books in (self.feed.sent.books, self.feed.publisher.books)
        )

    def went_back(self) -> bool:
        ids = [record[4] for record in self.feed.sent.records if record[1] != Kind.HEARTBEAT]
        return ids != sorted(ids)


def test_a_successor_that_is_as_far_takes_over_at_once_and_in_silence() -> None:
    """Readers see nothing of it: what it holds is what was published."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        old = await there.opened()
        new = await there.successor()
        new.send(there.market.snapshot())
        await until(lambda: there.built_id() == there.market.id)
        told = list(feed.sent.records)
        there.tick()
        assert not there.followed.changing
        assert feed.sent.records == told
        assert there.right()
        await old.closed.wait()
        new.send(there.market.event())
        await until(lambda: there.published_id() == there.market.id)
        assert there.right()

    run(scene)


def test_a_successor_that_is_behind_catches_up_first() -> None:
    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        old = await there.opened()
        new = await there.successor()
        new.send(there.market.snapshot())
        await until(lambda: there.built_id() == there.market.id)
        behind = there.market.id
        late = [there.market.event(), there.market.event()]
        old.send(*late)
        await until(lambda: there.published_id() == behind + 2)
        there.tick()
        await old.closed.wait()
        assert there.followed.changing
        assert there.right()
        new.send(late[0])
        await until(lambda: there.built_id() == behind + 1)
        there.tick()
        assert there.followed.changing
        assert there.published_id() == behind + 2
        new.send(late[1])
        await until(lambda: there.built_id() == behind + 2)
        there.tick()
        assert not there.followed.changing
        assert there.right()
        assert not there.went_back()

    run(scene)


def test_catching_up_has_an_end() -> None:
    """The published book may not stand still for long: after a quarter of a second the successor's goes on as it is."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        old = await there.opened()
        new = await there.successor()
        new.send(there.market.snapshot())
        await until(lambda: there.built_id() == there.market.id)
        behind = there.market.id
        old.send(there.market.event())
        await until(lambda: there.published_id() == behind + 1)
        there.tick()
        there.tick(0.2)
        assert there.followed.changing
        there.tick(0.1)
        assert not there.followed.changing
        assert there.published_id() == behind
        assert there.right()
        assert kinds(feed.sent.records)[-1] == Kind.LIVE

    run(scene)


def test_what_the_successor_knows_more_is_published_as_one_event() -> None:
    """A level that went, one that changed and one that is new: deleted, changed, added; and the event is ended."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        await there.opened()
        new = await there.successor()
        bids, _ = there.market.sides
        gone, changed, *_ = list(bids)
        changes = [(0, gone, 0), (0, changed, bids[changed] + 5), (1, 10_200, 77)]
        for side, price, quantity in changes:
            there.market.sides[side].pop(price, None)
            if quantity:
                there.market.sides[side][price] = quantity
        there.market.id += 1
        there.market.note()
        new.send(there.market.snapshot())
        await until(lambda: there.built_id() == there.market.id)
        told = len(feed.sent.records)
        there.tick()
        published = feed.sent.records[told:]
        assert sorted((record[1], record[5], record[6]) for record in published) == sorted(changes)
        assert [bool(record[2] & Flag.EVENT_END) for record in published] == [False, False, True]
        assert {record[4] for record in published} == {there.market.id}
        assert there.right()

    run(scene)


def test_what_the_old_connection_brought_last_is_published_before_the_difference() -> None:
    """Else a level that it brought, and that was deleted since, would stay for ever."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        await there.opened()
        new = await there.successor()
        market = there.market
        price = 10_300
        for quantity in (9, 0):
            market.id += 1
            if quantity:
                market.sides[1][price] = quantity
            else:
                del market.sides[1][price]
            market.note()
        new.send(market.snapshot())
        await until(lambda: there.built_id() == market.id)
        # The first of the two events is still in the publisher's batch, as it is while a socket is read.
        feed.publisher.batch.append(SYMBOL, Kind.ASK, Flag.EVENT_END, 0, market.id - 1, price, 9, 0, 1)
        there.tick()
        assert not there.followed.changing
        assert there.published_id() == market.id
        assert there.right()
        new.send(market.event())
        await until(lambda: there.published_id() == market.id)
        assert there.right()
        assert not there.went_back()

    run(scene)


def test_a_successor_that_is_not_whole_in_time_takes_over_all_the_same() -> None:
    """The venue would cut the old connection."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        old = await there.opened()
        new = await there.successor()
        there.tick(LIFETIME / 24 - 1)
        await settle()
        assert not old.closed.is_set()
        assert there.right()
        there.tick(2)
        await old.closed.wait()
        there.tick(0.3)
        assert not there.followed.changing
        assert feed.sent.books.state(SYMBOL) is not State.LIVE
        new.send(there.market.snapshot(), there.market.event())
        await until(lambda: there.published_id() == there.market.id)
        assert there.right()

    run(scene)


def test_the_successor_takes_over_when_the_venue_was_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(get("bybit-linear")), "connect_seconds", 0.05)

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        old = await there.opened()
        new = await there.successor()
        old.hang_up()
        await until(lambda: not there.followed.connection.up)
        there.tick()
        assert not there.followed.changing
        assert there.followed.connection.up
        new.send(there.market.snapshot())
        await until(lambda: there.published_id() == there.market.id)
        assert there.right()
        await settle(0.3)
        assert len(feed.local.clients) == 2, "the old connection came back"

    run(scene)


def test_one_line_changes_at_a_time() -> None:
    """They share the understudy."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        await there.opened()
        there.tick(LIFETIME + 1, may_begin=False)
        there.tick(LIFETIME, may_begin=False)
        await settle()
        assert not there.followed.changing
        assert len(feed.local.clients) == 1
        there.tick(0.01, may_begin=True)
        assert there.followed.changing

    run(scene)


def test_a_line_without_an_end_of_life_never_changes() -> None:
    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        there.followed = Followed(feed.instruments, feed.publisher, there.understudy, 0.0, feed.make)
        await feed.local.client(1)
        await until(lambda: there.followed.connection.up)
        there.tick(1e6)
        assert not there.followed.changing

    run(scene)


def test_the_understudys_books_are_empty_for_the_next_change() -> None:
    """Nothing of an old successor's may be published as a new one's."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        await there.opened()
        new = await there.successor()
        new.send(there.market.snapshot())
        await until(lambda: there.built_id() == there.market.id)
        there.tick()
        assert not there.followed.changing
        assert there.understudy.books.count(SYMBOL) == (0, 0)
        assert there.understudy.books.state(SYMBOL) is not State.LIVE
        there.tick(LIFETIME + 1)
        third = await feed.local.client(2)
        there.tick(LIFETIME / 24 + 1)
        there.tick(0.3)
        assert there.followed.connection.connects == 1
        assert feed.sent.books.state(SYMBOL) is not State.LIVE, "the second successor had no book yet"
        third.send(there.market.snapshot())
        await until(lambda: feed.sent.books.state(SYMBOL) == State.LIVE)
        assert there.right()

    run(scene)


def test_a_recording_goes_from_the_old_connection_to_the_new_one() -> None:
    """During the overlap the old one's messages are recorded; what the new one brought meanwhile comes after them."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        old = await there.opened()
        before = list(feed.recording.messages)
        assert len(before) == 2
        new = await there.successor()
        whole = there.market.snapshot()
        new.send(whole)
        await until(lambda: there.built_id() == there.market.id)
        last = there.market.event()
        old.send(last)
        await until(lambda: there.published_id() == there.market.id)
        assert feed.recording.messages == [*before, last]
        new.send(last)
        await until(lambda: there.built_id() == there.market.id)
        there.tick()
        assert not there.followed.changing
        assert feed.recording.messages == [*before, last, whole, last]
        more = there.market.event()
        new.send(more)
        await until(lambda: there.published_id() == there.market.id)
        assert feed.recording.messages == [*before, last, whole, last, more]

    run(scene)


def test_a_stopped_line_leaves_no_connection_behind() -> None:
    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        old = await there.opened()
        new = await there.successor()
        there.followed.stop()
        await old.closed.wait()
        await new.closed.wait()
        assert feed.sent.books.state(SYMBOL) is State.STALE

    run(scene)


def test_a_successor_whose_venue_has_other_decimals_is_published_in_them() -> None:
    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        fine, there.market.sides = there.market.sides, ({9000: 1000}, {10100: 2000})
        there.market.note()
        old = await feed.local.client(0)
        await until(lambda: old.topics() == ["BTCUSDT"])
        old.send(there.market.snapshot())
        await until(lambda: there.published_id() == there.market.id)
        new = await there.successor()
        there.market.sides = fine
        there.market.step()
        there.market.note()
        new.send(there.market.snapshot())
        await until(lambda: there.built_id() == there.market.id)
        while there.followed.changing:
            there.tick()
        assert there.right()
        assert feed.sent.books.decimals(SYMBOL) == (2, 3)
        assert feed.publisher.instruments[SYMBOL] == BybitLinear.instrument
        new.send(there.market.event())
        await until(lambda: there.published_id() == there.market.id)
        assert there.right()

    run(scene, instruments=[BybitLinear.instrument._replace(price_decimals=0)])


def test_a_venue_that_says_it_will_close_a_connection_is_left_at_once() -> None:
    """Whatever its age, and once: the successor's venue has said nothing."""

    async def scene(feed: Feed) -> None:
        there = Rehearsal(feed)
        old = await there.opened()
        there.tick()
        assert not there.followed.changing
        there.followed.connection.leaving = True
        there.tick()
        assert there.followed.changing
        new = await feed.local.client(1)
        await until(lambda: new.topics() == ["BTCUSDT"])
        new.send(there.market.snapshot())
        await until(lambda: there.built_id() == there.market.id)
        while there.followed.changing:
            there.tick()
        assert there.right()
        await old.closed.wait()
        there.tick()
        assert not there.followed.changing
        assert Kind.STALE not in kinds(feed.sent.records)

    run(scene)
