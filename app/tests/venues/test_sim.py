"""The simulated venue without sockets: its market, its books, its protocol."""

import itertools
from decimal import Decimal

import orjson
import pytest

from wirebook.sim.binance import BinanceExchange, Subscription
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.tape import SyntheticTape
from wirebook.venues import get
from wirebook.venues.base import Depth, Scale, Snapshot, Ticker

VENUE = get("binance")


def test_the_made_up_market_is_one_that_could_be() -> None:
    """Ids run on, no book is ever crossed, every ticker is its book's, prices move, and levels lie near and far."""
    tape = SyntheticTape(3, 100, 1)
    books = {name: ReferenceBook(snapshot) for name, snapshot in tape.snapshots.items()}
    started = {name: book.best() for name, book in books.items()}
    tickers: dict[tuple[str, int], Ticker] = {}
    compared = absent = far = changes = 0
    for item in itertools.islice(tape.play(), 3000):
        message = item.message
        assert not isinstance(message, bytes)
        book = books[message.instrument]
        if isinstance(message, Ticker):
            tickers[message.instrument, message.last] = message
        else:
            assert message.first == book.last + 1
            bids, asks = book.levels(5000)
            held = {price for price, _ in bids + asks}
            best = Decimal(bids[0][0])
            for price, quantity in (*message.bids, *message.asks):
                changes += 1
                absent += float(quantity) == 0 and price not in held
                far += abs(Decimal(price) - best) > best / 100
            book.apply(message)
        ticker = tickers.get((message.instrument, book.last))
        bid, ask = book.best()
        assert bid is not None
        assert ask is not None
        assert Decimal(bid[0]) < Decimal(ask[0])
        if ticker is not None:
            compared += 1
            assert (ticker.bid, ticker.ask) == (bid, ask)
    assert compared > 500
    assert absent > changes / 50
    assert far > changes / 100
    assert all(len(book) > 200 for book in books.values())
    assert all(book.best() != started[name] for name, book in books.items())


def test_the_same_seed_makes_the_same_market() -> None:
    first, again, other = (list(itertools.islice(SyntheticTape(2, 50, seed).play(), 200)) for seed in (4, 4, 5))
    assert first == again
    assert first != other


def test_the_rate_is_kept() -> None:
    events = [
        item for item in itertools.islice(SyntheticTape(4, 200, 1).play(), 4000) if isinstance(item.message, Depth)
    ]
    assert len(events) / (events[-1].at_ns / 1e9) == pytest.approx(200, rel=0.05)


def test_every_encoded_message_is_decoded_to_itself() -> None:
    tape = SyntheticTape(2, 50, 4)
    exchange = BinanceExchange(tape.scales)
    for item in itertools.islice(tape.play(), 500):
        assert VENUE.decode(exchange.encode(item.message)) == item.message


@pytest.fixture
def exchange() -> BinanceExchange:
    return BinanceExchange({"AUSDT": Scale(2, 5), "BUSDT": Scale(0, 0)})


BOOKS = {
    "AUSDT": ReferenceBook(Snapshot("AUSDT", 7, 0, [("9.00", "1"), ("10.00", "2")], [("12.00", "4"), ("11.00", "3")]))
}


def test_rest_depth_is_sorted_and_cut(exchange: BinanceExchange) -> None:
    assert exchange.rest("/api/v3/depth?symbol=AUSDT&limit=5000", BOOKS) == (
        200,
        b'{"lastUpdateId":7,"bids":[["10.00","2"],["9.00","1"]],"asks":[["11.00","3"],["12.00","4"]]}',
    )
    _, body = exchange.rest("/api/v3/depth?symbol=AUSDT&limit=1", BOOKS)
    assert orjson.loads(body)["bids"] == [["10.00", "2"]]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/api/v3/depth?symbol=NOPE", 400),
        ("/api/v3/depth", 400),
        ("/api/v3/depth?symbol=AUSDT&limit=0", 400),
        ("/api/v3/depth?symbol=AUSDT&limit=x", 400),
        ("/api/v3/exchangeInfo?symbol=NOPE", 400),
        ("/api/v3/exchangeInfo?symbols=[", 400),
        ("/api/v9/time", 404),
    ],
)
def test_rest_refuses_as_the_venue_does(exchange: BinanceExchange, target: str, status: int) -> None:
    got, body = exchange.rest(target, BOOKS)
    assert got == status
    assert orjson.loads(body)["code"] < 0


def test_rest_definitions_can_be_read_back(exchange: BinanceExchange) -> None:
    for query in ("", "?symbol=AUSDT", "?symbols=%5B%22AUSDT%22%5D"):
        status, body = exchange.rest(f"/api/v3/exchangeInfo{query}", BOOKS)
        assert status == 200
        assert VENUE.instruments(body)["AUSDT"] == Scale(2, 8)


def test_subscriptions(exchange: BinanceExchange) -> None:
    depth = b'{"stream":"ausdt@depth@100ms","data":{"e":"depthUpdate"}}'
    combined = exchange.connect("/stream?streams=ausdt@depth@100ms/busdt@depth@100ms")
    bare = exchange.connect("/ws/ausdt@depth@100ms")
    empty = exchange.connect("/stream")
    assert combined is not None
    assert bare is not None
    assert empty is not None
    assert exchange.connect("/elsewhere") is None
    assert exchange.deliver(combined, depth) == depth
    assert exchange.deliver(bare, depth) == b'{"e":"depthUpdate"}'
    assert exchange.deliver(empty, depth) is None
    assert (
        exchange.request(empty, b'{"method":"SUBSCRIBE","params":["ausdt@depth@100ms"],"id":4}')
        == b'{"result":null,"id":4}'
    )
    assert exchange.deliver(empty, depth) == depth
    assert b"ausdt@depth@100ms" in exchange.request(empty, b'{"method":"LIST_SUBSCRIPTIONS","id":5}')
    exchange.request(empty, b'{"method":"UNSUBSCRIBE","params":["ausdt@depth@100ms"],"id":6}')
    assert exchange.deliver(empty, depth) is None


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"method":"FLY","id":1}', b'{"method":"SUBSCRIBE","params":[1],"id":1}']
)
def test_a_request_that_makes_no_sense_is_answered(exchange: BinanceExchange, text: bytes) -> None:
    subscription = Subscription(True, set())
    assert orjson.loads(exchange.request(subscription, text))["code"] == 2
    assert subscription.streams == set()
