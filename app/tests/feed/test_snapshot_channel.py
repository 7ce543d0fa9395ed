"""The snapshot channel: every book again and again, as fast as the configuration allows."""

from __future__ import annotations

from collections import Counter

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind
from wirebook.feed.publisher import Nowhere, Publisher
from wirebook.venues.base import Instrument

BOOKS, LEVELS = 4, 200
RECORDS = BOOKS * (LEVELS + 3)
"""Of a whole turn: of each book its definition, CLEAR, levels and LIVE."""


class Counted(Nowhere):
    """Counts the records that are published, by channel."""

    def __init__(self) -> None:
        self.records: Counter[int] = Counter()

    def publish(self, _encoder: Encoder, batch: Batch, channel: int, /) -> None:
        self.records[channel] += len(batch)


def turns(rate: int, seconds: float) -> float:
    """How many times all books are sent."""
    books, there = Books(BOOKS, Arena(4 << 20, "off")), Counted()
    batch = Batch(RECORDS)
    for symbol in range(BOOKS):
        batch.append(symbol, Kind.CLEAR)
        for price in range(LEVELS):
            batch.append(symbol, Kind.BID, price=price, quantity=1)
        batch.append(symbol, Kind.LIVE, Flag.EVENT_END)
    books.apply(batch)
    instruments = [Instrument(symbol, f"S{symbol}", 0, 0) for symbol in range(BOOKS)]
    publisher = Publisher("venue", instruments, books, Encoder(1, 1, 1), there, there, rate)
    for _ in range(int(seconds * 100)):
        publisher.cycle(0.01)
    assert set(there.records) == {Channel.SNAPSHOT_CHANNEL}
    return there.records[Channel.SNAPSHOT_CHANNEL] / RECORDS


def test_every_book_is_sent_twice_a_second_where_the_rate_allows() -> None:
    assert turns(50_000, 20) == pytest.approx(40, abs=1)


@pytest.mark.parametrize("rate", [300, 1000])
def test_the_rate_is_kept_where_the_books_are_larger(rate: int) -> None:
    assert turns(rate, 20) == pytest.approx(rate * 20 / RECORDS, abs=1)
