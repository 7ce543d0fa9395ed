"""What a scanner must not let through, of every venue that has one: text behind the message, digits that it can't hold,
ids of the event before, and records of an event that is refused."""

from __future__ import annotations

import re

import orjson
import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.decode.chain import BookSink
from wirebook.core.decode.scanner import Scanner
from wirebook.core.wire.records import Batch, Kind
from wirebook.venues import get
from wirebook.venues.follower import BookFollower

from ...venues.exchanges import (
    BinanceCoinm,
    BinanceSpot,
    BinanceUsdm,
    BybitLinear,
    BybitSpot,
    Exchange,
    Okx,
    compact,
)  # fmt: skip
from ...venues.support import Recorder
from ...venues.test_every_venue import start

SCANNED = (BinanceSpot, BinanceUsdm, BinanceCoinm, BybitSpot, BybitLinear, Okx)
every_scanner = pytest.mark.parametrize("kind", SCANNED)


def scanner_of(exchange: Exchange) -> Scanner:
    scanner = get(exchange.venue).scanner([exchange.instrument])
    assert scanner is not None
    return scanner


@every_scanner
@pytest.mark.parametrize("more", [b" ", b"\n", b"x", b"}", b",", b"\0", b"{}", b" " * 70])
def test_text_behind_the_message_is_not_taken(kind: type[Exchange], more: bytes) -> None:
    exchange = kind(51)
    scanner, raw = scanner_of(exchange), exchange.event()
    batch = Batch(64)
    assert scanner.scan(raw, batch, 1)
    batch.clear()
    assert not scanner.scan(raw + more, batch, 1)
    assert len(batch) == 0


def padded(raw: bytes, tail: bytes) -> bytes:
    """The message with `tail` behind the digits of every price and quantity that has a point."""
    return re.sub(rb'"(\d+\.\d+)"', rb'"\g<1>' + tail + b'"', raw)


@every_scanner
@pytest.mark.parametrize("digit", range(5))
def test_digits_beyond_an_instruments_decimals_are_zeros_or_the_message_is_not_taken(
    kind: type[Exchange], digit: int
) -> None:
    """However often numbers were laid out like that before. Nothing is rounded."""
    exchange = kind(52)
    scanner, batch = scanner_of(exchange), Batch(64)
    raw = exchange.event()
    for _ in range(3):  # it learns how such numbers are laid out
        batch.clear()
        assert scanner.scan(padded(raw, b"00000"), batch, 1)
    expected = sorted((int(r["kind"]), int(r["price"]), int(r["quantity"])) for r in batch.array)
    batch.clear()
    assert scanner.scan(raw, batch, 1)
    assert sorted((int(r["kind"]), int(r["price"]), int(r["quantity"])) for r in batch.array) == expected
    tail = b"0" * digit + b"1" + b"0" * (4 - digit)
    batch.clear()
    assert not scanner.scan(padded(raw, tail), batch, 1)
    assert len(batch) == 0


@every_scanner
@pytest.mark.parametrize("which", [0, 1], ids=["price", "quantity"])
def test_so_are_those_of_a_single_number(kind: type[Exchange], which: int) -> None:
    exchange = kind(53)
    scanner, batch, raw = scanner_of(exchange), Batch(64), exchange.event()
    for _ in range(3):
        batch.clear()
        assert scanner.scan(padded(raw, b"00000"), batch, 1)
    numbers = list(re.finditer(rb'"\d+\.\d+00000"', padded(raw, b"00000")))
    place = numbers[which].end() - 2
    wrong = bytearray(padded(raw, b"00000"))
    wrong[place : place + 1] = b"7"
    batch.clear()
    assert not scanner.scan(bytes(wrong), batch, 1)
    assert len(batch) == 0


@pytest.mark.parametrize("kind", [BinanceUsdm, BinanceCoinm])
def test_the_id_that_one_event_continues_is_not_taken_for_the_nexts(kind: type[Exchange]) -> None:
    exchange = kind(54)
    scanner, batch = scanner_of(exchange), Batch(64)
    assert scanner.scan(exchange.event(), batch, 1)
    message = orjson.loads(exchange.event())
    del message["data"]["pu"]
    batch.clear()
    assert not scanner.scan(compact(message), batch, 1)
    assert len(batch) == 0


def test_an_event_that_says_nothing_of_the_one_before_has_no_previous_id() -> None:
    """The decoder of spot takes futures' events too."""
    spot, futures = BinanceSpot(55), BinanceUsdm(55)
    scanner, batch = scanner_of(spot), Batch(64)
    assert scanner.scan(futures.event(), batch, 1)
    assert scanner.previous is not None
    assert scanner.scan(spot.event(), batch, 1)
    assert scanner.previous is None


@every_scanner
@pytest.mark.parametrize("what", ["repeat", "gap"])
def test_nothing_of_an_event_that_is_refused_stays_in_the_batch(kind: type[Exchange], what: str) -> None:
    exchange = kind(56)
    subject, sink = start(exchange)
    last = exchange.event()
    subject.message(last, 1)
    told = list(sink.records)
    levels = sink.books.levels(7, Kind.BID), sink.books.levels(7, Kind.ASK)
    if what == "gap":
        exchange.event()
        last = exchange.event()
    subject.message(last, 2)
    assert len(sink.batch) == 0
    assert [Kind(record[1]) for record in sink.records[len(told) :]] == ([Kind.STALE] if what == "gap" else [])
    assert (sink.books.levels(7, Kind.BID), sink.books.levels(7, Kind.ASK)) == levels


@every_scanner
def test_nor_does_it_reach_books_that_are_kept_without_python(kind: type[Exchange]) -> None:
    exchange = kind(57)
    books = Books(16, Arena(1 << 20, "off"))
    sink = BookSink(books, 64)
    subject = BookFollower(get(exchange.venue), [exchange.instrument], sink)
    subject.connected()
    body = exchange.snapshot()
    if get(exchange.venue).snapshots_in_band:
        subject.message(body, 1)
    else:
        subject.snapshot(7, body, 1)
    for _ in range(3):
        event = exchange.event()
        subject.message(event, 1)
    expected = exchange.truth[exchange.id]
    exchange.event()
    for raw in (event, exchange.event()):
        subject.message(raw, 1)
        assert len(sink.batch) == 0
        assert (dict(books.levels(7, Kind.BID)), dict(books.levels(7, Kind.ASK))) == expected


def test_a_recorder_is_told_of_each_event_once() -> None:
    exchange = BinanceSpot(58)
    sink = Recorder()
    subject = BookFollower(get("binance"), [exchange.instrument], sink)
    subject.connected()
    subject.snapshot(7, exchange.snapshot(), 1)
    before, raw = len(sink.records), exchange.event()
    subject.message(raw, 1)
    once = len(sink.records)
    assert once > before
    subject.message(raw, 1)
    assert len(sink.records) == once
