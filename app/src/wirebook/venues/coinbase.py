"""Coinbase Advanced Trade: channel `level2`, the snapshot in the stream, messages numbered on the connection.

The rule (docs.cdp.coinbase.com, advanced-trade-apis, websocket-overview, "Sequence numbers"): every message of a
connection, of whatever channel, has a sequence_num one greater than the message's before. A number that is missing can
have been any product's, so every book of the connection is suspect. A snapshot holds the whole book: 44,000 levels and
5 MB for BTC-USD.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

import orjson

from wirebook.core.decode.sequence import Rule
from wirebook.venues.base import (
    Depth,
    Ignored,
    Levels,
    MalformedError,
    Message,
    Part,
    Refused,
    Scale,
    Several,
    Snapshot,
    Unknown,
    Venue,
    decimals_of,
    defined,
)
from wirebook.venues.fields import array, chunks, cut, json_object, mapping, number, rfc3339, text


class Coinbase(Venue):
    """Spot and futures; no key is needed for market data."""

    name = "coinbase"
    websocket = "wss://advanced-trade-ws.coinbase.com"
    rest = "https://api.coinbase.com"
    streams_per_connection = 16
    """The venue would take more; but a gap costs every book of a connection, and a snapshot has megabytes."""
    snapshots_in_band = True
    rule = Rule()
    connect_seconds = 0.2
    """Eight attempts a second are allowed."""
    rest_limit = 10.0
    rest_seconds = 1.0
    most_bytes = 32 << 20
    """A whole book has megabytes."""
    send_seconds = 0.25
    """Eight messages a second are allowed."""
    resync_seconds = 30.0
    lifetime_seconds = 0.0
    silence_seconds = 10.0
    """A heartbeat comes every second; without that channel, the venue closes quiet connections."""

    _names_per_message = 20
    names_per_request = 100

    def connect_path(self) -> str:
        """Appended to the WebSocket base URL."""
        return ""

    def subscriptions(self, names: Sequence[str]) -> list[bytes]:
        """Messages that subscribe to the books and to the heartbeats. The first one has to come within 5 s."""
        books = [_request("subscribe", chunk) for chunk in chunks(names, self._names_per_message)]
        return [*books, orjson.dumps({"type": "subscribe", "channel": "heartbeats"})]

    def resubscriptions(self, name: str) -> list[bytes]:
        """Out and in again: subscribing brings a snapshot."""
        return [_request("unsubscribe", [name]), _request("subscribe", [name])]

    def instruments_paths(self, names: Sequence[str]) -> list[str]:
        """Requests of the products, a hundred each so that the URL stays short."""
        return [
            f"/api/v3/brokerage/market/products?{urlencode([('product_ids', name) for name in chunk])}"
            for chunk in chunks(names, self.names_per_request)
        ]

    def instruments(self, body: bytes) -> Mapping[str, Scale]:
        """Decimals from price_increment and base_increment."""
        try:
            return defined(orjson.loads(body)["products"], _definition)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedError(f"not an answer about products: {cut(body)}") from error

    def aliases(self, body: bytes) -> Mapping[str, str]:
        """BTC-USDC is BTC-USD's book, and is told under that name."""
        try:
            products = [(entry["product_id"], entry.get("alias")) for entry in orjson.loads(body)["products"]]
        except (ValueError, LookupError, TypeError, AttributeError):
            return {}
        return {name: alias for name, alias in products if isinstance(alias, str) and alias not in ("", name)}

    def decode(self, raw: bytes) -> Message:
        """Any message of the stream. Raises MalformedError."""
        message = json_object(raw)
        try:
            return _message(message)
        except KeyError as error:
            raise MalformedError(f"the field {error} is missing") from error


def _message(message: dict[str, Any]) -> Message:
    if message.get("type") == "error":
        return Refused(str(message.get("message")))
    if "channel" not in message:
        return Unknown(",".join(sorted(message)))
    channel, sequence = text(message["channel"]), number(message["sequence_num"])
    if channel == "l2_data":
        exchange_ns = rfc3339(message["timestamp"])
        return Several(sequence, [_book(mapping(event), sequence, exchange_ns) for event in array(message["events"])])
    if channel in ("subscriptions", "heartbeats"):
        return Several(sequence, [Ignored()])
    return Several(sequence, [Unknown(channel)])


def _definition(entry: dict[str, Any]) -> tuple[str, Scale]:
    return entry["product_id"], Scale(decimals_of(entry["price_increment"]), decimals_of(entry["base_increment"]))


def _book(event: dict[str, Any], sequence: int, exchange_ns: int) -> Part:
    name, kind = text(event["product_id"]), event["type"]
    sides: dict[str, list[tuple[str, str]]] = {"bid": [], "offer": []}
    for update in map(mapping, array(event["updates"])):
        side = text(update["side"])
        if side not in sides:
            raise MalformedError(f"{cut(side)} is no side of a book")
        sides[side].append((text(update["price_level"]), text(update["new_quantity"])))
    bids: Levels = sides["bid"]
    asks: Levels = sides["offer"]
    if kind == "snapshot":
        return Snapshot(name, sequence, exchange_ns, bids, asks)
    if kind == "update":
        return Depth(name, sequence, sequence, None, exchange_ns, bids, asks)
    return Unknown(f"l2_data {cut(kind)}")


def _request(kind: str, names: Sequence[str]) -> bytes:
    return orjson.dumps({"type": kind, "product_ids": list(names), "channel": "level2"})


VENUES: Final[dict[str, Venue]] = {"coinbase": Coinbase()}
