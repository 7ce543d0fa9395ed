"""Binance's rule, one case at a time. The words are those of the venue's own description."""

import random

import pytest

from wirebook.core.books.books import State
from wirebook.core.decode.sequence import Verdict
from wirebook.core.wire.records import Kind, Reason
from wirebook.venues import get
from wirebook.venues.base import (
    Depth,
    Ignored,
    MalformedError,
    Refused,
    Scale,
    Snapshot,
    Ticker,
    Unknown,
    UnrepresentableError,
    WantLog,
    WantSnapshot,
    decimals_of,
    scaled,
)
from wirebook.venues.follower import BookFollower

from .support import BTC, ETH, Keeper, event, follower, snapshot

VENUE = get("binance")


@pytest.mark.parametrize(
    ("at", "chained", "first", "last", "verdict"),
    [
        (100, False, 90, 99, Verdict.REPEAT),
        (100, False, 90, 100, Verdict.REPEAT),  # "drop any event where u is <= lastUpdateId"
        (100, False, 90, 101, Verdict.APPLY),  # "U <= lastUpdateId+1 AND u >= lastUpdateId+1"
        (100, False, 101, 101, Verdict.APPLY),
        (100, False, 101, 110, Verdict.APPLY),
        (100, False, 102, 110, Verdict.BREAK),
        (100, True, 101, 110, Verdict.APPLY),  # "each new event's U should be equal to the previous event's u+1"
        (100, True, 102, 110, Verdict.BREAK),
        (100, True, 100, 110, Verdict.BREAK),
        (100, True, 95, 100, Verdict.REPEAT),
    ],
)
def test_rule(at: int, chained: bool, first: int, last: int, verdict: Verdict) -> None:
    assert VENUE.rule.judge(at, chained, first, last, None) is verdict


def live() -> tuple[BookFollower, Keeper]:
    """BTC at id 12, live."""
    subject, sink = follower()
    subject.wants.clear()
    subject.message(event(8, 10, "99.00:9"), 1)
    subject.snapshot(BTC.id, snapshot(10), 2)
    subject.message(event(11, 12, "100.50:2"), 3)
    assert sink.books.state(BTC.id) is State.LIVE
    return subject, sink


def test_connecting_asks_for_every_snapshot_once() -> None:
    subject, _ = follower(BTC, ETH)
    assert subject.wants == [WantSnapshot(BTC.id), WantSnapshot(ETH.id)]
    assert subject.awaits(BTC.id)
    assert subject.live == 0


def test_buffered_events_are_applied_after_the_snapshot_that_they_continue() -> None:
    subject, sink = follower()
    subject.message(event(1, 10, "98.00:1"), 1)  # in the snapshot already
    subject.message(event(11, 13, "100.50:2"), 2)
    subject.message(event(14, 14, "", "100.75:3"), 3)
    assert not sink.records
    subject.snapshot(BTC.id, snapshot(11), 4)
    assert sink.books.state(BTC.id) is State.LIVE
    assert sink.books.update_id(BTC.id) == 14
    assert sink.books.top(BTC.id) == (10050, 200000, 10075, 300000)
    assert sink.books.count(BTC.id) == (2, 2)
    assert (subject.counters.updates, subject.counters.snapshots, subject.counters.repeats) == (2, 1, 1)
    assert subject.live == 1


def test_a_snapshot_alone_is_not_live() -> None:
    subject, sink = follower()
    subject.snapshot(BTC.id, snapshot(10), 1)
    assert sink.books.state(BTC.id) is State.STALE
    assert subject.live == 0


def test_a_snapshot_ahead_of_the_stream_waits_for_it() -> None:
    subject, sink = follower()
    subject.snapshot(BTC.id, snapshot(20), 1)
    subject.message(event(9, 15, "1.00:1"), 2)
    assert sink.books.state(BTC.id) is State.STALE
    subject.message(event(16, 22, "100.10:1"), 3)
    assert sink.books.state(BTC.id) is State.LIVE
    assert sink.books.count(BTC.id) == (2, 1)


