"""Names in whatever letters the venue uses."""

from __future__ import annotations

import orjson
import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.decode.binance import BinanceScanner
from wirebook.core.wire.records import Batch
from wirebook.venues import get
from wirebook.venues.base import Instrument

from .support import BTC, Keeper, event, follow, snapshot

NAMES = ["币安人生USDT", "我踏马来了USDT", "1000000MOGUSDT", "ABCDEFGHIJKLMNOPQRSTUVWXYZUSDT", "aaplxUSD"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("escaped", [False, True])
def test_a_book_is_followed_under_any_name(name: str, escaped: bool) -> None:
    """Beside one that the fast decoder knows: it must not take the one for the other."""
    subject, sink = follow(Keeper(), Instrument(3, name, 2, 5), BTC)

    def told(last: int) -> bytes:
        raw = event(last, last, "100.50:1.0", symbol=name)
        return orjson.dumps(orjson.loads(raw)) if not escaped else ascii_only(raw)

    subject.message(told(101), 1)
    subject.message(event(501, 501), 1)
    subject.snapshot(3, snapshot(100), 1)
    subject.snapshot(BTC.id, snapshot(500), 1)
    subject.message(told(102), 1)
    subject.message(event(502, 502), 1)
    assert [sink.books.state(symbol) for symbol in (3, BTC.id)] == [State.LIVE, State.LIVE]
    assert [sink.books.update_id(symbol) for symbol in (3, BTC.id)] == [102, 502]
    assert subject.counters.malformed == subject.counters.unknown == 0


def ascii_only(raw: bytes) -> bytes:
    return "".join(c if c.isascii() else f"\\u{ord(c):04x}" for c in raw.decode()).encode()


@pytest.mark.parametrize("name", NAMES)
def test_readers_are_told_the_name(name: str) -> None:
    batch, books = Batch(4), Books(4, Arena(1 << 20, "off"))
    batch.define(1, f"binance:{name}", 2, 5)
    books.apply(batch)
    assert books.name(1) == f"binance:{name}"


def test_a_name_that_the_wire_has_no_room_for_is_refused() -> None:
    with pytest.raises(ValueError, match="1 to 40 bytes"):
        Batch(4).define(1, "binance:" + "币" * 11, 2, 5)


def test_requests_name_it_as_the_venue_does() -> None:
    venue = get("binance")
    assert orjson.loads(venue.subscriptions(["币安人生USDT"])[0])["params"] == ["币安人生usdt@depth@100ms"]
    assert "%E5%B8%81" in venue.snapshot_path("币安人生USDT")


def test_a_long_name_keeps_its_place_among_the_others() -> None:
    scanner = BinanceScanner([Instrument(1, "A" * 30, 2, 5), Instrument(2, "BTCUSDT", 2, 5)])
    assert scanner.scan(event(1, 2), Batch(4), 1)
    assert scanner.symbol == 2
    assert not scanner.scan(event(1, 2, symbol="A" * 30), Batch(4), 1)
