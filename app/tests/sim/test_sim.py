"""The simulated venue without sockets: its market, its books, its protocol."""

import itertools
from decimal import Decimal

import orjson
import pytest

from wirebook.sim.binance import BinanceExchange
from wirebook.sim.exchange import Exchange, Subscription
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.server import exchange_of, synthetic
from wirebook.sim.tape import SyntheticTape
from wirebook.venues import get
from wirebook.venues import names as venues
from wirebook.venues.base import (
    Depth,
    Ignored,
    Instrument,
    Refused,
    Scale,
    Snapshot,
    Ticker,
    Venue,
    WantSnapshot,
    scaled,
)
from wirebook.venues.follower import BookFollower

from ..venues.support import Keeper

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
    assert exchange.request(empty, b'{"method":"SUBSCRIBE","params":["ausdt@depth@100ms"],"id":4}', {}) == [
        b'{"result":null,"id":4}'
    ]
    assert exchange.deliver(empty, depth) == depth
    assert b"ausdt@depth@100ms" in exchange.request(empty, b'{"method":"LIST_SUBSCRIPTIONS","id":5}', {})[0]
    exchange.request(empty, b'{"method":"UNSUBSCRIBE","params":["ausdt@depth@100ms"],"id":6}', {})
    assert exchange.deliver(empty, depth) is None


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"{}", b'{"method":"FLY","id":1}', b'{"method":"SUBSCRIBE","params":[1],"id":1}']
)
def test_a_request_that_makes_no_sense_is_answered(exchange: BinanceExchange, text: bytes) -> None:
    subscription = Subscription(set())
    assert orjson.loads(exchange.request(subscription, text, {})[0])["code"] == 2
    assert subscription.streams == set()


@pytest.mark.parametrize("name", venues())
def test_every_venue_is_simulated_as_its_own_follower_expects(name: str) -> None:
    """Two clients, one from the start and one that comes later: both hold the venue's books, price by price."""
    venue, tape = get(name), synthetic(name, 2, 100, 6)
    exchange = exchange_of(name, tape.scales)
    books = {symbol: ReferenceBook(snapshot) for symbol, snapshot in tape.snapshots.items()}
    instruments = [Instrument(number, symbol, *scale) for number, (symbol, scale) in enumerate(tape.scales.items())]
    messages = itertools.islice(tape.play(), 600)
    clients = [Client(venue, exchange, instruments, books)]
    for number, item in enumerate(messages):
        if number == 300:
            clients.append(Client(venue, exchange, instruments, books))
        message = item.message
        assert not isinstance(message, bytes)
        if isinstance(message, Depth):
            books[message.instrument].apply(message)
        raw = exchange.encode(message, books[message.instrument])
        for client in clients:
            client.hear(raw and exchange.deliver(client.subscription, raw, message.instrument))
    for client in clients:
        client.hear(exchange.heartbeat(client.subscription))
        counters = client.follower.counters
        assert client.follower.live == 2
        assert (counters.gaps, counters.malformed, counters.unknown, counters.checksum_bad) == (0, 0, 0, 0)
        for instrument in instruments:
            for side, rows in enumerate(books[instrument.name].levels(5000)):
                held = client.sink.books.levels(instrument.id, side)
                assert held == [(scaled(price, 2), scaled(quantity, 5)) for price, quantity, *_ in rows]


@pytest.mark.parametrize("name", venues())
def test_every_venue_defines_its_instruments_and_answers_pings(name: str) -> None:
    venue, scales = get(name), synthetic(name, 3, 100, 6).scales
    exchange = exchange_of(name, scales)
    defined: dict[str, Scale] = {}
    for path in venue.instruments_paths([*scales, "NOPE"]):
        status, body = exchange.rest(path, {})
        if status == 200:
            defined |= venue.instruments(body)
    if name == "binance":  # refuses the whole list
        (path,) = venue.instruments_paths(list(scales))
        defined = {
            symbol: Scale(price, 5) for symbol, (price, _) in venue.instruments(exchange.rest(path, {})[1]).items()
        }
    if name.startswith("binance-"):
        defined = {symbol: Scale(price, 5) for symbol, (price, _) in defined.items()}
    assert defined == scales
    subscription = exchange.connect(venue.connect_path())
    assert subscription is not None
    if venue.ping is not None:
        (answer,) = exchange.request(subscription, venue.ping, {})
        assert venue.decode(answer) == Ignored()
    for nonsense in (b"", b"{", b"[]", b"{}", b"7"):
        (answer,) = exchange.request(subscription, nonsense, {})
        assert isinstance(venue.decode(answer), Refused)


