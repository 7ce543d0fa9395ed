"""The fast decoder and the slow one must agree on every text there is."""

import sys
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirebook import traffic
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.decode.binance import BinanceScanner
from wirebook.core.decode.chain import BookSink
from wirebook.core.wire.records import Batch, Flag, Kind
from wirebook.venues import get
from wirebook.venues.base import Instrument
from wirebook.venues.follower import BookFollower

from ...venues.support import BTC, ETH, Recorder, event, follow, snapshot

BASE = event(11, 15, "100.00:0.5 99.5:0 98.00000000:12.34500000", "101.25:7 102:0.00001000")


def both(raw: bytes, instrument: Instrument = BTC) -> None:
    """Give `raw` to a follower with and one without the scanner; everything they do must be the same."""
    outcomes = []
    for scanner in (True, False):
        subject, sink = follow(Recorder(), instrument)
        subject.snapshot(BTC.id, snapshot(12), 1)
        if not scanner:
            subject.scanner = BinanceScanner([])
        subject.message(raw, 2)
        outcomes.append((sink.records, len(sink.batch), subject.counters, subject.live, subject.wants))
    assert outcomes[0] == outcomes[1]


def test_scanner_takes_what_the_venue_sends() -> None:
    scanner, batch = BinanceScanner([ETH, BTC]), Batch(16)
    assert scanner.scan(BASE, batch, 99)
    assert (scanner.symbol, scanner.first, scanner.last, scanner.exchange_ns) == (7, 11, 15, 1_700_000_000_123_000_000)
    records = [(Kind(r["kind"]), int(r["price"]), int(r["quantity"])) for r in batch.array]
    assert records == [
        (Kind.BID, 10000, 50000),
        (Kind.BID, 9950, 0),
        (Kind.BID, 9800, 1234500),
        (Kind.ASK, 10125, 700000),
        (Kind.ASK, 10200, 1),
    ]
    assert [int(r["flags"]) for r in batch.array] == [0, 0, 0, 0, Flag.EVENT_END]
    assert {int(r["update_id"]) for r in batch.array} == {15}
    assert {int(r["receive_ns"]) for r in batch.array} == {99}


def test_scanner_takes_the_bare_stream_too() -> None:
    bare = BASE[BASE.index(b'"data":') + 7 : -1]
    wrapped, unwrapped = Batch(16), Batch(16)
    assert BinanceScanner([BTC]).scan(BASE, wrapped, 1)
    assert BinanceScanner([BTC]).scan(bare, unwrapped, 1)
    assert bytes(wrapped) == bytes(unwrapped)


def test_an_event_without_levels_still_ends_at_its_id() -> None:
    batch = Batch(4)
    assert BinanceScanner([BTC]).scan(event(1, 5), batch, 1)
    (record,) = batch.array
    assert (record["kind"], record["flags"], record["update_id"]) == (Kind.LIVE, Flag.EVENT_END, 5)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        BASE[:-1],
        BASE + b" ",
        BASE.replace(b'"98.0', b'"98.001'),  # more decimals than the instrument has
        BASE.replace(b'"7"', b'"7000000000000000000"'),
        BASE.replace(b'"7"', b'"-7"'),
        BASE.replace(b'"7"', b'"7."'),
        BASE.replace(b'"7"', b'".7"'),
        BASE.replace(b'"7"', b'"7e3"'),
        BASE.replace(b'"7"', b'""'),
        BASE.replace(b'"7"', b"7"),
        BASE.replace(b'"U":11', b'"U":16'),
        BASE.replace(b'"U":11', b'"U":011'),
        BASE.replace(b"BTCUSDT", b"XRPUSDT"),
        BASE.replace(b"btcusdt@", b"btc\\nusdt@"),
        BASE.replace(b"btcusdt@", b"btc\nusdt@"),
    ],
)
def test_scanner_leaves_the_rest_and_the_batch_alone(raw: bytes) -> None:
    batch = Batch(16)
    batch.append(3, Kind.BID)
    assert not BinanceScanner([BTC]).scan(raw, batch, 1)
    assert len(batch) == 1
    both(raw)


def test_a_full_batch_is_left_as_it_was() -> None:
    batch = Batch(4)
    assert not BinanceScanner([BTC]).scan(BASE, batch, 1)
    assert len(batch) == 0


def test_scanner_refuses_instruments_it_can_not_hold() -> None:
    with pytest.raises(ValueError, match="has a name"):
        BinanceScanner([Instrument(1, "", 2, 2)])
    with pytest.raises(ValueError, match="0 to 18"):
        BinanceScanner([Instrument(1, "X", 19, 2)])


