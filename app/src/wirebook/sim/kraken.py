"""How Kraken's v2 API speaks: channel `book`, snapshots in the stream, a checksum instead of numbers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Any
from zlib import crc32

import orjson

from wirebook.sim.exchange import Books, InBand, Subscription, query_of, step
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.window import Window
from wirebook.venues.base import Depth, Levels, Scale, Ticker

_CHECKED_LEVELS = 10
_DEPTH = 1000
_TIME = "2026-01-01T00:00:00.000000Z"
_LEGACY = {"USD": "ZUSD", "EUR": "ZEUR", "GBP": "ZGBP", "XBT": "XXBT", "ETH": "XETH", "XDG": "XXDG"}


class KrakenExchange(InBand):
    """Spot."""

    numbered = False
    checked = True
    pattern = "SYN{}/USD"
    path = "/v2"
    most_levels = 800
    depths = (10, 25, 100, 500, 1000)
    tells_leaving = False

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        super().__init__(scales)
        self._time_ns = 0
        """Of the last event."""

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:  # noqa: ARG002
        """The list of all pairs."""
        path, _ = query_of(target)
        if path == "/0/public/Time":
            return 200, _answer({"unixtime": int(time.time()), "rfc1123": formatdate(usegmt=True)})
        if path == "/0/public/SystemStatus":
            return 200, _answer({"status": "online", "timestamp": _TIME})
        if path == "/0/public/Assets":
            names = dict.fromkeys(asset for name in self.scales for asset in name.split("/"))
            return 200, _answer({_legacy(name): _asset(name) for name in names})
        if path != "/0/public/AssetPairs":
            return 404, b""
        return 200, _answer({name.replace("/", ""): self._pair(name) for name in self.scales})

    def _pair(self, name: str) -> dict[str, Any]:
        """An entry of AssetPairs, with the fields that the venue's documentation names."""
        base, quote = name.split("/")
        price, quantity = self.scales[name]
        return {
            "altname": name.replace("/", ""), "wsname": name, "aclass_base": "currency", "base": _legacy(base),
            "aclass_quote": "currency", "quote": _legacy(quote), "lot": "unit", "cost_decimals": 5,
            "pair_decimals": price, "lot_decimals": quantity, "lot_multiplier": 1, "leverage_buy": [],
            "leverage_sell": [], "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD",
            "margin_call": 80, "margin_stop": 40, "ordermin": step(quantity), "costmin": "0.5",
            "tick_size": step(price), "status": self._status(name),
        }  # fmt: skip

    def _status(self, name: str) -> str:
        return "maintenance" if name in self.halted else "online"

    def _pairs(self, kind: str, names: Iterable[str]) -> bytes:
        """A message of the channel `instrument`."""
        pairs = []
        for name in names:
            price, quantity = self.scales[name]
            base, quote = name.split("/")
            pairs.append(
                {
                    "symbol": name, "base": base, "quote": quote, "status": self._status(name), "has_index": False,
                    "marginable": False, "cost_precision": 5, "cost_min": 0.5, "qty_precision": quantity,
                    "qty_increment": 10**-quantity, "qty_min": 10**-quantity, "price_precision": price,
                    "price_increment": 10**-price,
                }
            )  # fmt: skip
        return orjson.dumps({"channel": "instrument", "type": kind, "data": {"assets": [], "pairs": pairs}})

    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        message = orjson.loads(text)
        method = message["method"]
        # a client's number of its request comes back in the answer
        echo = {"req_id": message["req_id"]} if "req_id" in message else {}
        if method == "ping":
            return [orjson.dumps({"method": "pong", **echo, "time_in": _TIME, "time_out": _TIME})]
        if method not in ("subscribe", "unsubscribe"):
            return [self.refusal(f"unknown method {method}")]
        params, subscribe = message["params"], method == "subscribe"
        times = {"success": True, "time_in": _TIME, "time_out": _TIME, **echo}
        if params["channel"] == "instrument":
            (subscription.channels.add if subscribe else subscription.channels.discard)("instrument")
            answer = orjson.dumps({"method": method, "result": {"channel": "instrument", "snapshot": True}, **times})
            return [answer, self._pairs("snapshot", self.scales)] if subscribe else [answer]
        if params["channel"] != "book":
            return [self.refusal(f"this simulation has no channel {params['channel']}")]
        depth = params.get("depth", self.depths[0])
        if depth not in self.depths:
            return [self.refusal("Depth not valid")]
        result = {"channel": "book", "depth": depth, "snapshot": True}
        return self.change(
            subscription, subscribe, params["symbol"], books,
            lambda name: orjson.dumps({"method": method, "result": {**result, "symbol": name}, **times}),
            depth,
        )  # fmt: skip

    def refusal(self, why: str) -> bytes:
        """Return the answer to a request that can't be fulfilled."""
        return orjson.dumps({"method": "subscribe", "success": False, "error": why})

    def heartbeat(self, subscription: Subscription) -> bytes | None:  # noqa: ARG002
        """About every second, as the venue does."""
        return b'{"channel":"heartbeat"}'

    def greeting(self) -> bytes:
        """The status of the trading engine."""
        return _status("online")

    def notice(self, subscription: Subscription) -> bytes:  # noqa: ARG002
        """Maintenance, by the channel that everybody hears."""
        return _status("maintenance")

    def refuse(self, seconds: float, banned: bool) -> tuple[int, bytes]:  # noqa: ARG002
        """An error in the body: the HTTP status says nothing here."""
        return 200, b'{"error":["EGeneral:Too many requests"]}'

    def status(self, subscription: Subscription, name: str) -> bytes | None:
        """A pair's definition anew, for those who subscribed to the channel `instrument`."""
        return self._pairs("update", [name]) if "instrument" in subscription.channels else None

    def snapshot(self, subscription: Subscription, name: str, book: ReferenceBook) -> bytes:
        """The message of a whole book."""
        return self._message("snapshot", name, *book.levels(subscription.depths.get(name, _DEPTH)), book)

    def part(self, name: str, window: Window, bids: Levels, asks: Levels) -> bytes:  # noqa: ARG002
        """The change of a book with fewer levels; the checksum is of the best ten, whatever was subscribed to."""
        return self._message("update", name, bids, asks, self.books[name])

    def encode(self, message: Depth | Ticker, book: ReferenceBook) -> bytes:
        """An update; there are no tickers on this channel."""
        if isinstance(message, Ticker):
            return b""
        self._time_ns = message.exchange_ns
        return self._message("update", message.instrument, message.bids, message.asks, book)

    def _message(self, kind: str, name: str, bids: Levels, asks: Levels, book: ReferenceBook) -> bytes:
        # Written by hand: JSON libraries would take the trailing zeros off the numbers.
        sides = [",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in side) for side in (bids, asks)]
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{name}","bids":[{sides[0]}],"asks":[{sides[1]}],'
            f'"checksum":{_checksum(book)},"timestamp":"{_rfc3339(self._time_ns)}"}}]}}'
        ).encode()


def _answer(result: dict[str, Any]) -> bytes:
    return orjson.dumps({"error": [], "result": result})


def _legacy(asset: str) -> str:
    """Return an asset's own name in REST."""
    return _LEGACY.get(asset, asset)


def _asset(name: str) -> dict[str, Any]:
    return {"aclass": "currency", "altname": name, "decimals": 10, "display_decimals": 5, "status": "enabled"}


def _rfc3339(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06}Z"


def _status(system: str) -> bytes:
    data = {"version": "2.0.10", "system": system, "api_version": "v2", "connection_id": 1}
    return orjson.dumps({"channel": "status", "type": "update", "data": [data]})


def _checksum(book: ReferenceBook) -> int:
    bids, asks = book.levels(_CHECKED_LEVELS)
    return crc32("".join(text.replace(".", "").lstrip("0") for row in (*asks, *bids) for text in row).encode())
