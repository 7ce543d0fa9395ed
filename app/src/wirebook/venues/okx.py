"""OKX v5: channel `books`, 400 levels, the snapshot in the stream, events chained by identity.

The rule (OKX API guide v5, "Order book channel"): a snapshot has prevSeqId -1; each update's prevSeqId is the seqId
before it. Ids have no step. A message whose prevSeqId equals its seqId says that nothing has changed.

Until June 2026 each message had a checksum (CRC32 of the best 25 levels); since then the field is 0, which means that
there is none. Recordings from before the seqId was introduced have the checksum alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import orjson

from wirebook.core.decode.okx import OkxScanner
from wirebook.core.decode.sequence import Identity
from wirebook.venues.base import (
    UNNUMBERED,
    Depth,
    Ignored,
    Instrument,
    Leaving,
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
from wirebook.venues.checksum import TextBook, interleaved_crc32
from wirebook.venues.fields import array, chunks, cut, json_object, levels, mapping, milliseconds, number, text

_FEW = 20
_NO_SUCH_INSTRUMENT = "51001"
_CHECKED_LEVELS = 25


class Okx(Venue):
    """All products: the instrument's name says which it is."""

    name = "okx"
    websocket = "wss://ws.okx.com:8443"
    rest = "https://www.okx.com"
    streams_per_connection = 100
    snapshots_in_band = True
    rule = Identity()
    connect_seconds = 0.5
    """Three attempts a second are allowed."""
    rest_limit = 20.0
    rest_seconds = 2.0
    send_seconds = 0.25
    resync_seconds = 30.0
    """480 subscriptions and unsubscriptions an hour are allowed on a connection."""
    lifetime_seconds = 0.0
    warns = True
    ping = b"ping"
    ping_seconds = 20.0
    """The venue closes a connection on which it heard nothing for 30 s."""
    silence_seconds = 45.0
    """A pong comes for every ping."""
    book_seconds = 75.0
    """A book without a change is repeated, empty, after about 60 s."""

    _names_per_message = 50

    def connect_path(self) -> str:
        """Appended to the WebSocket base URL."""
        return "/ws/v5/public"

    def subscriptions(self, names: Sequence[str]) -> list[bytes]:
        """Messages that subscribe."""
        return [_request("subscribe", chunk) for chunk in chunks(names, self._names_per_message)]

    def resubscriptions(self, name: str) -> list[bytes]:
        """Out and in again: subscribing brings a snapshot."""
        return [_request("unsubscribe", [name]), _request("subscribe", [name])]

    def instruments_paths(self, names: Sequence[str]) -> list[str]:
        """A request for each instrument if they are few, else one for all of a type; options only come one by one."""
        path = "/api/v5/public/instruments"
        kinds = {name: _type(name) for name in names}
        whole = {kind for kind in kinds.values() if kind != "OPTION"} if len(names) > _FEW else set()
        return [f"{path}?instType={kind}" for kind in sorted(whole)] + [
            f"{path}?instType={kind}&instId={quote(name)}" for name, kind in kinds.items() if kind not in whole
        ]

    def instruments(self, body: bytes) -> Mapping[str, Scale]:
        """Decimals from tickSz and lotSz."""
        try:
            answer = orjson.loads(body)
            if answer["code"] == _NO_SUCH_INSTRUMENT:
                return {}
            return defined(answer["data"], _definition)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise MalformedError(f"not an answer about instruments: {cut(body)}") from error

    def scanner(self, instruments: Sequence[Instrument]) -> OkxScanner:
        """The fast decoder of updates that have ids and no checksum."""
        return OkxScanner(instruments)

    def checksum(self, book: TextBook) -> int:
        """Over the best 25 levels."""
        return interleaved_crc32(book, _CHECKED_LEVELS)

    def decode(self, raw: bytes) -> Message:
        """Any message of the stream. Raises MalformedError."""
        if raw == b"pong":
            return Ignored()
        message = json_object(raw)
        try:
            return _message(message)
        except KeyError as error:
            raise MalformedError(f"the field {error} is missing") from error


def _message(message: dict[str, Any]) -> Message:
    if "data" in message:
        argument = mapping(message["arg"])
        if argument["channel"] != "books":
            return Unknown(cut(argument["channel"]))
        name, action = text(argument["instId"]), message["action"]
        if action not in ("snapshot", "update"):
            return Unknown(f"books {cut(action)}")
        parts = [_book(name, action == "snapshot", mapping(data)) for data in array(message["data"])]
        return parts[0] if len(parts) == 1 else Several(None, parts)
    event = message.get("event")
    if event in ("error", "channel-conn-count-error"):
        return Refused(f"{message.get('msg')} ({message.get('code')})")
    if event == "notice":
        return Leaving(cut(f"{message.get('msg')} ({message.get('code')})"))
    if event in ("subscribe", "unsubscribe", "channel-conn-count"):
        return Ignored()
    return Unknown(cut(event) if event is not None else ",".join(sorted(message)))


def _book(name: str, whole: bool, data: dict[str, Any]) -> Part:
    bids, asks, exchange_ns = levels(data["bids"]), levels(data["asks"]), milliseconds(data["ts"])
    checksum = data.get("checksum", 0)
    if type(checksum) is not int:
        raise MalformedError(f"{cut(checksum)} is no checksum")
    last = number(data["seqId"]) if "seqId" in data else UNNUMBERED
    if whole:
        return Snapshot(name, last, exchange_ns, bids, asks, checksum or None)
    previous = number(data["prevSeqId"]) if "seqId" in data else None
    return Depth(name, last, last, previous, exchange_ns, bids, asks, checksum or None)


def _definition(entry: dict[str, Any]) -> tuple[str, Scale]:
    return entry["instId"], Scale(decimals_of(entry["tickSz"]), decimals_of(entry["lotSz"]))


def _request(op: str, names: Sequence[str]) -> bytes:
    return orjson.dumps({"op": op, "args": [{"channel": "books", "instId": name} for name in names]})


def _type(name: str) -> str:
    """The instType of BTC-USDT, BTC-USDT-SWAP, BTC-USD-220527, BTC-USD-220527-30000-C."""
    parts = name.split("-")
    if parts[-1] == "SWAP":
        return "SWAP"
    return {2: "SPOT", 3: "FUTURES"}.get(len(parts), "OPTION")


VENUES: Final[dict[str, Venue]] = {"okx": Okx()}
