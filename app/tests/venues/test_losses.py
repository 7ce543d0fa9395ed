"""What a message tells that can't be used: which books are suspect, and what is asked for."""

from __future__ import annotations

import pytest

from wirebook import venues
from wirebook.core.books.books import State
from wirebook.core.wire.records import Reason
from wirebook.venues.base import WantLog, WantResubscribe, WantSnapshot

from .exchanges import EXCHANGES, Coinbase, Exchange, Kraken, Okx, OkxOfOld, compact
from .support import Keeper, follow
from .test_every_venue import held, serve, start

every_exchange = pytest.mark.parametrize("kind", EXCHANGES)
IN_BAND = [kind for kind in EXCHANGES if venues.get(kind.venue).snapshots_in_band]
BY_REST = [kind for kind in EXCHANGES if kind not in IN_BAND]


@every_exchange
def test_a_garbled_message_makes_books_suspect_where_no_number_will_show_what_it_was(kind: type[Exchange]) -> None:
    exchange = kind(31)
    subject, sink = start(exchange)
    lost = exchange.event()
    subject.message(lost[: len(lost) // 2], 1)
    assert subject.counters.malformed == 1
    numbered = venues.get(exchange.venue).numbered
    assert numbered == (exchange.venue != "kraken")
    assert sink.books.state(exchange.instrument.id) is (State.LIVE if numbered else State.STALE)
    subject.message(exchange.event(), 2)  # has the number that shows it
    assert sink.books.state(exchange.instrument.id) is State.STALE
    assert sink.books.reason(exchange.instrument.id) in (Reason.GAP, Reason.CHECKSUM, Reason.UNREADABLE)


def test_kraken_garbled_message_makes_every_book_of_the_connection_suspect() -> None:
    first, second = Kraken(1), Kraken(2)
    second.instrument = first.instrument._replace(id=8, name="ETH/USD")
    subject, sink = follow(Keeper(), first.instrument, second.instrument, venue="kraken")
    subject.message(first.snapshot(), 1)
    subject.message(second.snapshot().replace(b"BTC/USD", b"ETH/USD"), 1)
    assert subject.live == 2
    subject.wants.clear()
    subject.message(b'{"channel":"book","ty', 1)
    assert subject.live == 0
    assert sink.books.reason(7) == sink.books.reason(8) == Reason.UNREADABLE
    assert [want for want in subject.wants if not isinstance(want, WantLog)] == [WantResubscribe(7), WantResubscribe(8)]


@pytest.mark.parametrize("kind", IN_BAND)
def test_a_snapshot_in_the_stream_replaces_the_book(kind: type[Exchange]) -> None:
    """At any time, asked for or not: what isn't in it is gone."""
    exchange = kind(32)
    subject, sink = start(exchange)
    for side in exchange.sides:
        for price in list(side)[1:]:
            del side[price]
    if kind is not Coinbase:  # there the snapshot's message takes the next number itself
        exchange.step()
    exchange.note()
    subject.message(exchange.snapshot(), 2)
    assert sink.books.state(exchange.instrument.id) is State.LIVE
    assert held(exchange, sink) == exchange.truth[exchange.id]
    assert sink.books.count(exchange.instrument.id) == (1, 1)
    assert (subject.counters.gaps, subject.counters.malformed) == (0, 0)
    subject.message(exchange.event(), 3)
    assert held(exchange, sink) == exchange.truth[exchange.id]


@pytest.mark.parametrize("kind", IN_BAND)
def test_a_snapshot_that_the_subscription_did_not_bring_is_asked_for_at_the_first_event(kind: type[Exchange]) -> None:
    exchange = kind(33)
    subject, _ = follow(Keeper(), exchange.instrument, venue=exchange.venue)
    exchange.snapshot()  # lost
    assert not subject.wants
    subject.message(exchange.event(), 1)
    assert [want for want in subject.wants if not isinstance(want, WantLog)] == [WantResubscribe(7)]
    subject.message(exchange.event(), 1)
    assert subject.wants.count(WantResubscribe(7)) == 1


def test_coinbase_snapshot_that_comes_after_a_gap_is_used() -> None:
    """The message whose number shows the gap may be the very one that mends it."""
    exchange = Coinbase(34)
    subject, sink = start(exchange)
    exchange.event()  # lost
    subject.message(exchange.snapshot(), 2)
    assert subject.counters.gaps == 1
    assert sink.books.state(7) is State.LIVE
    assert held(exchange, sink) == exchange.truth[exchange.id]


def test_coinbase_message_from_before_is_not_applied() -> None:
    """Be it a whole book: it is one from before, however well it was numbered."""
    exchange = Coinbase(35)
    subject, sink = follow(Keeper(), exchange.instrument, venue="coinbase")
    old = exchange.snapshot()
    subject.message(old, 1)
    for _ in range(4):
        subject.message(exchange.event(), 1)
    before = exchange.truth[exchange.id]
    subject.message(old, 2)
    assert sink.books.state(7) is State.STALE
    assert sink.books.reason(7) == Reason.GAP
    assert held(exchange, sink) == before


@pytest.mark.parametrize("kind", BY_REST)
def test_an_event_with_an_absurd_id_costs_one_snapshot_and_no_more(kind: type[Exchange]) -> None:
    """It is kept for the snapshot that it may continue. The one after must not find it again."""
    exchange = kind(36)
    subject, sink = start(exchange)
    absurd = kind(37)
    absurd.id = absurd.before = 1 << 60
    subject.wants.clear()
    subject.message(absurd.event(), 1)
    assert sink.books.state(7) is State.STALE
    for _ in range(3):
        subject.message(exchange.event(), 1)
        serve(exchange, subject)
        subject.message(exchange.event(), 1)
    assert sink.books.state(7) is State.LIVE
    assert held(exchange, sink) == exchange.truth[exchange.id]
    assert WantSnapshot(7) not in subject.wants


@pytest.mark.parametrize("deep", [0, 1])
def test_okx_checksum_covers_25_levels_a_side(deep: int) -> None:
    """So it notices what is wrong with the 25th, and can't notice it of the 26th."""
    exchange = OkxOfOld(38)
    exchange.sides = ({9_999 - n: 1_000 for n in range(30)}, {10_001 + n: 1_000 for n in range(30)})
    subject, sink = follow(Keeper(), exchange.instrument, venue="okx")
    subject.message(exchange.snapshot(), 1)
    assert sink.books.state(7) is State.LIVE
    for side in exchange.sides:
        price = list(side)[24 + deep]
        side[price] = 2_000  # told in a message that was lost
    exchange.sides[0][9_999] = 3_000
    subject.message(exchange.say("update", [(0, 9_999, 3_000)], exchange.id), 2)
    assert sink.books.state(7) is (State.LIVE if deep else State.STALE)
    assert subject.counters.checksum_bad == 1 - deep


def test_okx_ids_are_judged_of_a_message_that_has_a_checksum_too() -> None:
    """Such a message isn't the scanner's; a lost event below the checked levels shows by the ids alone."""
    argument = {"arg": {"channel": "books", "instId": "BTC-USDT"}}
    book = {"asks": [["101", "1", "0", "1"]], "bids": [["100", "1", "0", "1"]], "ts": "1700000000123", "checksum": 0}
    subject, sink = follow(Keeper(), Okx.instrument, venue="okx")
    subject.message(compact({**argument, "action": "snapshot", "data": [{**book, "prevSeqId": -1, "seqId": 900}]}), 1)
    update = {**book, "bids": [["99", "1", "0", "1"]], "checksum": -7}
    subject.message(compact({**argument, "action": "update", "data": [{**update, "prevSeqId": 900, "seqId": 905}]}), 2)
    assert sink.books.state(7) is State.LIVE
    subject.message(compact({**argument, "action": "update", "data": [{**update, "prevSeqId": 910, "seqId": 920}]}), 2)
    assert sink.books.state(7) is State.STALE
    assert subject.counters.gaps == 1


SIDELESS = {
    "binance": b'{"stream":"x","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[["1","2"]]}}',
    "bybit": b'{"topic":"orderbook.200.BTCUSDT","type":"delta","ts":1,"data":{"s":"BTCUSDT","b":[],"u":1}}',
    "okx": b'{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"update","data":[{"bids":[],"ts":"1"}]}',
    "kraken": b'{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[],"checksum":7}]}',
    "coinbase": b'{"channel":"l2_data","timestamp":"2023-11-14T22:13:20Z","sequence_num":4,"events":[{"type":"update",'
    b'"product_id":"BTC-USD","updates":[{"side":"ask","price_level":"1","new_quantity":"2"}]}]}',
}


@every_exchange
def test_an_event_without_both_sides_is_malformed_and_never_half_applied(kind: type[Exchange]) -> None:
    exchange = kind(39)
    subject, sink = start(exchange)
    before = held(exchange, sink)
    subject.message(SIDELESS[exchange.venue.split("-")[0]], 1)
    assert subject.counters.malformed == 1
    assert held(exchange, sink) == before
    assert subject.counters.updates == 1