def test_scanner_finds_each_of_a_whole_node() -> None:
    instruments = [Instrument(number, f"SYM{number}", 2, 2) for number in range(2048)]
    scanner, batch = BinanceScanner(instruments), Batch(4)
    for instrument in instruments:
        batch.clear()
        assert scanner.scan(event(1, 2, "1:1", symbol=instrument.name), batch, 1)
        assert scanner.symbol == instrument.id


digits = st.text("0123456789", max_size=20)
numbers = st.one_of(
    st.builds("{}.{}".format, digits, digits),
    digits,
    st.sampled_from(["", ".", "1.", "-1", "+1", "1e5", "٣", "1 ", "NaN", "0x1"]),
)


@given(price=numbers, quantity=numbers)
@settings(max_examples=400, deadline=None)
def test_both_agree_on_numbers(price: str, quantity: str) -> None:
    both(BASE.replace(b'"101.25","7"', f'"{price}","{quantity}"'.encode()))


@given(
    st.lists(
        st.tuples(st.integers(0, len(BASE) - 1), st.integers(0, 255), st.sampled_from("rid")), min_size=1, max_size=3
    )
)
@settings(max_examples=1500, deadline=None)
def test_both_agree_on_mutations(changes: list[tuple[int, int, str]]) -> None:
    raw = bytearray(BASE)
    for place, byte, how in changes:
        place %= max(1, len(raw))
        if how == "d":
            del raw[place : place + 1]
        else:
            raw[place : place + (how == "r")] = bytes([byte])
    both(bytes(raw))


def layouts(whole: int, fraction: int) -> st.SearchStrategy[str]:
    """Numbers that are spelled alike: so many digits before the point and behind it."""
    before = st.text("0123456789", min_size=whole, max_size=whole)
    behind = st.text("0123456789", min_size=fraction, max_size=fraction)
    point = "." if fraction else ""
    return st.builds(lambda one, other: f"{one}{point}{other}", before, behind)


@st.composite
def alike(draw: st.DrawFn) -> tuple[Instrument, str, str]:
    """An instrument and two sides whose levels are nearly all laid out alike, most of them representable."""
    price_decimals, quantity_decimals = draw(st.integers(0, 18)), draw(st.integers(0, 18))
    spelled = [
        (draw(st.integers(1, 19)), draw(st.integers(0, decimals)), draw(st.integers(0, 18 - decimals)))
        for decimals in (price_decimals, quantity_decimals)
    ]
    numbers = [
        st.builds("{}{}".format, layouts(whole, fraction), st.just("0" * zeros if fraction else ""))
        for whole, fraction, zeros in spelled
    ]
    sides = [
        " ".join(f"{price}:{quantity}" for price, quantity in draw(st.lists(st.tuples(*numbers), max_size=6)))
        for _ in range(2)
    ]
    return Instrument(7, "BTCUSDT", price_decimals, quantity_decimals), *sides


@given(alike(), st.integers(0, 400), st.sampled_from([None, *b'0.,]"[-a\0\xff']))
@settings(max_examples=1500, deadline=None)
def test_both_agree_on_levels_that_are_laid_out_alike(
    spelled: tuple[Instrument, str, str], place: int, byte: int | None
) -> None:
    """As they are, and with one byte of the levels changed."""
    instrument, bids, asks = spelled
    raw = bytearray(event(11, 15, bids, asks))
    start = raw.index(b'"b":')
    if byte is not None:
        raw[start + place % (len(raw) - start)] = byte
    both(bytes(raw), instrument)


@pytest.mark.parametrize("decimals", [0, 2, 8])
def test_a_number_too_long_for_a_layout_is_right_each_time(decimals: int) -> None:
    """Also where its layout takes the place of one that was learnt, and in the middle of levels that fit that."""
    instrument = Instrument(7, "BTCUSDT", decimals, decimals)
    point = "." if decimals else ""
    long = f"{'12345678901234567'[: 17 - decimals]}{point}{'123456789'[:decimals]}"
    short = f"17{point}{'25000000'[:decimals]}"
    scanner, batch = BinanceScanner([instrument]), Batch(64)
    wanted = [int(text.replace(".", "")) for text in (short, long, short, long, long, short)]
    for number in range(1, 20):
        batch.clear()
        levels = " ".join(f"{text}:{text}" for text in (short, long, short, long, long, short))
        assert scanner.scan(event(number, number, levels, levels), batch, 1)
        assert [int(record["price"]) for record in batch.array] == wanted * 2
        assert [int(record["quantity"]) for record in batch.array] == wanted * 2


@pytest.mark.parametrize("decimals", range(19))
def test_both_agree_on_every_length_of_a_number(decimals: int) -> None:
    """Six levels each, so that all but the first are read by their layout, if they can be."""
    for whole, fraction in product(range(1, 20), {0, 1, decimals, decimals + 1, 18, 19}):
        number = "9" * whole + ("." + "9" * min(fraction, decimals) + "0" * (fraction - decimals) if fraction else "")
        levels = " ".join([f"{number}:{number}"] * 6)
        both(event(11, 15, levels, levels), Instrument(7, "BTCUSDT", decimals, decimals))


