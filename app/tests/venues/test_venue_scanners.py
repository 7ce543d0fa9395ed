"""Every venue's fast decoder does what its slow one does, whatever the text; the order of an event's levels is free."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirebook.core.wire.records import Batch, Flag, Kind
from wirebook.venues import get

from .exchanges import BinanceCoinm, BinanceSpot, BinanceUsdm, BybitLinear, BybitSpot, Exchange, Okx, compact
from .support import Recorder, follow

SCANNED = (BinanceSpot, BinanceUsdm, BinanceCoinm, BybitSpot, BybitLinear, Okx)
every_scanner = pytest.mark.parametrize("kind", SCANNED)

Outcome = tuple[object, ...]


def told(kind: type[Exchange], raw: bytes, scanned: bool) -> Outcome:
    """What a follower whose book is at the event before `raw` does with it."""
    exchange = kind(1)
    subject, sink = follow(Recorder(), exchange.instrument, venue=exchange.venue)
    if get(exchange.venue).snapshots_in_band:
        subject.message(exchange.snapshot(), 1)
    else:
        subject.snapshot(exchange.instrument.id, exchange.snapshot(), 1)
    if not scanned:
        subject.scanner = None
    subject.message(raw, 2)
    levels = sorted((*record[:2], *record[3:]) for record in sink.records)
    ends = [record[2] for record in sink.records]
    return levels, ends, len(sink.batch), subject.counters, subject.live, subject.wants


def both(kind: type[Exchange], raw: bytes) -> None:
    assert told(kind, raw, True) == told(kind, raw, False)


def event(kind: type[Exchange]) -> bytes:
    """The event after the snapshot that `told` begins with."""
    exchange = kind(1)
    exchange.snapshot()
    return exchange.event()


@every_scanner
def test_scanner_takes_what_the_venue_sends(kind: type[Exchange]) -> None:
    exchange, batch = kind(1), Batch(64)
    scanner = get(exchange.venue).scanner([exchange.instrument])
    assert scanner is not None
    for _ in range(50):
        before = exchange.id
        batch.clear()
        assert scanner.scan(exchange.event(), batch, 99)
        assert (scanner.symbol, scanner.last, scanner.exchange_ns) == (7, exchange.id, 1_700_000_000_123_000_000)
        assert scanner.previous in (None, before)
        assert {int(record["update_id"]) for record in batch.array} == {exchange.id}
        assert {int(record["exchange_ns"]) for record in batch.array} == {1_700_000_000_123_000_000}
        assert [int(record["flags"]) for record in batch.array] == [0] * (len(batch) - 1) + [Flag.EVENT_END]
        for record in batch.array:
            held = exchange.sides[record["kind"]].get(int(record["price"]), 0)
            assert int(record["quantity"]) == held
    both(kind, event(kind))


@every_scanner
def test_an_event_without_levels_still_ends_at_its_id(kind: type[Exchange]) -> None:
    exchange, batch = kind(1), Batch(4)
    exchange.step()
    raw = exchange.tell([])
    scanner = get(exchange.venue).scanner([exchange.instrument])
    assert scanner is not None
    assert scanner.scan(raw, batch, 1)
    (record,) = batch.array
    assert (record["kind"], record["flags"], record["update_id"]) == (Kind.LIVE, Flag.EVENT_END, exchange.id)
    both(kind, raw)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"checksum": 0', '"checksum": 12345'),
        ('"checksum": 0', '"checksum": 01'),
        ('"seqId"', '"seqID"'),
        ('"action": "update"', '"action": "snapshot"'),
        ('"channel": "books"', '"channel": "books5"'),
    ],
)
def test_okx_what_is_not_an_unchecked_update_is_left_to_the_slow_decoder(old: str, new: str) -> None:
    raw = json.dumps(json.loads(event(Okx)))
    assert old in raw
    wrong = raw.replace(old, new).replace(": ", ":").replace(", ", ",").encode()
    scanner = get("okx").scanner([Okx.instrument])
    assert scanner is not None
    assert not scanner.scan(wrong, Batch(64), 1)
    both(Okx, wrong)


def test_okx_ids_come_in_either_order_and_the_checksum_may_be_absent() -> None:
    message = json.loads(event(Okx))
    data = message["data"][0]
    data["prevSeqId"] = data.pop("prevSeqId")
    del data["checksum"]
    scanner = get("okx").scanner([Okx.instrument])
    assert scanner is not None
    assert scanner.scan(compact(message), Batch(64), 1)
    both(Okx, compact(message))


def test_futures_events_without_pu_are_none() -> None:
    message = json.loads(event(BinanceUsdm))
    del message["data"]["pu"]
    both(BinanceUsdm, compact(message))
    scanner = get("binance-usdm").scanner([BinanceUsdm.instrument])
    assert scanner is not None
    assert not scanner.scan(compact(message), Batch(64), 1)


@every_scanner
@given(st.data())
@settings(max_examples=250, deadline=None)
def test_both_agree_on_mutations(kind: type[Exchange], data: st.DataObject) -> None:
    raw = bytearray(event(kind))
    change = st.tuples(st.integers(0, len(raw) - 1), st.integers(0, 255), st.sampled_from("rid"))
    for place, byte, how in data.draw(st.lists(change, min_size=1, max_size=3)):
        if how == "d":
            del raw[place : place + 1]
        else:
            raw[place : place + (how == "r")] = bytes([byte])
    both(kind, bytes(raw))


@every_scanner
def test_both_agree_on_every_cut_and_every_digit(kind: type[Exchange]) -> None:
    raw = event(kind)
    for place in range(len(raw)):
        both(kind, raw[:place])
        if raw[place : place + 1].isdigit():
            both(kind, raw[:place] + b"1" + raw[place:])
