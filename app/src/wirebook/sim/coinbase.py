"""How Coinbase's Advanced Trade API speaks: channel `level2`, snapshots in the stream, numbers of the connection."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import orjson

from wirebook.sim.exchange import Books, InBand, Subscription, step
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import Depth, Levels, Ticker

_NUMBER = b'"sequence_num":0'
"""How messages are written before it is known on which connection, as whose how manieth, they are sent."""
_TIME = "2026-01-01T00:00:00Z"


class CoinbaseExchange(InBand):
    """Spot and futures."""

    pattern = "SYN{}-USD"
    path = ""

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:  # noqa: ARG002
        """The products that are asked for, those that there are."""
        parts = urlsplit(target)
        if parts.path != "/api/v3/brokerage/market/products":
            return 404, b""
        products = []
        for name in parse_qs(parts.query).get("product_ids", list(self.scales)):
            if name in self.scales:
                price, quantity = (step(decimals) for decimals in self.scales[name])
                products.append({"product_id": name, "price_increment": price, "base_increment": quantity})
        return 200, orjson.dumps({"products": products})

    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        message = orjson.loads(text)
        kind, channel = message["type"], message["channel"]
        if kind not in ("subscribe", "unsubscribe") or channel not in ("level2", "heartbeats"):
            return [self.refusal(f"unknown request {kind} {channel}")]
        answer = self._numbered(subscription, _message("subscriptions", [{"subscriptions": {}}]))
        if channel == "heartbeats":
            return [answer]
        names = message["product_ids"]
        return [answer, *self.change(subscription, kind == "subscribe", names, books, None)]

    def refusal(self, why: str) -> bytes:
        """The answer to what can't be done."""
        return orjson.dumps({"type": "error", "message": why})

    def heartbeat(self, subscription: Subscription) -> bytes | None:
        """Every second, if something was subscribed to."""
        if not subscription.sent:
            return None
        return self._numbered(subscription, _message("heartbeats", [{"heartbeat_counter": 1}]))

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
        return self._numbered(subscription, raw) if instrument in subscription.streams else None

    def _numbered(self, subscription: Subscription, raw: bytes) -> bytes:
        number, subscription.sent = subscription.sent, subscription.sent + 1
        return raw.replace(_NUMBER, b'"sequence_num":%d' % number, 1)


def _message(channel: str, events: list[dict[str, object]]) -> bytes:
    return orjson.dumps({"channel": channel, "client_id": "", "timestamp": _TIME, "sequence_num": 0, "events": events})


def _event(kind: str, name: str, bids: Levels, asks: Levels) -> dict[str, object]:
    updates = [
        {"side": side, "event_time": _TIME, "price_level": price, "new_quantity": quantity}
        for side, levels in (("bid", bids), ("offer", asks))
        for price, quantity in levels
    ]
    return {"type": kind, "product_id": name, "updates": updates}
