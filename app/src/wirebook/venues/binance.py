"""Binance: depth events numbered by U (first) and u (last), the snapshot by REST.

Spot (binance-spot-api-docs, web-socket-streams.md, "How to manage a local order book correctly"): buffer events; take
a snapshot with last id L; drop events with u <= L; the first one applied must have U <= L + 1 <= u; after it each
event's U must be the previous one's u + 1; else start over with a new snapshot.

Futures (developers.binance.com, derivatives, "How to manage a local order book correctly"): ids are those of the whole
exchange, so U says nothing. Drop events with u < L; the first one applied must have U <= L <= u; after it each event's
pu must be the previous one's u. A snapshot that ends where an event does is continued by the next one's pu already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final
from urllib.parse import quote

import orjson

from wirebook.core.decode.binance import BinanceFuturesScanner, BinanceScanner
from wirebook.core.decode.sequence import Links, Ranges
from wirebook.venues.base import (
    Depth,
    Ignored,
    Instrument,
    Leaving,
    MalformedError,
    Message,
    Refused,
    Scale,
    Snapshot,
    Ticker,
    Unknown,
    Venue,
    decimals_of,
    defined,
)
from wirebook.venues.fields import chunks, cut, json_object, levels, mapping, milliseconds, number, text

_FINER_THAN_STEP = 3


class _Binance(Venue):
    """What spot and futures have in common."""

    streams_per_connection = 1024
    snapshots_in_band = False
    connect_seconds = 1.0
    """300 attempts in five minutes are allowed."""
    snapshot_levels = 1000
    lifetime_seconds = 23.5 * 3600
    """The venue cuts a connection after 24 hours."""
    warns = True
    used_weight_header = "x-mbx-used-weight-1m"

    _api: str
    """REST path of the market."""
    _has_previous: bool
    """Each depth event names the last id of the one before it."""
    _streams_per_message = 200
    _weights: ClassVar[Mapping[int, float]]
    """Of a depth request, by the most levels that it may ask for at that price."""
    _definitions_weight: float

    def connect_path(self) -> str:
        """Appended to the WebSocket base URL: the combined stream, whose messages say which stream they are of."""
        return "/stream"

    def subscriptions(self, names: Sequence[str]) -> list[bytes]:
        """SUBSCRIBE messages."""
        streams = [f"{name.lower()}@depth@100ms" for name in names]
        return [
            orjson.dumps({"method": "SUBSCRIBE", "params": chunk, "id": count})
            for count, chunk in enumerate(chunks(streams, self._streams_per_message), 1)
        ]

    def instruments(self, body: bytes) -> Mapping[str, Scale]:
        """Decimals of the prices from tickSize, of the quantities from stepSize and the asset's own precision.

        Quantities finer than stepSize occur: orders from before it was made coarser stay in the book (recorded: six
        decimals where stepSize has five). The asset's full precision would overflow 63 bits for cheap coins, so it is
        three decimals beyond stepSize's at most.
        """
        try:
            return defined(orjson.loads(body)["symbols"], lambda entry: (entry["symbol"], _scale(entry)))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedError(f"not an exchangeInfo answer: {cut(body)}") from error

    def snapshot_path(self, name: str) -> str:
        """REST path of an instrument's book."""
        return f"{self._api}/depth?symbol={quote(name)}&limit={self.snapshot_levels}"

    def weight(self, path: str) -> float:
        """As the venue documents it for each request."""
        if "/depth?" not in path:
            return self._definitions_weight
        asked = int(path.rpartition("limit=")[2])
        return next((weight for most, weight in self._weights.items() if asked <= most), max(self._weights.values()))

    def scanner(self, instruments: Sequence[Instrument]) -> BinanceScanner:
        """The fast decoder of `depthUpdate`."""
        return (BinanceFuturesScanner if self._has_previous else BinanceScanner)(instruments)

    def decode(self, raw: bytes) -> Message:
        """Any message of the stream, or a REST depth answer. Raises MalformedError."""
        message = json_object(raw)
        data = mapping(message.get("data", message)) if "stream" in message else message
        try:
            return self._message(data)
        except KeyError as error:
            raise MalformedError(f"the field {error} is missing") from error

    def _message(self, data: dict[str, Any]) -> Message:
        kind = data.get("e")
        if kind == "depthUpdate":
            first, last = number(data["U"]), number(data["u"])
            if first > last:
                raise MalformedError(f"U {first} is greater than u {last}")
            previous = number(data["pu"]) if self._has_previous else None
            sides = levels(data["b"]), levels(data["a"])
            return Depth(text(data["s"]), first, last, previous, milliseconds(data["E"]), *sides)
        if "lastUpdateId" in data:
            exchange_ns = milliseconds(data["E"]) if "E" in data else 0
            sides = levels(data["bids"]), levels(data["asks"])
            name = text(data["symbol"]) if "symbol" in data else None  # COIN-M's answers have it, and recordings
            return Snapshot(name, number(data["lastUpdateId"]), exchange_ns, *sides)
        if kind in (None, "bookTicker") and {"u", "s", "b", "B", "a", "A"} <= data.keys():
            bid, ask = (text(data["b"]), text(data["B"])), (text(data["a"]), text(data["A"]))
            return Ticker(text(data["s"]), number(data["u"]), bid, ask)
        if kind == "serverShutdown":
            return Leaving("the server will be shut down")
        if kind == "trade" or ("result" in data and data["result"] is None):
            return Ignored()
        if "error" in data or ("code" in data and "msg" in data):
            return Refused(str(data.get("error", data.get("msg"))))
        return Unknown(str(kind) if kind is not None else ",".join(sorted(data)))


