"""Each venue's own rule, decoder and definitions, one case at a time."""

import pytest

from wirebook.core.books.books import State
from wirebook.core.decode.sequence import Verdict
from wirebook.core.wire.records import Kind, Reason
from wirebook.venues import get
from wirebook.venues.base import (
    UNNUMBERED,
    Depth,
    Ignored,
    Instrument,
    Leaving,
    MalformedError,
    Message,
    Refused,
    Scale,
    Several,
    Snapshot,
    Subscribed,
    Unknown,
    WantLog,
    WantResubscribe,
)
from wirebook.venues.checksum import TextBook, digits_crc32, interleaved_crc32
from wirebook.venues.fields import rfc3339

from .exchanges import BybitLinear, Coinbase, Kraken, compact
from .support import Keeper, follow

TIME = 1_700_000_000_123_000_000
APPLY, REPEAT, BREAK = Verdict.APPLY, Verdict.REPEAT, Verdict.BREAK


@pytest.mark.parametrize(
    ("chained", "first", "last", "previous", "verdict"),
    [
        (False, 80, 99, 79, REPEAT),  # "drop any event where u is < lastUpdateId"
        (False, 80, 100, 79, APPLY),  # "U <= lastUpdateId AND u >= lastUpdateId"
        (False, 100, 120, 95, APPLY),
        (False, 105, 120, 100, APPLY),  # begins where the snapshot ends
        (False, 105, 120, 101, BREAK),
        (True, 150, 180, 100, APPLY),  # "pu should be equal to the previous event's u"; U says nothing
        (True, 101, 180, 99, BREAK),
        (True, 90, 100, 80, REPEAT),
        (True, 80, 90, 70, BREAK),
    ],
)
def test_binance_futures(chained: bool, first: int, last: int, previous: int, verdict: Verdict) -> None:
    assert get("binance-usdm").rule.judge(100, chained, first, last, previous) is verdict


@pytest.mark.parametrize(("last", "verdict"), [(101, APPLY), (100, REPEAT), (102, BREAK), (99, BREAK), (2, BREAK)])
def test_bybit(last: int, verdict: Verdict) -> None:
    assert get("bybit-spot").rule.judge(100, True, last, last, None) is verdict


@pytest.mark.parametrize(
    ("last", "previous", "verdict"),
    [(137, 100, APPLY), (100, 100, APPLY), (100, 90, REPEAT), (137, 99, BREAK), (137, 101, BREAK)],
)
def test_okx(last: int, previous: int, verdict: Verdict) -> None:
    assert get("okx").rule.judge(100, True, last, last, previous) is verdict


def test_bybit_restart_replaces_the_book_and_is_no_gap() -> None:
    exchange = BybitLinear(1)
    subject, sink = follow(Keeper(), exchange.instrument, venue=exchange.venue)
    subject.message(exchange.snapshot(), 1)
    subject.message(exchange.event(), 2)
    exchange.id = 0
    exchange.change()
    exchange.id = 1
    exchange.note()
    subject.message(exchange.snapshot(), 3)
    subject.message(exchange.event(), 4)
    assert sink.books.state(7) is State.LIVE
    assert sink.books.update_id(7) == 2
    assert dict(sink.books.levels(7, Kind.BID)) == exchange.truth[2][0]
    assert subject.counters.gaps == 0


def test_okx_ids_that_start_anew_are_a_resync() -> None:
    """The venue's rule would go on; but on the wire ids never go backwards."""
    book = {"asks": [["101", "1", "0", "1"]], "bids": [["100", "1", "0", "1"]], "ts": "1700000000123", "checksum": 0}
    argument = {"arg": {"channel": "books", "instId": "BTC-USDT"}}
    subject, sink = follow(Keeper(), Instrument(7, "BTC-USDT", 2, 2), venue="okx")
    subject.message(compact({**argument, "action": "snapshot", "data": [{**book, "prevSeqId": -1, "seqId": 900}]}), 1)
    assert sink.books.state(7) is State.LIVE
    subject.message(compact({**argument, "action": "update", "data": [{**book, "prevSeqId": 900, "seqId": 3}]}), 2)
    assert sink.books.state(7) is State.STALE
    assert WantResubscribe(7) in subject.wants


