"""Binance: depth events numbered by U (first) and u (last), the snapshot by REST.

The rule of the spot API (binance-spot-api-docs, web-socket-streams.md, "How to manage a local order book correctly"):
buffer events; take a snapshot with last id L; drop events with u <= L; the first one applied must have
U <= L + 1 <= u; after it each event's U must be the previous one's u + 1; else start over with a new snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import orjson

from wirebook.core.records import Batch, Flag, Kind, Reason
from wirebook.core.scan import DepthScanner
from wirebook.venues.base import (
    Depth,
    Follower,
    Ignored,
    Instrument,
    Levels,
    MalformedError,
    Message,
    Refused,
    Scale,
    Sink,
    Snapshot,
    Ticker,
    Unknown,
    UnrepresentableError,
    Venue,
    WantLog,
    WantSnapshot,
    decimals_of,
    scaled,
)

_MOST_BUFFERED = 10_000
"""Messages held for one symbol while its snapshot is awaited, 16 minutes at 100 ms. Beyond it buffering starts anew."""


_FINER_THAN_STEP = 3


class Verdict(Enum):
    """What an event means to a book that is at a certain update id."""

    APPLY = auto()
    REPEAT = auto()
    """Older than the book, which holds what it says."""
    BREAK = auto()
    """Something between the book and this event is missing."""


def spot_rule(at: int, chained: bool, first: int, last: int) -> Verdict:
    """Judge a spot event [first, last] for a book at id `at`, `chained` once an event has followed the snapshot."""
    if last <= at:
        return Verdict.REPEAT
    fits = first == at + 1 if chained else first <= at + 1
    return Verdict.APPLY if fits else Verdict.BREAK


class _Event(NamedTuple):
    """What the sequence rule needs of an event, whichever decoder it came from."""

    first: int
    last: int
    exchange_ns: int
    raw: bytes
    receive_ns: int


class _State(Enum):
    IDLE = auto()
    """Not connected."""
    AWAITING = auto()
    """A snapshot has been asked for; events are buffered."""
    UNCHAINED = auto()
    """The snapshot is applied; the first event that continues it proves it right."""
    LIVE = auto()


@dataclass(slots=True)
class _Track:
    """One instrument's place in its sequence."""

    instrument: Instrument
    state: _State = _State.IDLE
    at: int = 0
    """Last update id in the book."""
    broken: bool = False
    """It was live and lost its chain: becoming live again is a resync."""
    buffer: list[tuple[bytes, int]] = field(default_factory=list)
    """(message, receive time) since the subscription, while there is no snapshot."""