def test_a_snapshot_behind_the_stream_is_asked_for_again() -> None:
    subject, sink = follower()
    subject.message(event(20, 25), 1)
    subject.wants.clear()
    subject.snapshot(BTC.id, snapshot(10), 2)
    assert subject.wants == [WantSnapshot(BTC.id)]
    assert (subject.counters.old_snapshots, subject.counters.gaps) == (1, 0)
    subject.snapshot(BTC.id, snapshot(22), 3)
    assert sink.books.state(BTC.id) is State.LIVE
    assert sink.books.update_id(BTC.id) == 25


def test_a_gap_makes_it_stale_at_once_and_a_new_snapshot_live_again() -> None:
    subject, sink = live()
    subject.message(event(14, 15, "100.90:1"), 4)
    assert sink.books.state(BTC.id) is State.STALE
    assert sink.books.reason(BTC.id) == Reason.GAP
    assert [type(want) for want in subject.wants] == [WantLog, WantSnapshot]
    assert subject.live == 0
    subject.message(event(16, 17, "100.80:1"), 5)
    subject.snapshot(BTC.id, snapshot(14), 6)
    assert sink.books.state(BTC.id) is State.LIVE
    assert sink.books.top(BTC.id)[0] == 10090
    assert sink.books.update_id(BTC.id) == 17
    assert (subject.counters.gaps, subject.counters.resyncs) == (1, 1)


def test_a_gap_of_one_symbol_leaves_the_other_alone() -> None:
    subject, sink = follower(BTC, ETH)
    for instrument in (BTC, ETH):
        subject.snapshot(instrument.id, snapshot(10), 1)
        subject.message(event(11, 11, "100.00:2", symbol=instrument.name), 2)
    subject.message(event(13, 13, "100.00:3"), 3)
    assert sink.books.state(BTC.id) is State.STALE
    assert sink.books.state(ETH.id) is State.LIVE
    assert subject.live == 1


def test_a_gap_among_the_buffered_events_is_found() -> None:
    subject, sink = follower()
    subject.message(event(11, 12, "100.50:2"), 1)
    subject.message(event(14, 15, "100.60:2"), 2)
    subject.snapshot(BTC.id, snapshot(10), 3)
    assert sink.books.state(BTC.id) is State.STALE
    assert subject.counters.gaps == 1
    subject.snapshot(BTC.id, snapshot(13), 4)
    assert sink.books.state(BTC.id) is State.LIVE


def test_a_repeated_event_changes_nothing() -> None:
    subject, sink = live()
    before, repeats = list(sink.records), subject.counters.repeats
    subject.message(event(11, 12, "100.50:7"), 4)
    assert sink.records == before
    assert subject.counters.repeats == repeats + 1
    assert subject.live == 1


def test_a_lost_connection_makes_every_book_stale_and_forgets_the_buffer() -> None:
    subject, sink = live()
    subject.disconnected(Reason.SILENCE, 4)
    assert sink.books.state(BTC.id) is State.STALE
    assert sink.books.reason(BTC.id) == Reason.SILENCE
    assert subject.live == 0
    subject.snapshot(BTC.id, snapshot(12), 5)  # answered too late: there is no stream to continue it
    assert sink.books.state(BTC.id) is State.STALE
    subject.connected()
    subject.message(event(31, 32, "100.40:1"), 6)
    subject.snapshot(BTC.id, snapshot(31), 7)
    assert sink.books.state(BTC.id) is State.LIVE


def test_a_level_that_can_not_be_held_exactly_makes_it_stale() -> None:
    subject, sink = live()
    subject.message(event(13, 13, "100.001:1"), 4)
    assert sink.books.state(BTC.id) is State.STALE
    assert subject.counters.unrepresentable == 1
    assert WantSnapshot(BTC.id) in subject.wants
    assert 10000 not in [record[5] for record in sink.records[-2:]]


