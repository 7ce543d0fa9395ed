"""How Binance's APIs speak, spot and futures: REST answers, stream names, SUBSCRIBE."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from wirebook.sim.exchange import Books, Exchange, Subscription, assets, query_of
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import Depth, Levels, Scale, Ticker

_STREAM = b'{"stream":"'
_PARTIAL = (5, 10, 20)
"""Levels that the streams of whole, short books have."""
_ORDER_TYPES = ["LIMIT", "MARKET"]
_LIMITS = {
    False: [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 6000}],
    True: [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}],
}
"""Keyed by whether it is futures."""


class BinanceExchange(Exchange):
    """The venue's side of the protocol. `api` is the REST path of the market: `/api/v3` is spot's."""

    padded = True

    def __init__(self, scales: Mapping[str, Scale], api: str = "/api/v3", pattern: str = "SYN{}USDT") -> None:
        super().__init__(scales)
        self.pattern = pattern
        self._api = api
        self._futures = api != "/api/v3"

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:
        """HTTP status and body for a GET of `target`; `books` are what the venue's books are now."""
        path, query = query_of(target)
        if path == f"{self._api}/ping":
            return 200, b"{}"
        if path == f"{self._api}/time":
            return 200, orjson.dumps({"serverTime": _now()})
        if path == f"{self._api}/exchangeInfo":
            return self._exchange_info(query)
        if path == f"{self._api}/depth":
            book = books.get(query.get("symbol", ""))
            limit = query.get("limit", "100")
            if book is None:
                return 400, b'{"code":-1121,"msg":"Invalid symbol."}'
            if not limit.isdigit() or not 1 <= int(limit) <= 5000:
                return 400, b'{"code":-1130,"msg":"Data sent for parameter \'limit\' is not valid."}'
            bids, asks = book.levels(int(limit))
            times = {"E": 0, "T": 0} if self._futures else {}
            last = self.told_id(query["symbol"], book.last)
            return 200, orjson.dumps({"lastUpdateId": last, **times, "bids": bids, "asks": asks})
        return 404, b'{"code":-1,"msg":"Not Found"}'

    def depth_symbol(self, target: str) -> str | None:
        """The instrument whose book a GET of `target` asks for."""
        parts = urlsplit(target)
        names = parse_qs(parts.query).get("symbol")
        return names[-1] if names and parts.path == f"{self._api}/depth" else None

    def connect(self, target: str) -> Subscription | None:
        """The subscription that a WebSocket path stands for, None if there is nothing at that path."""
        parts = urlsplit(target)
        path = parts.path
        if self._api == "/fapi/v1":  # USD-M's streams are routed, the old paths still work
            path = path.removeprefix("/public").removeprefix("/market")
        if path == "/stream":
            names = parse_qs(parts.query).get("streams", [""])[-1]
            return Subscription({name for name in names.split("/") if name})
        if path == "/ws" or path.startswith("/ws/"):
            return Subscription({name for name in path[4:].split("/") if name}, wrapped=False)
        return None

    def request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:  # noqa: ARG002
        """Carry out a client's message and return the answer to it."""
        try:
            message = orjson.loads(text)
            method, params, number = message["method"], message.get("params", []), message["id"]
        except (ValueError, KeyError, TypeError, AttributeError):
            return [b'{"code":2,"msg":"Invalid request: expected method, params and id"}']
        if not isinstance(params, list) or not all(isinstance(name, str) for name in params):
            return [orjson.dumps({"code": 2, "msg": "Invalid request: params must be text", "id": number})]
        result: list[str] | None = None
        if method == "SUBSCRIBE":
            subscription.streams.update(params)
        elif method == "UNSUBSCRIBE":
            subscription.streams.difference_update(params)
        elif method == "LIST_SUBSCRIPTIONS":
            result = sorted(subscription.streams)
        else:
            return [orjson.dumps({"code": 2, "msg": f"Invalid request: unknown method {method}", "id": number})]
        return [orjson.dumps({"result": result, "id": number})]

    def encode(self, message: Depth | Ticker, book: ReferenceBook | None = None) -> bytes:  # noqa: ARG002
        """The combined stream's text of a message."""
        name = message.instrument.lower()
        last = self.told_id(message.instrument, message.last)
        if isinstance(message, Ticker):
            (bid, bid_quantity), (ask, ask_quantity) = message.bid, message.ask
            data: dict[str, int | str | Levels] = {
                "u": last, "s": message.instrument, "b": bid, "B": bid_quantity, "a": ask, "A": ask_quantity
            }  # fmt: skip
            return orjson.dumps({"stream": f"{name}@bookTicker", "data": data})
        milliseconds = message.exchange_ns // 1_000_000
        # Ids of futures are the whole exchange's: only pu chains them.
        first = self.told_id(message.instrument, message.first)
        more = {"T": milliseconds, "pu": first - 1} if self._futures else {}
        data = {
            "e": "depthUpdate", "E": milliseconds, "s": message.instrument,
            "U": first, "u": last, **more, "b": message.bids, "a": message.asks,
        }  # fmt: skip
        return orjson.dumps({"stream": f"{name}@depth@100ms", "data": data})

    def deliver(self, subscription: Subscription, raw: bytes, instrument: str | None = None) -> bytes | None:
        """Return what a subscriber gets of a combined stream's message; None if it isn't subscribed to it."""
        end = raw.find(b'"', len(_STREAM))
        if not raw.startswith(_STREAM):
            return None
        wanted = {_unpaced(stream): stream for stream in subscription.streams}
        name = _unpaced(raw[len(_STREAM) : end].decode())
        stream = wanted.get(name)
        data = raw[raw.index(b'"data":', end) + 7 : -1]
        if stream is None and name.endswith("@depth") and instrument is not None:
            levels = next((each for each in _PARTIAL if f"{name}{each}" in wanted), None)
            if levels is not None:
                stream = wanted[f"{name}{levels}"]
                data = self._partial(instrument, data, levels)
        if stream is None:
            return None
        if not subscription.wrapped:
            return data
        return b'%b%b","data":%b}' % (_STREAM, stream.encode(), data)  # by the name that it was asked for

    def _partial(self, instrument: str, event: bytes, most: int) -> bytes:
        """The message of a partial book depth stream: the best levels as they are after an event."""
        book = self.books[instrument]
        bids, asks = book.levels(most)
        if self._futures:
            return orjson.dumps({**orjson.loads(event), "b": bids, "a": asks})
        return orjson.dumps({"lastUpdateId": self.told_id(instrument, book.last), "bids": bids, "asks": asks})

    def notice(self, subscription: Subscription) -> bytes:
        """The event that announces the end of all connections."""
        event = {"e": "serverShutdown", "E": _now()}
        return orjson.dumps({"stream": "!serverShutdown", "data": event} if subscription.wrapped else event)

    def refuse(self, seconds: float, banned: bool) -> tuple[int, bytes]:
        """Return 429 for too many requests, 418 for a ban, which says how long it lasts."""
        if not banned:
            return 429, b'{"code":-1003,"msg":"Too many requests"}'
        until = round((time.time() + seconds) * 1000)
        why = f"Way too much request weight used; IP banned until {until}."
        text = f"{why} Please use WebSocket Streams for live updates to avoid bans."
        return 418, orjson.dumps({"code": -1003, "msg": text})

    def _exchange_info(self, query: dict[str, str]) -> tuple[int, bytes]:
        try:
            asked = orjson.loads(query["symbols"]) if "symbols" in query else None
        except orjson.JSONDecodeError:
            return 400, b'{"code":-1100,"msg":"Illegal characters found in parameter \'symbols\'."}'
        if asked is None:
            asked = [query["symbol"]] if "symbol" in query else list(self.scales)
        if not all(name in self.scales for name in asked):
            return 400, b'{"code":-1121,"msg":"Invalid symbol."}'
        head = {"timezone": "UTC", "serverTime": _now(), "rateLimits": _LIMITS[self._futures], "exchangeFilters": []}
        return 200, orjson.dumps({**head, "symbols": [self._definition(name) for name in asked]})

    def _definition(self, name: str) -> dict[str, Any]:
        """An entry of exchangeInfo, with the fields that the venue's documentation names."""
        price, quantity = self.scales[name]
        tick, step = (f"{10**-decimals:.8f}" for decimals in (price, quantity))
        base, quote = assets(name)
        status = "BREAK" if name in self.halted else "TRADING"
        entry = {
            "symbol": name, "baseAsset": base, "quoteAsset": quote, "baseAssetPrecision": 8, "quotePrecision": 8,
            "filters": [
                {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
                {"filterType": "LOT_SIZE", "minQty": step, "maxQty": "9000000.00000000", "stepSize": step},
                {"filterType": "MARKET_LOT_SIZE", "minQty": step, "maxQty": "9000000.00000000", "stepSize": step},
            ],
        }  # fmt: skip
        if not self._futures:
            return entry | {
                "status": status, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
                "orderTypes": _ORDER_TYPES, "icebergAllowed": True, "ocoAllowed": True, "otoAllowed": True,
                "quoteOrderQtyMarketAllowed": True, "allowTrailingStop": True, "cancelReplaceAllowed": True,
                "isSpotTradingAllowed": True, "isMarginTradingAllowed": False,
                "permissions": [], "permissionSets": [["SPOT"]],
                "defaultSelfTradePreventionMode": "EXPIRE_MAKER", "allowedSelfTradePreventionModes": ["EXPIRE_MAKER"],
            }  # fmt: skip
        coin = self._api == "/dapi/v1"
        kind = "PERPETUAL" if not coin or name.endswith("_PERP") else "CURRENT_QUARTER"
        return entry | {
            "pair": name.partition("_")[0], "contractType": kind, "deliveryDate": 4133404800000,
            "onboardDate": 1569398400000, "marginAsset": base if coin else quote,
            "pricePrecision": price, "quantityPrecision": quantity,
            "underlyingType": "COIN", "underlyingSubType": [], "triggerProtect": "0.0500",
            "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000", "liquidationFee": "0.012500",
            "marketTakeBound": "0.05", "orderTypes": _ORDER_TYPES, "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
            **({"contractStatus": status, "contractSize": 10} if coin else {"status": status}),
        }  # fmt: skip


def _unpaced(stream: str) -> str:
    """Return a stream's name without its speed: a recording may have another one than the subscription."""
    return "@".join(stream.split("@")[:2])


def _now() -> int:
    return time.time_ns() // 1_000_000