class BinanceFollower(Follower):
    """Keeps spot books in sequence."""

    def __init__(self, venue: BinanceSpot, instruments: Sequence[Instrument], sink: Sink) -> None:
        super().__init__(instruments, sink)
        self._venue = venue
        self._tracks = {instrument.id: _Track(instrument) for instrument in instruments}
        self._by_name = {instrument.name: self._tracks[instrument.id] for instrument in instruments}
        self._scanner = DepthScanner(instruments)
        self._said: set[str] = set()

    def connected(self) -> None:
        """Buffer every instrument's events and ask for its snapshot."""
        for track in self._tracks.values():
            track.buffer.clear()
            self._await_snapshot(track)

    def disconnected(self, reason: int, receive_ns: int) -> None:
        """Mark every book stale; nothing is kept of the lost connection's sequence."""
        for track in self._tracks.values():
            self._leave(track, reason, receive_ns)
            track.state = _State.IDLE
            track.buffer.clear()

    def message(self, raw: bytes, receive_ns: int) -> None:
        """Apply, buffer or drop one message; whatever is wrong with it is counted, and logged once per cause."""
        self.counters.messages += 1
        self._take(raw, receive_ns)

    def _take(self, raw: bytes, receive_ns: int) -> None:
        batch = self.sink.batch
        mark = len(batch)
        scanner = self._scanner
        if scanner.scan(raw, batch, receive_ns):
            event = _Event(scanner.first, scanner.last, scanner.exchange_ns, raw, receive_ns)
            self._chain(self._tracks[scanner.symbol], event, mark)
            return
        try:
            message = self._venue.decode(raw)
        except MalformedError as error:
            self.counters.malformed += 1
            self._say("malformed", f"a message that can't be decoded ({error}) is counted and ignored: {_cut(raw)}")
            return
        if isinstance(message, Depth):
            self._depth(message, mark, raw, receive_ns)
        elif isinstance(message, Snapshot):
            self._inline_snapshot(message, receive_ns)
        elif isinstance(message, Refused):
            self.counters.refused += 1
            self._say("refused", f"the venue refused a request: {message.text}")
        elif isinstance(message, Unknown):
            self.counters.unknown += 1
            self._say(f"unknown {message.kind}", f"an unknown kind of message is counted and ignored: {_cut(raw)}")

    def _depth(self, event: Depth, mark: int, raw: bytes, receive_ns: int) -> None:
        """The slow path of a depth event: the same records as the scanner's, or an error that says why not."""
        track = self._by_name.get(event.instrument)
        if track is None:
            self.counters.unknown += 1
            self._say(
                f"instrument {event.instrument}", f"events of {event.instrument} were not asked for and are ignored"
            )
            return
        try:
            self._append(track.instrument, event, Flag(0), receive_ns)
        except (MalformedError, UnrepresentableError) as error:
            self.sink.batch.truncate(mark)
            self._refuse(track, error, receive_ns)
            return
        if len(self.sink.batch) == mark:
            _whole(self.sink.batch, track.instrument.id, event.last, event.exchange_ns, receive_ns)
        self._chain(track, _Event(event.first, event.last, event.exchange_ns, raw, receive_ns), mark)

    def _refuse(self, track: _Track, error: MalformedError | UnrepresentableError, receive_ns: int) -> None:
        """A level that can't be held exactly would make the book wrong: it is stale until a new snapshot."""
        if isinstance(error, UnrepresentableError):
            self.counters.unrepresentable += 1
        else:
            self.counters.malformed += 1
        name = track.instrument.name
        self._say(
            f"level {name}", f"{name}: a level can't be held exactly ({error}); its book is stale until a new snapshot"
        )
        self._lose(track, receive_ns)

    def _chain(self, track: _Track, event: _Event, mark: int) -> None:
        """Keep the event's records, which are in the batch from `mark` on, or take them out again: the rule decides."""
        if track.state in (_State.IDLE, _State.AWAITING):
            self.sink.batch.truncate(mark)
        else:
            verdict = spot_rule(track.at, track.state is _State.LIVE, event.first, event.last)
            if verdict is Verdict.APPLY:
                self._advance(track, event)
                return
            self.sink.batch.truncate(mark)
            if verdict is Verdict.REPEAT:
                self.counters.repeats += 1
                return
            self._broken(track, event)
        if track.state is _State.AWAITING:
            if len(track.buffer) >= _MOST_BUFFERED:
                track.buffer.clear()
            track.buffer.append((event.raw, event.receive_ns))

    def _advance(self, track: _Track, event: _Event) -> None:
        """The event continues the book; if it is the first one, it proves the snapshot right."""
        track.at = event.last
        self.counters.updates += 1
        if track.state is _State.UNCHAINED:
            track.state = _State.LIVE
            self.live += 1
            if track.broken:
                track.broken = False
                self.counters.resyncs += 1
            _whole(self.sink.batch, track.instrument.id, event.last, event.exchange_ns, event.receive_ns)
        self.sink.commit(track.instrument.id)

    def _broken(self, track: _Track, event: _Event) -> None:
        if track.state is _State.LIVE:
            self.counters.gaps += 1
            name = track.instrument.name
            self.wants.append(
                WantLog(f"{name}: gap after id {track.at}, the next event begins at {event.first}: resync")
            )
        else:
            self.counters.old_snapshots += 1
        self._lose(track, event.receive_ns)

    def _lose(self, track: _Track, receive_ns: int) -> None:
        """The book can't be continued: stale at once, and a new snapshot, for this symbol only."""
        track.broken = track.broken or track.state is _State.LIVE
        self._leave(track, Reason.GAP, receive_ns)
        self._await_snapshot(track)

    def _await_snapshot(self, track: _Track) -> None:
        if track.state is not _State.AWAITING:
            track.state = _State.AWAITING
            self.wants.append(WantSnapshot(track.instrument.id))

    def _leave(self, track: _Track, reason: int, receive_ns: int) -> None:
        """Readers are told that the book is stale, if they have one."""
        if track.state in (_State.LIVE, _State.UNCHAINED):
            self.live -= track.state is _State.LIVE
            self.sink.batch.append(
                track.instrument.id, Kind.STALE, Flag.EVENT_END, reason, track.at, 0, 0, 0, receive_ns
            )
            self.sink.commit(track.instrument.id)

    def _inline_snapshot(self, message: Snapshot, receive_ns: int) -> None:
        """A REST answer among the stream's messages, as captures have it. It doesn't name its instrument."""
        if len(self._tracks) == 1:
            self._apply_snapshot(next(iter(self._tracks.values())), message, receive_ns)
        else:
            self.counters.unknown += 1
            self._say("snapshot", "a snapshot that doesn't name its instrument can't be used with several instruments")

    def awaits(self, symbol: int) -> bool:
        """Whether a snapshot of this symbol id is still of use."""
        return self._tracks[symbol].state is _State.AWAITING

    def snapshot(self, symbol: int, body: bytes, receive_ns: int) -> None:
        """Apply a REST snapshot, then the buffered events that continue it."""
        track = self._tracks[symbol]
        try:
            message = self._venue.decode(body)
            if not isinstance(message, Snapshot):
                raise MalformedError(f"not a snapshot: {_cut(body)}")
        except MalformedError as error:
            self.counters.malformed += 1
            self._say(
                f"snapshot {symbol}", f"{track.instrument.name}: the snapshot can't be used ({error}); asking again"
            )
            self.wants.append(WantSnapshot(symbol))
            return
        self._apply_snapshot(track, message, receive_ns)

    def _apply_snapshot(self, track: _Track, snapshot: Snapshot, receive_ns: int) -> None:
        if track.state is not _State.AWAITING:
            return  # the connection went away meanwhile, or the snapshot was not asked for
        batch, symbol = self.sink.batch, track.instrument.id
        mark = len(batch)
        batch.append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, snapshot.last, 0, 0, snapshot.exchange_ns, receive_ns)
        try:
            self._append(track.instrument, snapshot, Flag.SNAPSHOT, receive_ns)
        except (MalformedError, UnrepresentableError) as error:
            batch.truncate(mark)
            track.state = _State.UNCHAINED  # so that another one is asked for
            self._refuse(track, error, receive_ns)
            return
        self.counters.snapshots += 1
        track.state = _State.UNCHAINED
        track.at = snapshot.last
        self.sink.commit(track.instrument.id)
        buffered, track.buffer = track.buffer, []
        for raw, buffered_ns in buffered:
            self._take(raw, buffered_ns)

    def _append(self, instrument: Instrument, message: Depth | Snapshot, flags: Flag, receive_ns: int) -> None:
        """The message's levels as records; the last one of an incremental event ends it."""
        symbol, price_decimals, quantity_decimals = (
            instrument.id,
            instrument.price_decimals,
            instrument.quantity_decimals,
        )
        levels = [(Kind.BID, price, quantity) for price, quantity in message.bids]
        levels += [(Kind.ASK, price, quantity) for price, quantity in message.asks]
        for left, (kind, price, quantity) in enumerate(levels, start=1 - len(levels)):
            self.sink.batch.append(
                symbol,
                kind,
                flags or (Flag.EVENT_END if left == 0 else 0),
                0,
                message.last,
                scaled(price, price_decimals),
                scaled(quantity, quantity_decimals),
                message.exchange_ns,
                receive_ns,
            )

    def _say(self, cause: str, text: str) -> None:
        if cause not in self._said:
            self._said.add(cause)
            self.wants.append(WantLog(text))