def test_a_snapshot_with_such_a_level_is_not_used_and_asked_for_again() -> None:
    subject, sink = follower()
    subject.wants.clear()
    subject.snapshot(BTC.id, snapshot(10, "100.0000000000000000001:1"), 1)
    assert subject.counters.unrepresentable == 1
    assert subject.awaits(BTC.id)
    assert WantSnapshot(BTC.id) in subject.wants
    assert not [record for record in sink.records if record[1] in (Kind.BID, Kind.ASK)]


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"lastUpdateId":1}', b'{"code":-1003,"msg":"slow down"}'])
def test_an_answer_that_is_no_snapshot_is_asked_for_again(body: bytes) -> None:
    subject, _ = follower()
    subject.wants.clear()
    subject.snapshot(BTC.id, body, 1)
    assert WantSnapshot(BTC.id) in subject.wants
    assert subject.counters.malformed == 1


def test_what_is_new_is_told_by_one_cause_counted_and_ignored() -> None:
    subject, sink = live()
    before = list(sink.records)
    for _ in range(3):
        subject.message(b'{"stream":"btcusdt@moon","data":{"e":"moonPhase","phase":"full"}}', 4)
    said = [want for want in subject.wants if isinstance(want, WantLog)]
    assert subject.counters.unknown == 3
    assert len({want.cause for want in said}) == 1
    assert "moonPhase" in said[0].text
    assert sink.records == before
    assert subject.live == 1


def test_records_say_when() -> None:
    _, sink = live()
    *_, last_level, whole = sink.records
    assert last_level[7:] == whole[7:] == (1_700_000_000_123_000_000, 3)


def test_the_buffer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wirebook.venues.follower._MOST_BUFFERED", 10)
    subject, sink = follower()
    for number in range(1, 26):
        subject.message(event(number, number, f"100.{number:02}:1"), number)
    subject.snapshot(BTC.id, snapshot(3), 30)
    assert subject.counters.old_snapshots == 1
    subject.snapshot(BTC.id, snapshot(22), 31)
    assert sink.books.state(BTC.id) is State.LIVE
    assert sink.books.update_id(BTC.id) == 25


@pytest.mark.parametrize("fault", ["drop", "repeat", "swap"])
def test_with_any_message_lost_repeated_or_swapped_it_is_right_or_stale(fault: str) -> None:
    """200 events; each of them in turn is the one that goes wrong. A live book is always the true one."""
    dice = random.Random(5)
    events, truth, book = [], {0: {100: 1}}, {100: 1}
    for number in range(1, 201):
        price, quantity = dice.randrange(50, 200), dice.randrange(3)
        events.append(event(number, number, f"{price}.00:{quantity}"))
        book = {**book, price: quantity}
        truth[number] = book = {price: quantity for price, quantity in book.items() if quantity}
    for wrong in range(200):
        subject, sink = follower()
        subject.snapshot(BTC.id, snapshot(0, "100.00:1", ""), 1)
        order = list(range(200))
        if fault == "drop":
            del order[wrong]
        elif fault == "repeat":
            order.insert(wrong, wrong)
        elif wrong + 1 < 200:
            order[wrong], order[wrong + 1] = order[wrong + 1], order[wrong]
        for step in order:
            subject.message(events[step], step)
            if sink.books.state(BTC.id) is State.LIVE:
                held = {price // 100: quantity // 100000 for price, quantity in sink.books.levels(BTC.id, Kind.BID)}
                assert held == truth[sink.books.update_id(BTC.id)]
                assert sink.books.update_id(BTC.id) >= step + 1 - (fault == "repeat")
        if subject.awaits(BTC.id):
            held_levels = " ".join(f"{price}.00:{quantity}" for price, quantity in truth[200].items())
            subject.snapshot(BTC.id, snapshot(200, held_levels, ""), 1)
            subject.message(event(201, 201, "50.00:0"), 1)
            assert sink.books.state(BTC.id) is State.LIVE


def test_decoding_names_every_message() -> None:
    assert VENUE.decode(event(1, 2, "3:4")) == Depth(
        "BTCUSDT", 1, 2, None, 1_700_000_000_123_000_000, [("3", "4")], []
    )  # fmt: skip
    assert VENUE.decode(snapshot(5, "3:4", "")) == Snapshot(None, 5, 0, [("3", "4")], [])
    ticker = b'{"stream":"x@bookTicker","data":{"u":5,"s":"X","b":"1","B":"2","a":"3","A":"4"}}'
    assert VENUE.decode(ticker) == Ticker("X", 5, ("1", "2"), ("3", "4"))
    assert VENUE.decode(b'{"result":null,"id":1}') == Ignored()
    assert VENUE.decode(b'{"stream":"x@trade","data":{"e":"trade","s":"X"}}') == Ignored()
    assert VENUE.decode(b'{"code":2,"msg":"Invalid request"}') == Refused("Invalid request")
    assert VENUE.decode(b'{"e":"kline"}') == Unknown("kline")


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"nonsense",
        b"[]",
        b"7",
        b'{"stream":"x","data":[]}',
        b'{"e":"depthUpdate"}',
        event(9, 8),
        event(1, 2).replace(b"[]", b"{}"),
    ],
)
def test_decoding_refuses(raw: bytes) -> None:
    with pytest.raises(MalformedError):
        VENUE.decode(raw)