class Client:
    """A follower that is connected to a simulated venue without a socket."""

    def __init__(
        self, venue: Venue, exchange: Exchange, instruments: list[Instrument], books: dict[str, ReferenceBook]
    ) -> None:
        subscription = exchange.connect(venue.connect_path())
        assert subscription is not None
        self.subscription = subscription
        self.sink = Keeper()
        self.follower = BookFollower(venue, instruments, self.sink)
        self.follower.connected()
        self.venue, self.exchange, self.books = venue, exchange, books
        for request in venue.subscriptions([instrument.name for instrument in instruments]):
            for answer in exchange.request(self.subscription, request, books):
                self.follower.message(answer, 0)

    def hear(self, message: bytes | None) -> None:
        """Take a message and, as REST would bring them after some of the stream, the snapshots that are wanted."""
        if not message:
            return
        self.follower.message(message, 0)
        wants, self.follower.wants = self.follower.wants, []
        for want in wants:
            if isinstance(want, WantSnapshot):
                path = self.venue.snapshot_path(self.follower.instruments[want.symbol].name)
                self.follower.snapshot(want.symbol, self.exchange.rest(path, self.books)[1], 0)


@pytest.mark.parametrize(
    ("name", "depth"), [("bybit-spot", 1), ("bybit-linear", 50), ("kraken", 10), ("kraken", 25), ("kraken", 100)]
)
def test_fewer_levels_are_the_best_ones_after_every_message(name: str, depth: int) -> None:
    """By the venue's own rule for clients: Kraken's cut off what is pushed out, Bybit's are told. Ids have no gap."""
    venue, tape = get(name), synthetic(name, 1, 100, 6)
    exchange = exchange_of(name, tape.scales)
    ((symbol, start),) = tape.snapshots.items()
    books = {symbol: ReferenceBook(start)}
    exchange.books = books
    subscription = exchange.connect(venue.connect_path())
    assert subscription is not None
    request = venue.subscriptions([symbol])[0].replace(b"orderbook.200", b"orderbook.%d" % depth)
    answers = exchange.request(subscription, request.replace(b'"depth":1000', b'"depth":%d' % depth), books)
    held: list[dict[str, str]] = [{}, {}]
    ids: list[int] = []

    def hear(raw: bytes) -> None:
        message = venue.decode(raw)
        if isinstance(message, Depth | Snapshot):
            ids.append(message.last)
            for side, levels in enumerate((message.bids, message.asks)):
                if isinstance(message, Snapshot):
                    held[side].clear()
                held[side].update((price, quantity) for price, quantity, *_ in levels)
                for price in [price for price, quantity in held[side].items() if float(quantity) == 0]:
                    del held[side][price]
                if name == "kraken":
                    for price in sorted(held[side], key=float, reverse=side == 0)[depth:]:
                        del held[side][price]

    for answer in answers:
        hear(answer)
    told = 0
    for item in itertools.islice(tape.play(), 500):
        assert not isinstance(item.message, bytes)
        if not isinstance(item.message, Depth):
            continue
        books[symbol].apply(item.message)
        raw = exchange.deliver(subscription, exchange.encode(item.message, books[symbol]), symbol)
        if raw is not None:
            told += 1
            hear(raw)
        assert [sorted(side.items()) for side in held] == [sorted(side) for side in books[symbol].levels(depth)]
    assert 50 < told < 500
    if name != "kraken":
        assert ids == list(range(ids[0], ids[0] + len(ids)))


@pytest.mark.parametrize("name", ["binance", "binance-usdm"])
def test_a_stream_of_a_short_book_is_the_best_levels(name: str) -> None:
    exchange = exchange_of(name, {"AUSDT": Scale(2, 5)})
    exchange.books = BOOKS
    subscription = exchange.connect("/ws/ausdt@depth5@100ms")
    assert subscription is not None
    raw = exchange.encode(Depth("AUSDT", 6, 7, None, 0, [("9.00", "1")], []), BOOKS["AUSDT"])
    told = orjson.loads(exchange.deliver(subscription, raw, "AUSDT") or b"")
    bids, asks = [["10.00", "2"], ["9.00", "1"]], [["11.00", "3"], ["12.00", "4"]]
    if name == "binance":
        assert told == {"lastUpdateId": 7, "bids": bids, "asks": asks}
    else:
        assert (told["e"], told["u"], told["b"], told["a"]) == ("depthUpdate", 7, bids, asks)
    assert exchange.deliver(subscription, raw.replace(b"ausdt@depth", b"busdt@depth"), "BUSDT") is None


@pytest.mark.parametrize("path", ["/public/stream", "/public/ws/ausdt@depth", "/market/stream", "/stream"])
def test_usdm_streams_by_their_routed_paths(path: str) -> None:
    assert exchange_of("binance-usdm", {}).connect(path) is not None
    assert (exchange_of("binance", {}).connect(path) is None) == (path != "/stream")


@pytest.mark.parametrize("name", ["bybit-spot", "kraken"])
def test_a_depth_that_the_venue_does_not_have_is_refused(name: str) -> None:
    venue, exchange = get(name), exchange_of(name, synthetic(name, 1, 100, 6).scales)
    request = venue.subscriptions(list(exchange.scales))[0]
    subscription = Subscription(set())
    (answer,) = exchange.request(subscription, request.replace(b".200.", b".7.").replace(b":1000", b":7"), {})
    assert isinstance(venue.decode(answer), Refused)
    assert subscription.streams == set()
