"""How OKX's v5 API speaks: channel `books`, snapshots in the stream, events chained by seqId and prevSeqId."""

from __future__ import annotations

from itertools import zip_longest
from zlib import crc32

import orjson

from wirebook.sim.exchange import Books, InBand, Subscription, query_of, step
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import UNNUMBERED, Depth, Levels, Ticker

_CHECKED_LEVELS = 25


class OkxExchange(InBand):
    """All products."""

    pattern = "SYN{}-USDT"
    path = "/ws/v5/public"
    most_levels = 300

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:  # noqa: ARG002
        """Instrument definitions."""
        path, query = query_of(target)
        if path != "/api/v5/public/instruments":
            return 404, b""
        name = query.get("instId", "")
        if name not in self.scales:
            return 200, orjson.dumps({"code": "51001", "msg": f"Instrument ID {name} doesn't exist.", "data": []})
        price, quantity = (step(decimals) for decimals in self.scales[name])
        return 200, orjson.dumps({"code": "0", "data": [{"instId": name, "tickSz": price, "lotSz": quantity}]})

    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        if text == b"ping":
            return [b"pong"]
        message = orjson.loads(text)
        op = message["op"]
        if op not in ("subscribe", "unsubscribe"):
            return [self.refusal(f"unknown op {op}")]
        names = [argument["instId"] for argument in message["args"]]
        return self.change(
            subscription, op == "subscribe", names, books,
            lambda name: orjson.dumps({"event": op, "arg": {"channel": "books", "instId": name}, "connId": "sim"}),
        )  # fmt: skip

    def refusal(self, why: str) -> bytes:
        """The answer to what can't be done."""
        return orjson.dumps({"event": "error", "code": "60012", "msg": why, "connId": "sim"})

    def snapshot(self, subscription: Subscription, name: str, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """The message of a whole book; with a checksum where the recording has no ids."""
        bids, asks = book.levels(400)
        proof = {"checksum": 0, "prevSeqId": -1, "seqId": book.last}
        if book.last == UNNUMBERED:
            proof = {"checksum": _checksum(bids, asks)}
        return self._message("snapshot", name, 0, bids, asks, proof)

    def encode(self, message: Depth | Ticker, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """An update; there are no tickers on this channel."""
        if isinstance(message, Ticker):
            return b""
        proof = {"checksum": 0, "prevSeqId": message.first - 1, "seqId": message.last}
        return self._message("update", message.instrument, message.exchange_ns, message.bids, message.asks, proof)

    def _message(
        self, action: str, name: str, exchange_ns: int, bids: Levels, asks: Levels, proof: dict[str, int]
    ) -> bytes:
        sides = [[[price, quantity, "0", "1"] for price, quantity, *_ in side] for side in (bids, asks)]
        data = {"asks": sides[1], "bids": sides[0], "ts": str(exchange_ns // 1_000_000), **proof}
        return orjson.dumps({"arg": {"channel": "books", "instId": name}, "action": action, "data": [data]})


def _checksum(bids: Levels, asks: Levels) -> int:
    parts = [
        f"{row[0]}:{row[1]}"
        for pair in zip_longest(bids[:_CHECKED_LEVELS], asks[:_CHECKED_LEVELS])
        for row in pair
        if row is not None
    ]
    value = crc32(":".join(parts).encode())
    return value - (1 << 32) if value >= 1 << 31 else value
