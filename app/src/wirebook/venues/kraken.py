"""Kraken v2: channel `book`, the snapshot in the stream, no numbers: a checksum of the best ten levels instead.

The rule (docs.kraken.com, guides, "Book checksum (WebSocket v2)"): apply a message, cut each side to the subscribed
depth, compare the CRC32 of the digits of the ten best asks and bids. The digits are those of the message: `0.10` and
`0.1` differ, so the numbers must never become floats. A message that only touched levels below the tenth can be lost
unseen; docs/adding-a-venue.md says for how long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from wirebook.core.decode.sequence import Rule
from wirebook.venues.base import (
    UNNUMBERED,
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
    Status,
    Subscribed,
    Unknown,
    Venue,
    defined,
)
from wirebook.venues.checksum import TextBook, digits_crc32
from wirebook.venues.fields import array, chunks, cut, mapping, rfc3339, text

_CHECKED_LEVELS = 10
_LEGACY_ASSETS = {"XBT": "BTC", "XDG": "DOGE"}
"""What REST still calls by its old name."""


class Kraken(Venue):
    """Spot."""

    name = "kraken"
    websocket = "wss://ws.kraken.com"
    rest = "https://api.kraken.com"
    streams_per_connection = 200
    snapshots_in_band = True
    rule = Rule()
    numbered = False
    truncate = 1000
    connect_seconds = 5.0
    """Some 150 attempts in ten minutes are allowed."""
    rest_limit = 15.0
    rest_seconds = 15.0
    """About one request a second."""
    send_seconds = 0.25
    lifetime_seconds = 3600.0
    """Not the venue's limit: a new connection's snapshots end what a lost deep level may have left behind."""
    ping = b'{"method":"ping"}'
    ping_seconds = 30.0
    silence_seconds = 15.0
    """A heartbeat comes about every second."""

    _names_per_message = 50

    def connect_path(self) -> str:
        """Appended to the WebSocket base URL."""
        return "/v2"

    def subscriptions(self, names: Sequence[str]) -> list[bytes]:
        """Messages that subscribe to the books, and to the pairs' statuses."""
        books = [self._request("subscribe", chunk) for chunk in chunks(names, self._names_per_message)]
        return [*books, b'{"method":"subscribe","params":{"channel":"instrument","snapshot":true}}']

    def resubscriptions(self, name: str) -> list[bytes]:
        """Out and in again: subscribing brings a snapshot."""
        return [self._request("unsubscribe", [name]), self._request("subscribe", [name])]

    def instruments_paths(self, names: Sequence[str]) -> list[str]:  # noqa: ARG002
        """The list of all pairs: asking for one takes a name of its own, older than those of the stream."""
        return ["/0/public/AssetPairs"]

    def instruments(self, body: bytes) -> Mapping[str, Scale]:
        """Decimals from pair_decimals and lot_decimals."""
        try:
            pairs = orjson.loads(body)["result"].values()
            return defined([pair for pair in pairs if "wsname" in pair], _definition)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedError(f"not an AssetPairs answer: {cut(body)}") from error

    def checksum(self, book: TextBook) -> int:
        """Over the best ten levels."""
        return digits_crc32(book, _CHECKED_LEVELS)

    def decode(self, raw: bytes) -> Message:
        """Any message of the stream. Raises MalformedError.

        The standard library's parser can leave numbers as the text they are; a faster one that makes floats of them
        would lose the digits that the checksum is of. An update of 144 bytes takes 8 µs.
        """
        try:
            message = mapping(json.loads(raw, parse_float=str, parse_int=str))
            return _message(message)
        except KeyError as error:
            raise MalformedError(f"the field {error} is missing") from error
        except (ValueError, RecursionError) as error:
            raise error if isinstance(error, MalformedError) else MalformedError(f"not JSON: {error}") from error

    def _request(self, method: str, names: Sequence[str]) -> bytes:
        params = {"channel": "book", "symbol": list(names), "depth": self.truncate}
        return orjson.dumps({"method": method, "params": params})


def _message(message: dict[str, Any]) -> Message:
    channel = message.get("channel")
    if channel == "book":
        kind = message["type"]
        if kind not in ("snapshot", "update"):
            return Unknown(f"book {cut(kind)}")
        parts = [_book(kind == "snapshot", mapping(data)) for data in array(message["data"])]
        return parts[0] if len(parts) == 1 else Several(None, parts)
    if channel == "heartbeat":
        return Ignored()
    if channel == "status":
        return _statuses(message.get("data"), None, "system")
    if channel == "instrument":
        data = message.get("data")
        return _statuses(data.get("pairs") if isinstance(data, dict) else None, "symbol", "status")
    method = message.get("method")
    if message.get("success") is False:
        return Refused(str(message.get("error")))
    if method == "subscribe":
        result = mapping(message["result"])
        if result["channel"] == "book":
            return Subscribed(text(result["symbol"]), _integer(result["depth"]))
        return Ignored()
    if method in ("unsubscribe", "pong"):
        return Ignored()
    return Unknown(cut(channel or method or ",".join(sorted(message))))


def _statuses(entries: object, name_key: str | None, key: str) -> Message:
    """What can be read of it: whatever is wrong with the rest, it is no book's event."""
    found: list[Part] = []
    for entry in entries if isinstance(entries, list) else ():
        state = entry.get(key) if isinstance(entry, dict) else None
        name = entry.get(name_key) if name_key is not None and isinstance(entry, dict) else None
        if isinstance(state, str) and (name_key is None or isinstance(name, str)):
            found.append(Status(name, cut(state), state == "online"))
    return Several(None, found)


def _book(whole: bool, data: dict[str, Any]) -> Part:
    name, checksum = text(data["symbol"]), _integer(data["checksum"])
    exchange_ns = rfc3339(data["timestamp"]) if "timestamp" in data else 0
    bids, asks = _levels(data["bids"]), _levels(data["asks"])
    if whole:
        return Snapshot(name, UNNUMBERED, exchange_ns, bids, asks, checksum)
    return Depth(name, UNNUMBERED, UNNUMBERED, None, exchange_ns, bids, asks, checksum)


def _levels(value: object) -> Levels:
    return [(text(level["price"]), text(level["qty"])) for level in map(mapping, array(value))]


def _integer(value: object) -> int:
    """A number that was left as text."""
    if not isinstance(value, str) or not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise MalformedError(f"{cut(value)} is not an unsigned integer")
    return int(value)


def _definition(pair: dict[str, Any]) -> tuple[str, Scale]:
    return _modern(pair["wsname"]), Scale(int(pair["pair_decimals"]), int(pair["lot_decimals"]))


def _modern(name: str) -> str:
    return "/".join(_LEGACY_ASSETS.get(asset, asset) for asset in name.split("/"))


VENUES: Final[dict[str, Venue]] = {"kraken": Kraken()}
