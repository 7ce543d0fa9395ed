"""How Bybit's v5 API speaks: topics `orderbook.DEPTH.SYMBOL`, snapshots in the stream, events numbered one by one."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from wirebook.sim.exchange import Books, InBand, Subscription, query_of, step
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import Depth, Levels, Scale, Ticker

_DEPTH = 200


class BybitExchange(InBand):
    """One product category."""

    pattern = "SYN{}USDT"
    most_levels = 150

    def __init__(self, scales: Mapping[str, Scale], category: str) -> None:
        super().__init__(scales)
        self.path = f"/v5/public/{category}"
        self._category = category
        self._numbers: dict[str, int] = {}
        """Of the events of made-up books: the market's own ids run on by more than one."""

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:  # noqa: ARG002
        """Instrument definitions."""
        path, query = query_of(target)
        if path != "/v5/market/instruments-info":
            return 404, b""
        name = query.get("symbol", "")
        if name not in self.scales:
            return 200, orjson.dumps({"retCode": 10001, "retMsg": "params error: symbol invalid", "result": {}})
        price, quantity = (step(decimals) for decimals in self.scales[name])
        lot = {"basePrecision" if self._category == "spot" else "qtyStep": quantity}
        entry = {"symbol": name, "priceFilter": {"tickSize": price}, "lotSizeFilter": lot}
        return 200, orjson.dumps({"retCode": 0, "result": {"category": self._category, "list": [entry]}})

    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        message = orjson.loads(text)
        op = message["op"]
        if op == "ping":
            return [b'{"success":true,"ret_msg":"pong","conn_id":"sim","op":"ping"}']
        if op not in ("subscribe", "unsubscribe"):
            return [self.refusal(f"unknown op {op}")]
        names = [topic.split(".")[2] for topic in message["args"]]
        return self.change(
            subscription, op == "subscribe", names, books,
            lambda _: orjson.dumps({"success": True, "ret_msg": "", "conn_id": "sim", "op": op}),
        )  # fmt: skip

    def refusal(self, why: str) -> bytes:
        """The answer to what can't be done."""
        return orjson.dumps({"success": False, "ret_msg": why, "conn_id": "sim", "op": "subscribe"})

    def snapshot(self, subscription: Subscription, name: str, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """The message of a whole book."""
        # What was made up has numbers of its own; a recording has the venue's.
        number = self._numbers.get(name, book.last)
        return self._message("snapshot", name, number, 0, *book.levels(_DEPTH))

    def encode(self, message: Depth | Ticker, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """A delta; there are no tickers on this channel."""
        if isinstance(message, Ticker):
            return b""
        # The first snapshot had the id of the market at the start.
        number = self._numbers.get(message.instrument, message.first - 1) + 1
        self._numbers[message.instrument] = number
        return self._message("delta", message.instrument, number, message.exchange_ns, message.bids, message.asks)

    def _message(self, kind: str, name: str, number: int, exchange_ns: int, bids: Levels, asks: Levels) -> bytes:
        milliseconds = exchange_ns // 1_000_000
        return orjson.dumps(
            {
                "topic": f"orderbook.{_DEPTH}.{name}",
                "type": kind,
                "ts": milliseconds,
                "data": {"s": name, "b": bids, "a": asks, "u": number, "seq": number},
                "cts": milliseconds,
            }
        )
