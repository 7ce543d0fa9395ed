"""The fast decoder and the slow one must agree on every text there is."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirebook import capture
from wirebook.core.records import Batch, Flag, Kind
from wirebook.core.scan import DepthScanner
from wirebook.venues.base import Instrument

from .support import BTC, ETH, Recorder, event, follow, snapshot

BASE = event(11, 15, "100.00:0.5 99.5:0 98.00000000:12.34500000", "101.25:7 102:0.00001000")


def both(raw: bytes) -> None:
    """Give `raw` to a follower with and one without the scanner; everything they do must be the same."""
    outcomes = []
    for scanner in (True, False):
        subject, sink = follow(Recorder(), BTC)
        subject.snapshot(BTC.id, snapshot(12), 1)
        if not scanner:
            subject._scanner = DepthScanner([])
        subject.message(raw, 2)
        outcomes.append((sink.records, len(sink.batch), subject.counters, subject.live, subject.wants))
    assert outcomes[0] == outcomes[1]


def test_scanner_takes_what_the_venue_sends() -> None:
    scanner, batch = DepthScanner([ETH, BTC]), Batch(16)
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
    assert DepthScanner([BTC]).scan(BASE, wrapped, 1)
    assert DepthScanner([BTC]).scan(bare, unwrapped, 1)
    assert bytes(wrapped) == bytes(unwrapped)


def test_an_event_without_levels_still_ends_at_its_id() -> None:
    batch = Batch(4)
    assert DepthScanner([BTC]).scan(event(1, 5), batch, 1)
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
    assert not DepthScanner([BTC]).scan(raw, batch, 1)
    assert len(batch) == 1
    both(raw)


def test_a_full_batch_is_left_as_it_was() -> None:
    batch = Batch(4)
    assert not DepthScanner([BTC]).scan(BASE, batch, 1)
    assert len(batch) == 0


def test_scanner_refuses_instruments_it_can_not_hold() -> None:
    with pytest.raises(ValueError, match="24 characters"):
        DepthScanner([Instrument(1, "X" * 25, 2, 2)])
    with pytest.raises(ValueError, match="0 to 18"):
        DepthScanner([Instrument(1, "X", 19, 2)])


def test_scanner_finds_each_of_a_whole_node() -> None:
    instruments = [Instrument(number, f"SYM{number}", 2, 2) for number in range(2048)]
    scanner, batch = DepthScanner(instruments), Batch(4)
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
    slow._scanner = DepthScanner([])
    alone, scratch = DepthScanner([instrument]), Batch(1 << 14)
    scanned = depth = 0
    for at_ns, raw in capture.read(spot_capture):
        fast.message(raw, at_ns)
        slow.message(raw, at_ns)
        depth += b"depthUpdate" in raw
        scanned += alone.scan(raw, scratch, at_ns)
        scratch.clear()
    assert scanned == depth == 3451
    assert fast_sink.records == slow_sink.records
    assert fast.counters == slow.counters
