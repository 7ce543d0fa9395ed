"""How Coinbase's Advanced Trade API speaks: channel `level2`, snapshots in the stream, numbers of the connection."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from weakref import WeakSet

import orjson

from wirebook.sim.exchange import Books, InBand, Subscription, shortest, step
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import Depth, Levels, Scale, Ticker

_NUMBER = re.compile(rb'"sequence_num":\d+')
"""Of the connection that a message is sent on, whatever it was where it was made up or recorded."""


class CoinbaseExchange(InBand):
    """Spot and futures."""

    pattern = "SYN{}-USD"
    path = ""

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        super().__init__(scales)
        self._connections: WeakSet[Subscription] = WeakSet()
        self._beats = 0

    def connect(self, target: str) -> Subscription | None:
        """A connection that has asked for nothing yet."""
        subscription = super().connect(target)
        if subscription is not None:
            self._connections.add(subscription)
        return subscription

    def restart_ids(self, name: str, last: int) -> None:  # noqa: ARG002
        """Here it is connections whose messages are numbered."""
        for subscription in self._connections:
            subscription.sent = 0

    def refuse(self, seconds: float, banned: bool) -> tuple[int, bytes]:  # noqa: ARG002
        """429 in words."""
        return 429, b'{"error":"RESOURCE_EXHAUSTED","message":"Too many requests","error_details":"rate limited"}'

    def status(self, subscription: Subscription, name: str) -> bytes | None:
        """A product anew, for those who subscribed to the channel `status`."""
        if "status" not in subscription.channels:
            return None
        return self._numbered(subscription, self._products("update", [name]))

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:  # noqa: ARG002
        """The products that are asked for, those that there are."""
        parts = urlsplit(target)
        if parts.path != "/api/v3/brokerage/market/products":
            return 404, b""
        asked = parse_qs(parts.query).get("product_ids", list(self.scales))
        products = [self._product(name) for name in asked if name in self.scales]
        return 200, orjson.dumps({"products": products, "num_products": len(products)})

    def _product(self, name: str) -> dict[str, Any]:
        """A product, with the fields that the venue's documentation names."""
        price, quantity = (step(decimals) for decimals in self.scales[name])
        base, quote, *_ = name.split("-")
        halted = name in self.halted
        return {
            "product_id": name, "price": "", "base_increment": quantity, "quote_increment": price,
            "price_increment": price, "base_min_size": quantity, "base_max_size": "1000000", "quote_min_size": "1",
            "quote_max_size": "10000000", "base_name": base, "quote_name": quote, "watched": False,
            "is_disabled": False, "new": False, "status": "offline" if halted else "online", "cancel_only": False,
            "limit_only": False, "post_only": False, "trading_disabled": halted, "auction_mode": False,
            "product_type": "SPOT", "quote_currency_id": quote, "base_currency_id": base, "alias": "", "alias_to": [],
            "base_display_symbol": base, "quote_display_symbol": quote, "view_only": False, "display_name": name,
        }  # fmt: skip

    def _products(self, kind: str, names: Iterable[str]) -> bytes:
        """A message of the channel `status`."""
        products = []
        for name in names:
            product = self._product(name)
            keys = ("product_type", "base_increment", "quote_increment", "display_name", "status")
            currencies = {"base_currency": product["base_currency_id"], "quote_currency": product["quote_currency_id"]}
            more = {"id": name, "status_message": "", "min_market_funds": "1"}
            products.append({**{key: product[key] for key in keys}, **currencies, **more})
        return _message("status", [{"type": kind, "products": products}])

    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        message = orjson.loads(text)
        kind, channel = message["type"], message["channel"]
        if kind not in ("subscribe", "unsubscribe") or channel not in ("level2", "heartbeats", "status"):
            return [self.refusal(f"unknown request {kind} {channel}")]
        names = message.get("product_ids", [])
        about = {channel: names} if kind == "subscribe" else {}
        answer = self._numbered(subscription, _message("subscriptions", [{"subscriptions": about}]))
        if channel == "level2":
            return [answer, *self.change(subscription, kind == "subscribe", message["product_ids"], books, None)]
        (subscription.channels.add if kind == "subscribe" else subscription.channels.discard)(channel)
        if channel == "heartbeats" or kind == "unsubscribe":
            return [answer]
        known = [name for name in names or self.scales if name in self.scales]
        return [answer, self._numbered(subscription, self._products("snapshot", known))]

    def refusal(self, why: str) -> bytes:
        """Return the answer to a request that can't be fulfilled."""
        return orjson.dumps({"type": "error", "message": why})

    def heartbeat(self, subscription: Subscription) -> bytes | None:
        """Every second, if that channel was subscribed to."""
        if "heartbeats" not in subscription.channels:
            return None
        self._beats += 1
        beat = {"current_time": _now(), "heartbeat_counter": self._beats}
        return self._numbered(subscription, _message("heartbeats", [beat]))

    def snapshot(self, subscription: Subscription, name: str, book: ReferenceBook) -> bytes:
        """The message of a whole book."""
        return self._numbered(subscription, _message("l2_data", [_event("snapshot", name, *book.levels(1 << 20))]))

    def encode(self, message: Depth | Ticker, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """An update; there are no tickers on this channel."""
        if isinstance(message, Ticker):
            return b""
        return _message("l2_data", [_event("update", message.instrument, message.bids, message.asks)])

    def deliver(self, subscription: Subscription, raw: bytes, instrument: str | None) -> bytes | None:
        """The message with its number on the connection."""
        message = super().deliver(subscription, raw, instrument)
        return None if message is None else self._numbered(subscription, message)

    def _numbered(self, subscription: Subscription, raw: bytes) -> bytes:
        number, subscription.sent = subscription.sent, subscription.sent + 1
        return _NUMBER.sub(b'"sequence_num":%d' % number, raw, count=1)


def _message(channel: str, events: list[dict[str, object]]) -> bytes:
    return orjson.dumps({"channel": channel, "client_id": "", "timestamp": _now(), "sequence_num": 0, "events": events})


def _event(kind: str, name: str, bids: Levels, asks: Levels) -> dict[str, object]:
    now = _now()
    updates = [
        {"side": side, "event_time": now, "price_level": price, "new_quantity": shortest(quantity)}
        for side, levels in (("bid", bids), ("offer", asks))
        for price, quantity in levels
    ]
    return {"type": kind, "product_id": name, "updates": updates}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