def _whole(batch: Batch, symbol: int, last: int, exchange_ns: int, receive_ns: int) -> None:
    batch.append(symbol, Kind.LIVE, Flag.EVENT_END, 0, last, 0, 0, exchange_ns, receive_ns)


def _cut(raw: bytes) -> str:
    text = raw.decode(errors="replace")
    return text if len(text) <= 200 else text[:200] + "…"


class BinanceSpot(Venue):
    """Spot, by the combined stream and `depth@100ms`."""

    name = "binance"
    number = 1
    websocket = "wss://stream.binance.com:9443"
    rest = "https://api.binance.com"
    streams_per_connection = 1024
    snapshots_in_band = False
    send_seconds = 0.25
    """Five messages a second are allowed, the pongs among them."""
    lifetime_seconds = 23.5 * 3600
    """The venue cuts a connection after 24 hours."""
    snapshot_seconds = 0.5
    """A snapshot of 1,000 levels has weight 50 of the 6,000 a minute that an address may use."""
    connect_seconds = 1.0
    """300 attempts in five minutes are allowed."""

    _snapshot_levels = 1000
    _streams_per_message = 200
    _names_per_request = 100

    def connect_path(self) -> str:
        """Appended to the WebSocket base URL: the combined stream, whose messages say which stream they are of."""
        return "/stream"

    def subscriptions(self, names: Sequence[str]) -> list[bytes]:
        """SUBSCRIBE messages; the caller spaces them, five a second are allowed."""
        streams = [f"{name.lower()}@depth@100ms" for name in names]
        chunks = [streams[n : n + self._streams_per_message] for n in range(0, len(streams), self._streams_per_message)]
        return [
            orjson.dumps({"method": "SUBSCRIBE", "params": chunk, "id": number})
            for number, chunk in enumerate(chunks, 1)
        ]

    def instruments_paths(self, names: Sequence[str]) -> list[str]:
        """Requests of exchangeInfo, a hundred instruments each so that the URL stays short."""
        chunks = [names[n : n + self._names_per_request] for n in range(0, len(names), self._names_per_request)]
        return [f"/api/v3/exchangeInfo?symbols={quote(orjson.dumps(list(chunk)).decode())}" for chunk in chunks]

    def instruments(self, body: bytes) -> Mapping[str, Scale]:
        """Decimals of the prices from tickSize, of the quantities from stepSize and the asset's own precision.

        Quantities finer than stepSize occur: orders from before it was made coarser stay in the book (recorded: six
        decimals where stepSize has five). The asset's full precision would overflow 63 bits for cheap coins, so it is
        three decimals beyond stepSize's at most.
        """
        try:
            return {entry["symbol"]: _scale(entry) for entry in orjson.loads(body)["symbols"]}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise MalformedError(f"not an exchangeInfo answer: {_cut(body)}") from error

    def snapshot_path(self, name: str) -> str:
        """REST path of an instrument's book."""
        return f"/api/v3/depth?symbol={quote(name)}&limit={self._snapshot_levels}"

    def decode(self, raw: bytes) -> Message:
        """Any message of the stream, or a REST depth answer. Raises MalformedError."""
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise MalformedError(f"not JSON: {error}") from error
        if not isinstance(message, dict):
            raise MalformedError("not a JSON object")
        data = message.get("data", message) if "stream" in message else message
        if not isinstance(data, dict):
            raise MalformedError("data is not a JSON object")
        try:
            return self._message(data)
        except (KeyError, TypeError) as error:
            raise MalformedError(f"a field is missing or of the wrong type: {error}") from error

    def follower(self, instruments: Sequence[Instrument], sink: Sink) -> BinanceFollower:
        """A follower for one connection."""
        return BinanceFollower(self, instruments, sink)

    def _message(self, data: dict[str, Any]) -> Message:
        kind = data.get("e")
        if kind == "depthUpdate":
            first, last = _id(data["U"]), _id(data["u"])
            if first > last:
                raise MalformedError(f"U {first} is greater than u {last}")
            exchange_ns = _id(data["E"]) * 1_000_000
            if exchange_ns >= 1 << 64:
                raise MalformedError(f"E {data['E']} is no time in milliseconds")
            return Depth(_text(data["s"]), first, last, None, exchange_ns, _levels(data["b"]), _levels(data["a"]))
        if "lastUpdateId" in data:
            return Snapshot(None, _id(data["lastUpdateId"]), 0, _levels(data["bids"]), _levels(data["asks"]))
        if kind is None and {"u", "s", "b", "B", "a", "A"} <= data.keys():
            return Ticker(
                _text(data["s"]),
                _id(data["u"]),
                (_text(data["b"]), _text(data["B"])),
                (_text(data["a"]), _text(data["A"])),
            )
        if kind == "trade" or ("result" in data and data["result"] is None):
            return Ignored()
        if "error" in data or ("code" in data and "msg" in data):
            return Refused(str(data.get("error", data.get("msg"))))
        return Unknown(str(kind) if kind is not None else ",".join(sorted(map(str, data))))


def _scale(entry: dict[str, Any]) -> Scale:
    tick = _filter(entry, "PRICE_FILTER")["tickSize"]
    step = _filter(entry, "LOT_SIZE")["stepSize"]
    return Scale(decimals_of(tick), min(int(entry["baseAssetPrecision"]), decimals_of(step) + _FINER_THAN_STEP))


def _filter(entry: dict[str, Any], kind: str) -> dict[str, str]:
    for candidate in entry["filters"]:
        if candidate["filterType"] == kind:
            return dict(candidate)
    raise KeyError(kind)


def _id(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise MalformedError(f"{value!r} is not an id")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"{value!r} is not text")
    return value


def _levels(value: object) -> Levels:
    """The [price, quantity] pairs of one side, checked in shape; their digits are checked when they are scaled."""
    if not isinstance(value, list) or not all(isinstance(level, list) and len(level) >= 2 for level in value):
        raise MalformedError("a side is not a list of [price, quantity]")
    return [(_text(level[0]), _text(level[1])) for level in value]


VENUES: Final[dict[str, Venue]] = {"binance": BinanceSpot()}
