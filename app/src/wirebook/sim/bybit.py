"""How Bybit's v5 API speaks: topics `orderbook.DEPTH.SYMBOL`, snapshots in the stream, events numbered one by one."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

from wirebook.sim.exchange import Books, InBand, Subscription, assets, query_of, shortest, step
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.window import Window
from wirebook.venues.base import Depth, Levels, Scale, Ticker

_DEPTH = 200
_TOPIC = re.compile(rb'"topic":"orderbook\.\d+\.')
_CATEGORIES = ("spot", "linear", "inverse", "option")


class BybitExchange(InBand):
    """One product category."""

    pattern = "SYN{}USDT"
    most_levels = 150
    depths = (1, 50, 200, 1000)

    def __init__(self, scales: Mapping[str, Scale], category: str) -> None:
        super().__init__(scales)
        self.path = f"/v5/public/{category}"
        self._category = category
        self._numbers: dict[str, int] = {}
        """Numbers of the events of made-up books, since the market's own ids increase by more than one."""

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:  # noqa: ARG002
        """Instrument definitions."""
        path, query = query_of(target)
        if path == "/v5/market/time":
            return 200, _answer({"timeSecond": str(_now() // 1000), "timeNano": str(_now() * 1_000_000)})
        if path != "/v5/market/instruments-info":
            return 404, b""
        name, category = query.get("symbol"), query.get("category", "")
        if category not in _CATEGORIES:
            return 200, _answer({}, 10001, "params error: category invalid")
        if name is not None and (name not in self.scales or category != self._category):
            return 200, _answer({}, 10001, "params error: symbol invalid")
        names = [name] if name is not None else list(self.scales)
        entries = [self._definition(one) for one in names] if category == self._category else []
        return 200, _answer({"category": category, "list": entries, "nextPageCursor": ""})

    def _definition(self, name: str) -> dict[str, Any]:
        """An entry of instruments-info, with the fields that the venue's documentation names."""
        price, quantity = (step(decimals) for decimals in self.scales[name])
        base, quote = assets(name)
        entry = {"symbol": name, "baseCoin": base, "quoteCoin": quote, "status": "Trading"}
        if self._category == "spot":
            lot = {"basePrecision": quantity, "quotePrecision": "0.0000001", "minOrderQty": quantity,
                   "maxOrderQty": "1000000", "minOrderAmt": "1", "maxOrderAmt": "4000000"}  # fmt: skip
            return entry | {
                "innovation": "0", "marginTrading": "none", "stTag": "0", "lotSizeFilter": lot,
                "priceFilter": {"tickSize": price}, "riskParameters": {"priceLimitRatioX": "0.01"},
            }  # fmt: skip
        lot = {"qtyStep": quantity, "minOrderQty": quantity, "maxOrderQty": "1000000", "maxMktOrderQty": "1000000",
               "postOnlyMaxOrderQty": "1000000", "minNotionalValue": "5"}  # fmt: skip
        return entry | {
            "contractType": "LinearPerpetual", "launchTime": "1585526400000", "deliveryTime": "0",
            "deliveryFeeRate": "", "priceScale": str(self.scales[name].price_decimals),
            "leverageFilter": {"minLeverage": "1", "maxLeverage": "100.00", "leverageStep": "0.01"},
            "priceFilter": {"minPrice": price, "maxPrice": "1999999.80", "tickSize": price}, "lotSizeFilter": lot,
            "unifiedMarginTrade": True, "fundingInterval": 480, "settleCoin": quote, "copyTrading": "none",
            "upperFundingRate": "0.00375", "lowerFundingRate": "-0.00375", "isPreListing": False,
        }  # fmt: skip

    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        message = orjson.loads(text)
        op = message["op"]
        if op == "ping":
            return [b'{"success":true,"ret_msg":"pong","conn_id":"sim","op":"ping"}']
        if op not in ("subscribe", "unsubscribe"):
            return [self.refusal(f"unknown op {op}")]
        echo = {"req_id": message["req_id"]} if "req_id" in message else {}
        answers = [orjson.dumps({"success": True, "ret_msg": "", "conn_id": "sim", "op": op, **echo})]
        topics = [(topic, *topic.split(".")) for topic in message["args"]]
        for topic, kind, depth, name in topics:
            if kind != "orderbook" or int(depth) not in self.depths or name not in self.scales:
                return [self.refusal(f"error:handler not found,topic:{topic}")]  # the whole request is refused
        for _, _, depth, name in topics:
            answers += self.change(subscription, op == "subscribe", [name], books, None, int(depth))
        return answers

    def refusal(self, why: str) -> bytes:
        """Return the answer to a request that can't be fulfilled."""
        return orjson.dumps({"success": False, "ret_msg": why, "conn_id": "sim", "op": "subscribe"})

    def snapshot(self, subscription: Subscription, name: str, book: ReferenceBook) -> bytes:
        """The message of a whole book."""
        depth = subscription.depths.get(name, _DEPTH)
        return self._message("snapshot", name, self.last_id(name, book), 0, *book.levels(depth), depth)

    def deliver(self, subscription: Subscription, raw: bytes, instrument: str | None) -> bytes | None:
        """The message under the topic that was subscribed to."""
        message = super().deliver(subscription, raw, instrument)
        depth = subscription.depths.get(instrument or "", _DEPTH)
        if message is None or depth == _DEPTH or message is not raw:
            return message
        return _TOPIC.sub(b'"topic":"orderbook.%d.' % depth, message, count=1)

    def last_id(self, name: str, book: ReferenceBook) -> int:
        """Made-up traffic gets numbers of its own; a recording has the venue's."""
        return self._numbers.get(name, book.last)

    def part(self, name: str, window: Window, bids: Levels, asks: Levels) -> bytes:
        """The change of a book with fewer levels: each depth has numbers of its own. One level comes whole."""
        if window.depth == 1:
            return self._message("snapshot", name, window.number, 0, *self.books[name].levels(1), 1)
        return self._message("delta", name, window.number, 0, bids, asks, window.depth)

    def refuse(self, seconds: float, banned: bool) -> tuple[int, bytes]:  # noqa: ARG002
        """Return 403 for an address with too many requests, for ten minutes; otherwise `retCode` 10006."""
        if banned:
            return 403, b"403, access too frequent"
        return 429, b'{"retCode":10006,"retMsg":"Too many visits. Exceeded the API Rate Limit.","result":{}}'

    def restart_ids(self, name: str, last: int) -> None:  # noqa: ARG002
        """The next event is number 1."""
        self._numbers[name] = 0

    def encode(self, message: Depth | Ticker, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """A delta; there are no tickers on this channel."""
        if isinstance(message, Ticker):
            return b""
        # The first snapshot had the id of the market at the start.
        number = self._numbers.get(message.instrument, message.first - 1) + 1
        self._numbers[message.instrument] = number
        return self._message("delta", message.instrument, number, message.exchange_ns, message.bids, message.asks)

    def _message(
        self, kind: str, name: str, number: int, exchange_ns: int, bids: Levels, asks: Levels, depth: int = _DEPTH
    ) -> bytes:
        milliseconds = exchange_ns // 1_000_000
        bids, asks = ([[price, shortest(quantity)] for price, quantity, *_ in side] for side in (bids, asks))
        return orjson.dumps(
            {
                "topic": f"orderbook.{depth}.{name}",
                "type": kind,
                "ts": milliseconds,
                "data": {"s": name, "b": bids, "a": asks, "u": number, "seq": number},
                "cts": milliseconds,
            }
        )


def _now() -> int:
    return time.time_ns() // 1_000_000


def _answer(result: dict[str, Any], code: int = 0, text: str = "OK") -> bytes:
    return orjson.dumps({"retCode": code, "retMsg": text, "result": result, "retExtInfo": {}, "time": _now()})
