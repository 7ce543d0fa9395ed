"""How OKX's v5 API speaks: channel `books`, snapshots in the stream, events chained by seqId and prevSeqId."""

from __future__ import annotations

import time
from itertools import zip_longest
from typing import Any
from zlib import crc32

import orjson

from wirebook.sim.exchange import Books, InBand, Subscription, query_of, shortest, step
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import UNNUMBERED, Depth, Levels, Ticker

_CHECKED_LEVELS = 25
_KINDS = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")


class OkxExchange(InBand):
    """All products."""

    checked = True
    pattern = "SYN{}-USDT"
    path = "/ws/v5/public"
    most_levels = 300

    def connect(self, target: str) -> Subscription | None:
        """A connection that has asked for nothing yet. The venue has candles and such at a path of their own."""
        return super().connect(target.replace("/ws/v5/business", self.path, 1))

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:  # noqa: ARG002
        """Instrument definitions."""
        path, query = query_of(target)
        if path == "/api/v5/public/time":
            return 200, _answer([{"ts": str(time.time_ns() // 1_000_000)}])
        if path == "/api/v5/public/underlying":
            return 200, _answer([[]])
        if path != "/api/v5/public/instruments":
            return 404, b""
        kind, name = query.get("instType", ""), query.get("instId")
        if kind not in _KINDS:
            return 400, _answer([], "51000", "Parameter instType error")
        names = [one for one in self.scales if _kind(one) == kind and name in (None, one)]
        if name is not None and not names:
            return 200, _answer([], "51001", f"Instrument ID {name} doesn't exist.")
        return 200, _answer([self._definition(one) for one in names])

    def _definition(self, name: str) -> dict[str, Any]:
        """An instrument, with the fields that the venue's documentation names."""
        price, quantity = (step(decimals) for decimals in self.scales[name])
        base, quote, *_ = name.split("-")
        spot = _kind(name) == "SPOT"
        return {
            "instType": _kind(name), "instId": name, "uly": "" if spot else f"{base}-{quote}",
            "instFamily": "" if spot else f"{base}-{quote}", "baseCcy": base if spot else "",
            "quoteCcy": quote if spot else "", "settleCcy": "" if spot else quote, "ctVal": "" if spot else "0.01",
            "ctMult": "" if spot else "1", "ctValCcy": "" if spot else base, "ctType": "" if spot else "linear",
            "optType": "", "stk": "", "listTime": "1606468572000", "expTime": "", "lever": "10", "alias": "",
            "tickSz": price, "lotSz": quantity, "minSz": quantity, "maxLmtSz": "9999999999", "maxMktSz": "1000000",
            "ruleType": "normal", "state": "suspend" if name in self.halted else "live",
        }  # fmt: skip

    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        if text == b"ping":
            return [b"pong"]
        message = orjson.loads(text)
        op, arguments = message["op"], message["args"]
        if op == "login":  # whoever it is: there is nothing private here
            return [b'{"event":"login","code":"0","msg":"","connId":"sim"}']
        if op not in ("subscribe", "unsubscribe"):
            return [self.refusal(f"unknown op {op}")]
        answers: list[bytes] = []
        for argument in arguments:
            if argument["channel"] == "instruments":
                answers.append(orjson.dumps({"event": op, "arg": argument, "connId": "sim"}))
                (subscription.channels.add if op == "subscribe" else subscription.channels.discard)("instruments")
            elif argument["channel"] != "books":
                answers.append(self.refusal(f"this simulation has no channel {argument['channel']}"))
        names = [argument["instId"] for argument in arguments if argument["channel"] == "books"]
        return answers + self.change(
            subscription, op == "subscribe", names, books,
            lambda name: orjson.dumps({"event": op, "arg": {"channel": "books", "instId": name}, "connId": "sim"}),
        )  # fmt: skip

    def refusal(self, why: str) -> bytes:
        """Return the answer to a request that can't be fulfilled."""
        return orjson.dumps({"event": "error", "code": "60012", "msg": why, "connId": "sim"})

    def snapshot(self, subscription: Subscription, name: str, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """The message of a whole book; with a checksum where the recording has no ids."""
        bids, asks = book.levels(400)
        proof = {"checksum": 0, "prevSeqId": -1, "seqId": self.told_id(name, book.last)}
        if book.last == UNNUMBERED:
            proof = {"checksum": _checksum(bids, asks)}
        return self._message("snapshot", name, 0, bids, asks, proof)

    def notice(self, subscription: Subscription) -> bytes:  # noqa: ARG002
        """The notice of an upgrade of the service."""
        text = "The connection will soon be closed for a service upgrade. Please reconnect."
        return orjson.dumps({"event": "notice", "code": "64008", "msg": text, "connId": "sim"})

    def refuse(self, seconds: float, banned: bool) -> tuple[int, bytes]:  # noqa: ARG002
        """429 with the code of too many requests."""
        return 429, b'{"code":"50011","data":[],"msg":"Too Many Requests"}'

    def status(self, subscription: Subscription, name: str) -> bytes | None:
        """An instrument's definition anew, for those who subscribed to the channel `instruments`."""
        if "instruments" not in subscription.channels:
            return None
        argument = {"channel": "instruments", "instType": "SPOT"}
        return orjson.dumps({"arg": argument, "data": [self._definition(name)]})

    def encode(self, message: Depth | Ticker, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """An update; there are no tickers on this channel."""
        if isinstance(message, Ticker):
            return b""
        first, last = (self.told_id(message.instrument, number) for number in (message.first, message.last))
        proof = {"checksum": 0, "prevSeqId": first - 1, "seqId": last}
        return self._message("update", message.instrument, message.exchange_ns, message.bids, message.asks, proof)

    def _message(
        self, action: str, name: str, exchange_ns: int, bids: Levels, asks: Levels, proof: dict[str, int]
    ) -> bytes:
        sides = [
            [[price, shortest(quantity), "0", "1" if float(quantity) else "0"] for price, quantity, *_ in side]
            for side in (bids, asks)
        ]
        data = {"asks": sides[1], "bids": sides[0], "ts": str(exchange_ns // 1_000_000), **proof}
        return orjson.dumps({"arg": {"channel": "books", "instId": name}, "action": action, "data": [data]})


def _kind(name: str) -> str:
    """An instrument's type, which its name tells."""
    parts = name.split("-")
    return "SPOT" if len(parts) == 2 else "SWAP" if parts[2] == "SWAP" else "FUTURES" if len(parts) == 3 else "OPTION"


def _answer(data: list[Any], code: str = "0", text: str = "") -> bytes:
    return orjson.dumps({"code": code, "msg": text, "data": data})


def _checksum(bids: Levels, asks: Levels) -> int:
    parts = [
        f"{row[0]}:{row[1]}"
        for pair in zip_longest(bids[:_CHECKED_LEVELS], asks[:_CHECKED_LEVELS])
        for row in pair
        if row is not None
    ]
    value = crc32(":".join(parts).encode())
    return value - (1 << 32) if value >= 1 << 31 else value