@pytest.mark.parametrize("checksum", [0, 5])
def test_okx_update_that_nothing_proves_makes_the_book_stale(checksum: int) -> None:
    book = {"asks": [], "bids": [["100", "1", "0", "1"]], "ts": "1700000000123"}
    argument = {"arg": {"channel": "books", "instId": "BTC-USDT"}}
    subject, sink = follow(Keeper(), Instrument(7, "BTC-USDT", 2, 2), venue="okx")
    subject.message(compact({**argument, "action": "snapshot", "data": [{**book, "prevSeqId": -1, "seqId": 900}]}), 1)
    assert sink.books.state(7) is State.LIVE
    update = {**book, "checksum": checksum}
    subject.message(compact({**argument, "action": "update", "data": [update]}), 2)
    assert sink.books.state(7) is State.STALE


def test_okx_keepalive_changes_nothing() -> None:
    empty = {"asks": [], "bids": [], "ts": "1700000000999", "checksum": 0, "prevSeqId": 900, "seqId": 900}
    book = {**empty, "bids": [["100", "1", "0", "1"]], "prevSeqId": -1}
    argument = {"arg": {"channel": "books", "instId": "BTC-USDT"}}
    subject, sink = follow(Keeper(), Instrument(7, "BTC-USDT", 2, 2), venue="okx")
    subject.message(compact({**argument, "action": "snapshot", "data": [book]}), 1)
    subject.message(compact({**argument, "action": "update", "data": [empty]}), 2)
    assert sink.books.state(7) is State.LIVE
    assert sink.books.levels(7, Kind.BID) == [(10000, 100)]
    assert subject.counters.gaps == 0


def test_coinbase_gap_makes_every_book_of_the_connection_suspect() -> None:
    """Another channel's message counts too; and a book that is resynced comes back alone."""
    first, second = Coinbase(1), Coinbase(2)
    second.instrument = Instrument(8, "ETH-USD", 2, 3)
    subject, sink = follow(Keeper(), first.instrument, second.instrument, venue="coinbase")
    subject.message(first.snapshot(), 1)
    second.id = 0
    subject.message(second.snapshot().replace(b"BTC-USD", b"ETH-USD"), 1)
    subject.message(b'{"channel":"heartbeats","sequence_num":2,"events":[{"heartbeat_counter":1}]}', 1)
    assert subject.live == 2
    subject.message(b'{"channel":"heartbeats","sequence_num":4,"events":[{"heartbeat_counter":3}]}', 1)
    assert subject.live == 0
    assert sink.books.reason(7) == sink.books.reason(8) == Reason.GAP
    assert [want for want in subject.wants if isinstance(want, WantResubscribe)] == [
        WantResubscribe(7), WantResubscribe(8)
    ]  # fmt: skip
    first.id = 4
    subject.message(first.snapshot(), 1)
    assert (sink.books.state(7), sink.books.state(8)) == (State.LIVE, State.STALE)


def test_kraken_what_a_checksum_can_not_see() -> None:
    """A lost event below the tenth level is unseen until the level comes among the ten: then the checksum shows it."""
    instrument = Kraken.instrument
    exchange = Kraken(1)
    exchange.sides = ({10_000 - price: 5_000 for price in range(20)}, {10_001: 1_000})
    subject, sink = follow(Keeper(), instrument, venue="kraken")
    subject.message(exchange.snapshot(), 1)
    exchange.sides[0][10_000 - 11] = 9_000
    exchange.say("update", [(0, 10_000 - 11, 9_000)])  # told, and lost
    exchange.sides[0][10_000] = 1
    subject.message(exchange.say("update", [(0, 10_000, 1)]), 2)
    assert sink.books.state(7) is State.LIVE
    assert dict(sink.books.levels(7, Kind.BID)) != exchange.sides[0]
    for price in (10_000, 9_999):
        del exchange.sides[0][price]
        subject.message(exchange.say("update", [(0, price, 0)]), 3)
    assert sink.books.state(7) is State.STALE
    assert sink.books.reason(7) == Reason.CHECKSUM
    assert subject.counters.checksum_bad == 1
    assert WantResubscribe(7) in subject.wants
    subject.message(exchange.snapshot(), 4)
    assert sink.books.state(7) is State.LIVE
    assert subject.counters.resyncs == 1


