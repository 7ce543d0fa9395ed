"""A planned change of connection: the successor is whole before its predecessor goes, so that nothing is lost.

Venues cut connections that are a day old. Before that, a second one is made. Its follower builds books of its own
(`Understudy`) while the first one's are published. When they are whole, the first connection is hung up; when they
have come as far as the published ones, what differs between the two is published, and the second one goes on. Readers
see an event more, and no stale book.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from wirebook.core.books.books import Books, State
from wirebook.core.wire.records import Batch, Flag, Kind
from wirebook.feed.connection import Connection
from wirebook.feed.publisher import BATCH_RECORDS, Publisher
from wirebook.venues.base import Instrument, Sink

_log = logging.getLogger(__name__)

_MOST_OVERLAP = 1 / 24
"""Of a connection's life: how long its successor may take, an hour of a day. Quiet books wait for an event."""
_LEAST_OVERLAP_SECONDS = 30.0
_CATCH_UP_SECONDS = 0.25
"""How old the published books may get at most between the two connections."""


class Understudy:
    """The sink of a connection that is not published yet."""

    def __init__(self, books: Books) -> None:
        self.batch = Batch(BATCH_RECORDS)
        self.books = books

    def commit(self, _symbol: int, /) -> None:
        """Apply the records to the books that nobody else sees."""
        self.books.apply(self.batch)
        self.batch.clear()

    def forget(self, instruments: list[Instrument]) -> None:
        """Empty the books, for the next time."""
        self.batch.clear()
        for instrument in instruments:
            self.batch.append(instrument.id, Kind.CLEAR)
        self.books.apply(self.batch)
        self.batch.clear()


@dataclass
class _Change:
    """A change of connection in progress."""

    successor: Connection
    deadline: float
    retired_at: float | None = None


class Followed:
    """The connection that follows some instruments, and from time to time its successor."""

    def __init__(
        self,
        instruments: list[Instrument],
        publisher: Publisher,
        understudy: Understudy,
        lifetime: float,
        make: Callable[[list[Instrument], Sink], Connection],
    ) -> None:
        """`make` makes a connection and lets it run. `lifetime` in seconds, 0 for no end."""
        self.connection = make(instruments, publisher)
        self._instruments = instruments
        self._publisher = publisher
        self._understudy = understudy
        self._lifetime = lifetime
        self._make = make
        self._change: _Change | None = None

    @property
    def changing(self) -> bool:
        """Whether a successor is being built up. There can be one at a time, since they share the understudy."""
        return self._change is not None

    def stop(self) -> None:
        """Mark the books stale for good and hang up."""
        if self._change is not None:
            self._change.successor.retire()
        self.connection.stop()

    def tick(self, now: float, may_begin: bool) -> None:
        """Everything that goes by the clock, `time.monotonic`. `may_begin`: no other is changing."""
        self.connection.tick(now)
        change = self._change
        if change is None:
            old = self._lifetime and self.connection.age(now) > self._lifetime
            if may_begin and self.connection.up and (old or self.connection.leaving):
                self._begin(now)
            return
        change.successor.tick(now)
        if change.retired_at is None:
            whole = change.successor.follower.live == len(self._instruments)
            if not self.connection.up:
                # The venue was faster. Its books are stale already, so there is nothing to wait for.
                self._take_over(change)
            elif whole or now > change.deadline:
                self.connection.retire()
                change.retired_at = now
        if change.retired_at is not None and (
            now > change.retired_at + _CATCH_UP_SECONDS or all(self._caught_up(each) for each in self._instruments)
        ):
            self._take_over(change)

    def _begin(self, now: float) -> None:
        _log.info("the connection is %.0f s old: making its successor", self.connection.age(now))
        self._instruments = list(self.connection.follower.instruments.values())
        successor = self._make(self._instruments, self._understudy)
        successor.hold_recording()
        self._change = _Change(successor, now + max(_LEAST_OVERLAP_SECONDS, self._lifetime * _MOST_OVERLAP))

    def _caught_up(self, instrument: Instrument) -> bool:
        theirs, ours = self._understudy.books, self._publisher.books
        return theirs.state(instrument.id) == State.LIVE and theirs.update_id(instrument.id) >= ours.update_id(
            instrument.id
        )

    def _take_over(self, change: _Change) -> None:
        """Publish what the successor's books have in addition, and let it publish by itself from now on."""
        self._change = None
        self.connection.retire()
        self._publisher.flush()
        self._instruments = list(change.successor.follower.instruments.values())
        for instrument in self._instruments:
            symbol = instrument.id
            if instrument != self._publisher.instruments[symbol]:
                self._publisher.redefine(instrument)
                self._publish_whole(symbol)
            elif self._caught_up(instrument) and self._publisher.books.state(symbol) == State.LIVE:
                self._publish_difference(symbol)
            else:
                self._publish_whole(symbol)
            self._publisher.flush()
        self.connection = change.successor
        self.connection.follower.sink = self._publisher
        self.connection.release_recording()
        self._understudy.forget(self._instruments)
        live, total = self.connection.follower.live, len(self._instruments)
        _log.info("the successor took over with %d of %d books live", live, total)

    def _publish_difference(self, symbol: int) -> None:
        """As one event, which leaves the published book equal to the understudy's."""
        ours, theirs = self._publisher.books, self._understudy.books
        levels: list[tuple[Kind, int, int]] = []
        for side in (Kind.BID, Kind.ASK):
            old, new = dict(ours.levels(symbol, side)), dict(theirs.levels(symbol, side))
            levels += [(side, price, 0) for price in old.keys() - new.keys()]
            levels += [(side, price, quantity) for price, quantity in new.items() if old.get(price) != quantity]
        at, now_ns = theirs.update_id(symbol), time.time_ns()
        if ours.span(symbol) != theirs.span(symbol):
            self._publish_span(symbol, at, now_ns)
        for left, (side, price, quantity) in enumerate(levels, start=1 - len(levels)):
            flags = Flag.EVENT_END if left == 0 else Flag(0)
            self._publisher.batch.append(symbol, side, flags, 0, at, price, quantity, 0, now_ns)

    def _publish_whole(self, symbol: int) -> None:
        """The understudy's book from its beginning. One that isn't live yet becomes so by its follower."""
        theirs, batch = self._understudy.books, self._publisher.batch
        at, now_ns = theirs.update_id(symbol), time.time_ns()
        batch.append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, at, 0, 0, 0, now_ns)
        if theirs.span(symbol) != (None, None):
            self._publish_span(symbol, at, now_ns)
        for side in (Kind.BID, Kind.ASK):
            for price, quantity in theirs.levels(symbol, side):
                batch.append(symbol, side, Flag.SNAPSHOT, 0, at, price, quantity, 0, now_ns)
        if theirs.state(symbol) == State.LIVE:
            batch.append(symbol, Kind.LIVE, Flag.EVENT_END, 0, at, 0, 0, 0, now_ns)

    def _publish_span(self, symbol: int, at: int, now_ns: int) -> None:
        bid, ask = self._understudy.books.span(symbol)
        edges = (bid is not None) | (ask is not None) << 1
        self._publisher.batch.append(symbol, Kind.SPAN, Flag.SNAPSHOT, edges, at, bid or 0, ask or 0, 0, now_ns)
