"""Bybit v5: topics `orderbook.DEPTH.SYMBOL`, the snapshot in the stream, events numbered one by one.

The rule (bybit-exchange.github.io, docs/v5/websocket/public/orderbook): the first message of a topic is a snapshot;
each delta's `u` is one more than the message's before it; a snapshot at any time replaces the book, with `u` 1 after a
restart of the service. A snapshot that is sent again with the same `u`, as on quiet level-1 topics, is no gap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

from wirebook.core.decode.bybit import BybitScanner
from wirebook.core.decode.sequence import Steps
from wirebook.venues.base import (
    Depth,
    Ignored,
    Instrument,
    MalformedError,
    Message,
    Refused,
    Scale,
    Snapshot,
    Unknown,
    Venue,
    decimals_of,
    defined,
)
from wirebook.venues.fields import array, chunks, cut, json_object, levels, mapping, milliseconds, number, text

_FEW = 20
_NO_SUCH_SYMBOL = 10001
"""`retCode` of a request whose parameters make no sense; an unknown symbol is the one that can occur here."""


class Bybit(Venue):
    """One product category: each has a WebSocket path of its own."""

    websocket = "wss://stream.bybit.com"
    rest = "https://api.bybit.com"
    streams_per_connection = 200
    snapshots_in_band = True
    rule = Steps()
    connect_seconds = 1.0
    """500 attempts in five minutes are allowed."""
    rest_limit = 600.0
    rest_seconds = 5.0
    forbidden_seconds = 600.0
    """An address that asked for more is shut out for ten minutes."""
    send_seconds = 0.1
    lifetime_seconds = 0.0
    ping = b'{"op":"ping"}'
    ping_seconds = 20.0
    silence_seconds = 45.0
    """A pong comes for every ping."""

    _depth = 200
    """Levels a side: every 100 ms for linear, 200 ms for spot."""
    _topics_per_message = 10
    """More than ten in one request are refused for spot."""

    def __init__(self, category: str) -> None:
        self.name = f"bybit-{category}"
        self._category = category

    def connect_path(self) -> str:
        """Appended to the WebSocket base URL."""
        return f"/v5/public/{self._category}"

    def subscriptions(self, names: Sequence[str]) -> list[bytes]:
        """Messages that subscribe, ten topics each."""
        return [self._request("subscribe", chunk) for chunk in chunks(names, self._topics_per_message)]

    def resubscriptions(self, name: str) -> list[bytes]:
        """Out and in again: subscribing brings a snapshot."""
        return [self._request("unsubscribe", [name]), self._request("subscribe", [name])]

    def instruments_paths(self, names: Sequence[str]) -> list[str]:
        """A request for each instrument if they are few, else one for all: 1,000 are more than there are."""
        path = f"/v5/market/instruments-info?category={self._category}"
        if len(names) > _FEW:
            return [f"{path}&limit=1000"]
        return [f"{path}&symbol={quote(name)}" for name in names]

    def instruments(self, body: bytes) -> Mapping[str, Scale]:
        """Decimals from tickSize and from qtyStep, which spot calls basePrecision."""
        try:
            answer = orjson.loads(body)
            if answer["retCode"] == _NO_SUCH_SYMBOL:
                return {}
            return defined(answer["result"]["list"], lambda entry: (entry["symbol"], _scale(entry)))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedError(f"not an instruments-info answer: {cut(body)}") from error

    def scanner(self, instruments: Sequence[Instrument]) -> BybitScanner:
        """The fast decoder of deltas."""
        return BybitScanner(instruments)

    def decode(self, raw: bytes) -> Message:
        """Any message of the stream. Raises MalformedError."""
        message = json_object(raw)
        try:
            return _message(message)
        except KeyError as error:
            raise MalformedError(f"the field {error} is missing") from error

    def _request(self, op: str, names: Sequence[str]) -> bytes:
        return orjson.dumps({"op": op, "args": [f"orderbook.{self._depth}.{name}" for name in names]})


def _message(message: dict[str, Any]) -> Message:
    if "topic" in message:
        topic = text(message["topic"])
        if not topic.startswith("orderbook."):
            return Unknown(topic.partition(".")[0])
        data, exchange_ns = mapping(message["data"]), milliseconds(message["ts"])
        name, last = text(data["s"]), number(data["u"])
        bids, asks = levels(array(data["b"])), levels(array(data["a"]))
        if message["type"] == "snapshot":
            return Snapshot(name, last, exchange_ns, bids, asks)
        if message["type"] == "delta":
            return Depth(name, last, last, None, exchange_ns, bids, asks)
        return Unknown(f"orderbook {cut(message['type'])}")
    if message.get("success") is False:
        return Refused(str(message.get("ret_msg")))
    if message.get("op") in ("subscribe", "unsubscribe", "ping", "pong"):
        return Ignored()
    return Unknown(str(message.get("op", ",".join(sorted(message)))))


def _scale(entry: dict[str, Any]) -> Scale:
    lot = entry["lotSizeFilter"]
    step = lot["qtyStep"] if "qtyStep" in lot else lot["basePrecision"]
    return Scale(decimals_of(entry["priceFilter"]["tickSize"]), decimals_of(step))


VENUES: Final[dict[str, Venue]] = {venue.name: venue for venue in (Bybit("spot"), Bybit("linear"))}