def test_kraken_levels_beyond_the_subscribed_depth_are_deleted_for_readers_too() -> None:
    exchange = Kraken(1)
    exchange.sides = ({9_000: 1, 8_000: 1}, {10_000: 1, 11_000: 1})
    subject, sink = follow(Keeper(), exchange.instrument, venue="kraken")
    subject.message(
        b'{"method":"subscribe","result":{"channel":"book","depth":2,"symbol":"BTC/USD"},"success":true}', 1
    )
    subject.message(exchange.snapshot(), 2)
    exchange.sides = ({9_500: 1, 9_000: 1}, exchange.sides[1])
    subject.message(exchange.say("update", [(0, 9_500, 1)]), 3)
    assert sink.books.levels(7, Kind.BID) == [(9_500, 1), (9_000, 1)]
    assert subject.counters.checksum_ok == 2


def test_kraken_ids_are_times_and_never_stand_still() -> None:
    exchange = Kraken(1)
    subject, sink = follow(Keeper(), exchange.instrument, venue="kraken")
    subject.message(exchange.snapshot(), 1)
    assert sink.books.update_id(7) == TIME
    subject.message(exchange.event(), 2)
    assert sink.books.update_id(7) == TIME + 1
    subject.message(exchange.event().replace(b"20.123000Z", b"21.5Z"), 2)
    assert sink.books.update_id(7) == TIME + 1_377_000_000
    subject.message(exchange.event().replace(b',"timestamp":"2023-11-14T22:13:20.123000Z"', b""), 2)
    assert sink.books.update_id(7) == TIME + 1_377_000_001


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-11-14T22:13:20.123Z", TIME),
        ("2023-11-14T22:13:20.123000001Z", TIME + 1),
        ("2262-04-11T23:47:16Z", 9_223_372_036_000_000_000),
    ],
)
def test_times(text: str, time_ns: int) -> None:
    assert rfc3339(text) == time_ns


@pytest.mark.parametrize(
    "value",
    ["", 7, None, "2023-11-14", "2023-11-14T22:13:20", "2023-13-14T22:13:20Z", "1969-12-31T23:59:59Z",
     "2262-04-11T23:47:17Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2023-11-14T22:13:20.1234567890Z"],
)  # fmt: skip
def test_what_is_no_time(value: object) -> None:
    with pytest.raises(MalformedError):
        rfc3339(value)


def test_kraken_snapshot_with_a_wrong_checksum_is_not_used() -> None:
    exchange = Kraken(1)
    subject, sink = follow(Keeper(), exchange.instrument, venue="kraken")
    raw = exchange.snapshot()
    subject.message(raw.replace(b'"checksum":', b'"checksum":1'), 1)
    assert not sink.records
    assert subject.counters.checksum_bad == 1
    assert [type(want) for want in subject.wants] == [WantLog, WantResubscribe]


def test_checksums_are_of_the_text() -> None:
    """Kraken's own example (book-checksum-v2) has the digits of ten levels; here two, with zeros at both ends."""
    from zlib import crc32

    book = TextBook()
    for side, price, row in (
        (Kind.ASK, 5, ("0.05005", "0.00000500")), (Kind.ASK, 6, ("0.05010", "0.00000500")),
        (Kind.BID, 4, ("0.05000", "0.00000500")),
    ):  # fmt: skip
        book.side(side).set(price, 1, row)
    assert digits_crc32(book, 10) == crc32(b"500550050105005000500")
    signed = crc32(b"0.05000:0.00000500:0.05005:0.00000500:0.05010:0.00000500")
    assert interleaved_crc32(book, 25) == signed - (1 << 32) * (signed >= 1 << 31)
    assert book.asks.truncate(1) == [6]
    assert len(book.asks) == 1