class BinanceSpot(_Binance):
    """Spot, by the combined stream and `depth@100ms`."""

    name = "binance"
    websocket = "wss://stream.binance.com:9443"
    rest = "https://api.binance.com"
    rule = Ranges()
    send_seconds = 0.25
    """Five messages a second are allowed, the pongs among them."""
    rest_limit = 6000.0
    """A snapshot of 1,000 levels has weight 50."""

    _api = "/api/v3"
    _has_previous = False
    _weights: ClassVar[Mapping[int, float]] = {100: 5.0, 500: 25.0, 1000: 50.0, 5000: 250.0}
    _definitions_weight = 20.0
    names_per_request = 100

    def instruments_paths(self, names: Sequence[str]) -> list[str]:
        """Requests of exchangeInfo, a hundred instruments each so that the URL stays short."""
        return [
            f"{self._api}/exchangeInfo?symbols={quote(orjson.dumps(list(chunk)).decode())}"
            for chunk in chunks(names, self.names_per_request)
        ]


class BinanceFutures(_Binance):
    """Futures: USD-M (fapi) and COIN-M (dapi) differ in their addresses alone."""

    rule = Links()
    send_seconds = 0.125
    """Ten messages a second are allowed, the pongs among them."""
    rest_limit = 2400.0
    """A snapshot of 1,000 levels has weight 20."""

    _has_previous = True
    _weights: ClassVar[Mapping[int, float]] = {50: 2.0, 100: 5.0, 500: 10.0, 1000: 20.0}
    _definitions_weight = 1.0

    def __init__(self, name: str, websocket: str, rest: str, api: str) -> None:
        self.name = name
        self.websocket = websocket
        self.rest = rest
        self._api = api
        self._routed = api == "/fapi/v1"

    def connect_paths(self) -> Sequence[str]:
        """USD-M's streams of books are routed below /public; the path without it is the older one."""
        return ["/public/stream", "/stream"] if self._routed else ["/stream"]

    def instruments_paths(self, names: Sequence[str]) -> list[str]:  # noqa: ARG002
        """The one request of exchangeInfo: here it takes no list of instruments."""
        return [f"{self._api}/exchangeInfo"]


def _scale(entry: dict[str, Any]) -> Scale:
    tick = _filter(entry, "PRICE_FILTER")["tickSize"]
    step = _filter(entry, "LOT_SIZE")["stepSize"]
    return Scale(decimals_of(tick), min(int(entry["baseAssetPrecision"]), decimals_of(step) + _FINER_THAN_STEP))


def _filter(entry: dict[str, Any], kind: str) -> dict[str, str]:
    for candidate in entry["filters"]:
        if candidate["filterType"] == kind:
            return dict(candidate)
    raise KeyError(kind)


_USDM = BinanceFutures("binance-usdm", "wss://fstream.binance.com", "https://fapi.binance.com", "/fapi/v1")
_COINM = BinanceFutures("binance-coinm", "wss://dstream.binance.com", "https://dapi.binance.com", "/dapi/v1")

VENUES: Final[dict[str, Venue]] = {venue.name: venue for venue in (BinanceSpot(), _USDM, _COINM)}