def test_each_digit_of_a_number_counts() -> None:
    """One level after the other, with another digit in each place."""
    for decimals in range(0, 9, 2):
        texts = [f"{10**place * digit:015d}" for place in range(15) for digit in range(1, 10)]
        spelled = [f"{text[: 15 - decimals]}.{text[15 - decimals :]}" if decimals else text for text in texts]
        batch = Batch(1 << 9)
        scanner = BinanceScanner([Instrument(7, "BTCUSDT", decimals, decimals)])
        assert scanner.scan(event(11, 15, " ".join(f"{number}:{number}" for number in spelled)), batch, 1)
        wanted = [int(text) for text in texts]
        assert batch.array["price"].tolist() == wanted
        assert batch.array["quantity"].tolist() == wanted


def test_two_instruments_with_the_same_layout_and_other_scales() -> None:
    scanner = BinanceScanner([Instrument(1, "ONE", 2, 4), Instrument(2, "TWO", 4, 2)])
    for _ in range(3):
        for symbol, name, price, quantity in ((1, "ONE", 1225, 35000), (2, "TWO", 122500, 350)):
            batch = Batch(16)
            assert scanner.scan(event(1, 2, "12.2500:3.5000 12.2500:3.5000", symbol=name), batch, 1)
            assert {(*map(int, record[["symbol", "price", "quantity"]]),) for record in batch.array} == {
                (symbol, price, quantity)
            }


@pytest.mark.parametrize("size", [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 200])
def test_nothing_behind_the_message_is_read_as_part_of_it(size: int) -> None:
    """The message ends where its bytes do, even if what follows in memory would continue it."""
    whole = event(11, 15, "100.00:0.5 99.50:0.2", "101.25:0.7 102.00:0.1 103.00:0.4")
    whole = whole.replace(b"btcusdt@", b"x" * size + b"@")
    for end in range(len(whole)):
        assert not BinanceScanner([BTC]).scan(whole[:end], Batch(16), 1)
        assert not BinanceScanner([BTC]).scan(whole[:end] + b"\0" * (len(whole) - end), Batch(16), 1)
    assert BinanceScanner([BTC]).scan(whole, Batch(16), 1)


@given(st.integers(0, len(BASE)), st.integers(0, len(BASE)))
@settings(max_examples=200, deadline=None)
def test_both_agree_on_cuts(start: int, end: int) -> None:
    both(BASE[:start])
    both(BASE[:start] + BASE[end:])


def test_both_agree_on_the_recorded_traffic(spot_capture: Path) -> None:
    """All 3,451 depth events; and the scanner took every one of them, so that the fast path is what was tested."""
    instrument = Instrument(7, "BTCUSDT", 2, 6)
    fast, fast_sink = follow(Recorder(), instrument)
    slow, slow_sink = follow(Recorder(), instrument)
    slow.scanner = BinanceScanner([])
    alone, scratch = BinanceScanner([instrument]), Batch(1 << 14)
    scanned = depth = 0
    for at_ns, raw in traffic.read(spot_capture):
        fast.message(raw, at_ns)
        slow.message(raw, at_ns)
        depth += b"depthUpdate" in raw
        scanned += alone.scan(raw, scratch, at_ns)
        scratch.clear()
    assert scanned == depth == 3451
    assert fast_sink.records == slow_sink.records
    assert fast.counters == slow.counters


def test_a_message_that_continues_a_live_book_is_taken_without_the_follower(spot_capture: Path) -> None:
    """Nor does it make a Python object that outlives it."""
    left = []

    class Watched(BookFollower):
        def other(self, raw: bytes, receive_ns: int) -> None:
            left.append(raw)
            super().other(raw, receive_ns)

    messages = [raw for _, raw in traffic.read(spot_capture) if b"depthUpdate" in raw or b"lastUpdateId" in raw]
    instrument = Instrument(7, "BTCUSDT", 2, 6)
    books = Books(8, Arena(64 << 20, "off"))
    subject = Watched(get("binance"), [instrument], BookSink(books, 1 << 13))
    subject.connected()
    for raw in messages[:100]:
        subject.message(raw, 1)
    assert subject.live == 1
    assert len(left) < 50
    left.clear()
    blocks = sys.getallocatedblocks()
    for raw in messages[100:]:
        subject.message(raw, 1)
    assert sys.getallocatedblocks() - blocks <= 1, "the number itself"
    assert left == []
    assert subject.counters.updates == books.counters()["events"] > 3000