def test_instruments_come_from_tick_and_step() -> None:
    body = (
        b'{"symbols":[{"symbol":"BTCUSDT","baseAssetPrecision":8,"filters":[{"filterType":"LOT_SIZE","stepSize":"0.00001000"},'
        b'{"filterType":"PRICE_FILTER","tickSize":"0.01000000"}]}]}'
    )
    assert VENUE.instruments(body) == {"BTCUSDT": Scale(2, 8)}
    assert VENUE.instruments(body.replace(b"0.00001000", b"1.00000000")) == {"BTCUSDT": Scale(2, 3)}
    with pytest.raises(MalformedError):
        VENUE.instruments(b'{"symbols":[{"symbol":"BTCUSDT","filters":[]}]}')


def test_subscriptions_keep_the_venue_limits() -> None:
    messages = VENUE.subscriptions([f"S{number}" for number in range(450)])
    assert len(messages) == 3
    assert messages[0].startswith(b'{"method":"SUBSCRIBE","params":["s0@depth@100ms","s1@depth@100ms"')
    assert len(VENUE.instruments_paths([f"S{number}" for number in range(250)])) == 3


@pytest.mark.parametrize(
    ("text", "decimals", "value"),
    [
        ("0", 0, 0),
        ("61737.63000000", 2, 6173763),
        ("0.00001000", 5, 1),
        ("1", 8, 10**8),
        ("9223372036854775807", 0, 2**63 - 1),
    ],
)
def test_scaled(text: str, decimals: int, value: int) -> None:
    assert scaled(text, decimals) == value


@pytest.mark.parametrize(
    ("text", "decimals", "error"),
    [
        ("0.001", 2, UnrepresentableError),
        ("9223372036854775808", 0, UnrepresentableError),
        ("10", 18, UnrepresentableError),
        ("-1", 2, MalformedError),
        ("1e3", 2, MalformedError),
        ("", 2, MalformedError),
        ("1.", 2, MalformedError),
        ("٣", 2, MalformedError),
    ],
)
def test_scaled_never_rounds_or_guesses(text: str, decimals: int, error: type[Exception]) -> None:
    with pytest.raises(error):
        scaled(text, decimals)


def test_decimals_of() -> None:
    assert [decimals_of(text) for text in ("1", "1.0", "0.01000000", "0.00001")] == [0, 0, 2, 5]