@pytest.mark.parametrize(
    ("venue", "raw", "message"),
    [
        ("bybit-spot", b'{"success":true,"ret_msg":"subscribe","conn_id":"x","op":"subscribe"}', Ignored()),
        ("bybit-spot", b'{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}', Ignored()),
        ("bybit-linear", b'{"success":false,"ret_msg":"no such topic","op":"subscribe"}', Refused("no such topic")),
        ("bybit-linear", b'{"topic":"publicTrade.X","data":[]}', Unknown("publicTrade")),
        ("okx", b"pong", Ignored()),
        ("okx", b'{"event":"subscribe","arg":{"channel":"books","instId":"X"}}', Ignored()),
        ("okx", b'{"event":"error","code":"60012","msg":"Invalid request"}', Refused("Invalid request (60012)")),
        ("okx", b'{"event":"notice","code":"64008","msg":"upgrade"}', Leaving("upgrade (64008)")),
        (
            "okx",
            b'{"arg":{"channel":"books","instId":"X"},"action":"update","data":[{"asks":[],"bids":[["1","2","0","3"]],'
            b'"ts":"1700000000123","checksum":-5}]}',
            Depth("X", UNNUMBERED, UNNUMBERED, None, TIME, [("1", "2")], [], -5),
        ),
        ("kraken", b'{"channel":"heartbeat"}', Ignored()),
        ("kraken", b'{"method":"pong","time_in":"x"}', Ignored()),
        ("kraken", b'{"error":"Currency pair not supported","method":"subscribe","success":false}',
         Refused("Currency pair not supported")),
        ("kraken", b'{"method":"subscribe","result":{"channel":"book","depth":10,"symbol":"A/B"},"success":true}',
         Subscribed("A/B", 10)),
        (
            "kraken",
            b'{"channel":"book","type":"update","data":[{"symbol":"A/B","bids":[{"price":1.50,"qty":0.10}],"asks":[],'
            b'"checksum":7,"timestamp":"2023-11-14T22:13:20.123Z"}]}',
            Depth("A/B", UNNUMBERED, UNNUMBERED, None, TIME, [("1.50", "0.10")], [], 7),
        ),
        ("coinbase", b'{"type":"error","message":"rate limit"}', Refused("rate limit")),
        ("coinbase", b'{"channel":"subscriptions","sequence_num":3,"events":[]}', Several(3, [Ignored()])),
        (
            "coinbase",
            b'{"channel":"l2_data","timestamp":"2023-11-14T22:13:20.123Z","sequence_num":4,"events":[{"type":"snapshot",'
            b'"product_id":"A-B","updates":[{"side":"offer","price_level":"1","new_quantity":"2"}]}]}',
            Several(4, [Snapshot("A-B", 4, TIME, [], [("1", "2")])]),
        ),
    ],
)  # fmt: skip
def test_decoding(venue: str, raw: bytes, message: Message) -> None:
    assert get(venue).decode(raw) == message


@pytest.mark.parametrize(
    ("venue", "body", "scales"),
    [
        ("bybit-linear", b'{"retCode":0,"result":{"list":[{"symbol":"A","priceFilter":{"tickSize":"0.10"},'
         b'"lotSizeFilter":{"qtyStep":"0.001"}}]}}', {"A": Scale(1, 3)}),
        ("bybit-spot", b'{"retCode":0,"result":{"list":[{"symbol":"A","priceFilter":{"tickSize":"0.01"},'
         b'"lotSizeFilter":{"basePrecision":"0.000001"}}]}}', {"A": Scale(2, 6)}),
        ("bybit-spot", b'{"retCode":10001,"retMsg":"Not supported symbols"}', {}),
        ("okx", b'{"code":"0","data":[{"instId":"A-B","tickSz":"0.1","lotSz":"0.00000001"}]}', {"A-B": Scale(1, 8)}),
        ("okx", b'{"code":"51001","msg":"Instrument ID does not exist"}', {}),
        ("kraken", b'{"error":[],"result":{"XXBTZUSD":{"wsname":"XBT/USD","pair_decimals":1,"lot_decimals":8}}}',
         {"BTC/USD": Scale(1, 8)}),
        ("coinbase", b'{"products":[{"product_id":"A-B","price_increment":"0.01","base_increment":"0.00000001"}]}',
         {"A-B": Scale(2, 8)}),
        ("binance-coinm", b'{"symbols":[{"symbol":"BTCUSD_PERP","baseAssetPrecision":8,"filters":['
         b'{"filterType":"PRICE_FILTER","tickSize":"0.1"},{"filterType":"LOT_SIZE","stepSize":"1"}]}]}',
         {"BTCUSD_PERP": Scale(1, 3)}),
    ],
)  # fmt: skip
def test_definitions(venue: str, body: bytes, scales: dict[str, Scale]) -> None:
    assert get(venue).instruments(body) == scales
    for wrong in (b"", b"[]", b"{}", b'{"symbols":7,"result":7,"data":7,"products":7,"retCode":0,"code":"0"}'):
        with pytest.raises(MalformedError):
            get(venue).instruments(wrong)


def test_okx_products_are_told_by_their_names() -> None:
    names = ["BTC-USDT", "BTC-USDT-SWAP", "BTC-USD-220527", "BTC-USD-220527-30000-C"]
    paths = get("okx").instruments_paths(names)
    assert [path.split("instType=")[1].split("&")[0] for path in paths] == ["SPOT", "SWAP", "FUTURES", "OPTION"]
