"""What a feed sends: incrementals as they happen, and every book over and over on the snapshot channel."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from typing import Final, Protocol

from wirebook.core.books.books import Books
from wirebook.core.wire.packet import RECORDS, Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason
from wirebook.venues.base import Instrument

BATCH_RECORDS: Final = 1 << 17
"""More levels than the largest message of any venue has."""
_SNAPSHOT_PERIOD: Final = 0.5
"""Seconds between two snapshots of the same book, if the rate allows."""


class Sends(Protocol):
    """Where packets go: a multicast group, or nowhere."""

    def publish(self, encoder: Encoder, batch: Batch, channel: int, /) -> object:
        """Send the records of `batch`."""

    def counters(self) -> dict[str, int]:
        """What became of the packets, by name."""


class Nowhere:
    """For a feed that only records."""

    def __init__(self, *_address: object) -> None:
        pass

    def publish(self, _encoder: Encoder, _batch: Batch, _channel: int, /) -> None:
        """Send nothing."""

    def counters(self) -> dict[str, int]:
        """Nothing was sent."""
        return {}


class Publisher:
    """The sink of a feed's followers: applies records to the feed's own books and sends them.

    `snapshot_rate` is the most records a second on the snapshot channel, of all books together.
    """

    def __init__(
        self,
        venue: str,
        instruments: Sequence[Instrument],
        books: Books,
        encoder: Encoder,
        incremental: Sends,
        snapshot: Sends,
        snapshot_rate: int,
    ) -> None:
        self.batch = Batch(BATCH_RECORDS)
        self.age: float | None = None
        """Seconds between the exchange's time and the receipt of a record sent since this was set to None."""
        self._venue = venue
        self.books = books
        """The books as they are published."""
        self._encoder = encoder
        self._incremental = incremental
        self._snapshot = snapshot
        self._scratch = Batch(BATCH_RECORDS)
        self._rate = snapshot_rate
        self.instruments = {instrument.id: instrument for instrument in instruments}
        """As they are defined now."""
        self._turn = cycle(list(self.instruments))
        self._count = len(instruments)
        self._credit = 0.0
        self._due = 0.0

    def commit(self, _symbol: int, /) -> None:
        """Send once a packet is full; anything less waits for `flush`, at the end of what the socket had."""
        if len(self.batch) >= RECORDS:
            self.flush()

    def flush(self) -> None:
        """Send everything in the batch and apply it, in this order: readers don't wait for our own books."""
        if len(self.batch):
            if self.age is None:
                self._sample()
            self._incremental.publish(self._encoder, self.batch, Channel.INCREMENTAL_CHANNEL)
            self.books.apply(self.batch)
            self.batch.clear()

    def redefine(self, instrument: Instrument) -> None:
        """Readers are told of other decimals, while the book is stale; its levels are to follow in them."""
        at = self.books.update_id(instrument.id)
        self.batch.append(instrument.id, Kind.STALE, Flag.EVENT_END, Reason.RESYNC, at)
        self._define(self.batch, instrument)
        self.instruments[instrument.id] = instrument

    def _define(self, batch: Batch, instrument: Instrument) -> None:
        name = f"{self._venue}:{instrument.name}"
        batch.define(instrument.id, name, instrument.price_decimals, instrument.quantity_decimals)

    def _sample(self) -> None:
        exchange_ns, receive_ns = self.batch.times()
        if exchange_ns:
            self.age = (receive_ns - exchange_ns) / 1e9

    def sent(self) -> dict[str, int]:
        """Packets that left, counted on each line, and those that the transport didn't take."""
        counters = [sends.counters() for sends in (self._incremental, self._snapshot)]
        return {
            "packets_sent": sum(each.get("packets", 0) for each in counters),
            "packets_not_sent": sum(each.get("drops", 0) for each in counters),
        }

    def heartbeat(self, now_ns: int) -> None:
        """Say that this feed is alive, for the readers' own watchdogs."""
        self.batch.append(0, Kind.HEARTBEAT, Flag.EVENT_END, receive_ns=now_ns)
        self.flush()

    def cycle(self, seconds: float) -> None:
        """Send the snapshots that are due after `seconds` more: each symbol's definition, and its book if it is live.

        A book is sent whole, from one instant: everything that came before is on the incremental channel already.
        """
        self._credit = min(self._credit + seconds * self._rate, self._rate)
        self._due = min(self._due + seconds / _SNAPSHOT_PERIOD * self._count, self._count)
        while self._credit > 0 and self._due >= 1:
            self.flush()
            instrument = self.instruments[next(self._turn)]
            self._scratch.clear()
            self._define(self._scratch, instrument)
            self.books.snapshot(instrument.id, self._scratch)
            self._snapshot.publish(self._encoder, self._scratch, Channel.SNAPSHOT_CHANNEL)
            self._credit -= len(self._scratch)
            self._due -= 1
