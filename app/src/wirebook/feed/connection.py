"""One WebSocket of a feed: connect, subscribe, hand every message to the follower, and do it again when it breaks."""

from __future__ import annotations

import asyncio
import base64
import gc
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from picows import WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from wirebook import traffic
from wirebook.core.wire.records import Reason
from wirebook.feed.publisher import Publisher
from wirebook.feed.rest import explain
from wirebook.feed.resyncs import Resyncs
from wirebook.feed.sockets import tune
from wirebook.recording import Recorder
from wirebook.sayings import Sayings
from wirebook.venues.base import (
    Instrument,
    Sink,
    Venue,
    WantDefine,
    WantLeave,
    WantLog,
    WantResubscribe,
    WantSend,
    WantSnapshot,
)
from wirebook.venues.follower import BookFollower
from wirebook.venues.liveness import LOOK_SECONDS

_log = logging.getLogger(__name__)

_PING_SECONDS = 5.0
"""A connection that is silent for this long is asked for a pong, and is dead if none comes in as long again."""
_LONGEST_WAIT = 30.0


def backoff(attempt: int, shortest: float) -> float:
    """Seconds to wait before attempt number `attempt` (0 is the first retry): doubling, and by chance up to twice it.

    Chance keeps a fleet that lost its venue at one moment from coming back at one moment.
    """
    wait: float = min(_LONGEST_WAIT, shortest * 2.0 ** min(attempt, 16))
    return wait * random.uniform(1.0, 2.0)  # noqa: S311 (nothing secret in it)


def _named(body: bytes, name: str) -> bytes:
    """A REST snapshot as it is recorded: with its instrument, which only the request said."""
    if not body.startswith(b"{") or b'"symbol"' in body[:200]:
        return body
    return b'{"symbol":"%b",' % name.encode() + body[1:]


class Pace:
    """Keeps a minimum time between actions of all connections, since a venue limits an address, not a connection."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait for one's turn."""
        now = time.monotonic()
        at = max(now, self._free_at)
        self._free_at = at + self._seconds
        await asyncio.sleep(at - now)


@dataclass(frozen=True)
class Setting:
    """What the connections of one feed share."""

    venue: Venue
    url: str
    tls: ssl.SSLContext
    publisher: Publisher
    silence_seconds: float
    """A connection without a message for this long is dead."""
    quiet_seconds: float
    """A connection without an event of any book for this long is of no use."""
    pause_seconds: float
    """What comes after a pause of this process that was longer than this is too old."""
    receive_buffer: int
    """Bytes of SO_RCVBUF; 0 leaves it to the kernel."""
    fetch: Callable[[Connection, int], None]
    """Called with the connection and the symbol id for each REST snapshot that its follower wants."""
    recorder: Recorder | None
    pace: Pace
    """Of connection attempts."""
    resyncs: Resyncs = field(default_factory=Resyncs)
    sayings: Sayings = field(default_factory=Sayings)


class Connection(WSListener):
    """Keeps one follower fed, which writes to `sink`."""

    def __init__(self, setting: Setting, instruments: list[Instrument], sink: Sink) -> None:
        self.follower = BookFollower(setting.venue, instruments, sink)
        self.connects = 0
        """Connections made so far."""
        self.leaving = False
        """The venue has said that it will close the connection."""
        self._path = 0
        """Which of the venue's paths is tried."""
        self._setting = setting
        self._venue = setting.venue
        self._paths = setting.venue.connect_paths()
        self._names = [instrument.name for instrument in instruments]
        self._publisher = setting.publisher
        self._transport: WSTransport | None = None
        self._reason = Reason.DISCONNECTED
        self._since = 0.0
        self._heard = 0.0
        self._partial: bytearray | None = None
        """What has come of a message in several frames."""
        self._stopping = False
        self._was_whole = False
        """All books were live on this connection: it was worth something, so the next attempt is the first again."""
        self._outgoing: deque[bytes] = deque()
        self._next_send = 0.0
        self._next_ping = 0.0
        self._resubscribed: dict[int, float] = {}
        """Symbol id → when to ask again, of the books whose snapshot is to come in the stream."""
        self._to_ask: dict[int, float] = {}
        """Symbol id → when to ask for its snapshot."""
        self._next_look = 0.0
        self._usable_before = 0
        """As `_usable` when the connection was made."""
        self._usable = 0
        """Events and snapshots until `_usable_at`, the look that saw the last one."""
        self._usable_at = 0.0
        self._ticked = 0.0
        self._held: list[tuple[int, bytes]] | None = None
        self._number = 0
        """Of the connection in a recording."""

    async def run(self) -> None:
        """Stay connected until `stop`. A failure is a log line and another attempt, never an exception."""
        attempt = 0
        while not self._stopping:
            await self._setting.pace.turn()
            self._was_whole = False
            began = time.monotonic()
            try:
                await self._once()
            except (TimeoutError, OSError, WSError, ssl.SSLError) as error:
                _log.warning("%s: can't connect to %s: %s", self._venue.name, self._setting.url, explain(error))
                if isinstance(error, WSHandshakeError):
                    self._path += 1
            if self._stopping:
                return
            if self._was_whole or time.monotonic() - began > 2 * _LONGEST_WAIT:
                attempt = 0
            wait = backoff(attempt, self._venue.connect_seconds)
            attempt += 1
            gc.collect()  # the collector is off while books are live; here nothing is live
            _log.info("%s: connecting again in %.1f s", self._venue.name, wait)
            await asyncio.sleep(wait)

    def stop(self) -> None:
        """Mark the books stale for good and hang up."""
        self._stopping = True
        self._hang_up(Reason.STOPPED)

    def restart(self, reason: Reason) -> None:
        """Mark the books stale, hang up and connect again: what waits in the socket is thrown away."""
        self._hang_up(reason)

    def retire(self) -> None:
        """Hang up for good without a word to the follower: its books are taken over as they are."""
        self._stopping = True
        transport, self._transport = self._transport, None
        if transport is not None:
            self._mark("retired")
            transport.disconnect(graceful=False)

    @property
    def up(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None

    def age(self, now: float) -> float:
        """Seconds since the connection was made; 0 without one."""
        return now - self._since if self._transport is not None else 0.0

    def tick(self, now: float) -> None:
        """Do everything that depends on the clock (`time.monotonic`): silence, pings, and what waits to be sent."""
        if self._transport is None:
            return
        self._was_whole = self._was_whole or self.follower.live == len(self._names)
        if self._paused(now):
            return
        self._ticked = now
        silent = now - self._heard
        if silent > self._setting.silence_seconds:
            _log.warning("%s: no message for %.1f s: books are stale, connecting again", self._venue.name, silent)
            self._hang_up(Reason.SILENCE)
            return
        if now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            if not self._look(now):
                return
        if self._venue.ping is not None and now >= self._next_ping:
            self._next_ping = now + self._venue.ping_seconds
            self._outgoing.append(self._venue.ping)
        for symbol, at in list(self._resubscribed.items()):
            if not self.follower.awaits(symbol):
                del self._resubscribed[symbol]
            elif now >= at and not self._outgoing:  # what waits to be sent may be of use first
                name = self._name(symbol)
                self._say(f"no snapshot {name}", f"no snapshot of {name} came, asking again")
                del self._resubscribed[symbol]
                self._want(symbol, now)
        for symbol in [symbol for symbol, at in self._to_ask.items() if now >= at]:
            del self._to_ask[symbol]
            self._ask(symbol, now)
        self._send(now)

    def _paused(self, now: float) -> bool:
        """Whether this process stood still: then what waits in the socket is old, and isn't published."""
        pause = now - self._ticked
        if pause <= self._setting.pause_seconds:
            return False
        self._say("pause", f"this process stood still for {pause:.1f} s: books are stale, connecting again")
        self._hang_up(Reason.TOO_SLOW)
        return True

    def _look(self, now: float) -> bool:
        """Look for books that aren't live any more; False if the whole connection has nothing of use to say."""
        usable = self.follower.usable
        if usable != self._usable:
            self._usable, self._usable_at = usable, now
        quiet = now - self._usable_at
        if quiet > self._setting.quiet_seconds:
            if usable == self._usable_before:
                self._path += 1  # nothing at all came by this one
            _log.warning("%s: no book's event for %.1f s: books are stale, connecting again", self._venue.name, quiet)
            self._hang_up(Reason.SILENCE)
            return False
        self._publisher.flush()
        self.follower.look(now, time.time_ns())
        if self.follower.wants:
            self._publisher.flush()
            self._serve()
        return True

    def requested(self, symbol: int, path: str) -> None:
        """A REST snapshot is asked for now."""
        self._mark("request", symbol=self._name(symbol), path=path)

    def snapshot(self, symbol: int, body: bytes) -> None:
        """The body of a REST snapshot that was fetched."""
        receive_ns = time.time_ns()
        self.follower.snapshot(symbol, body, receive_ns)
        self._publisher.flush()
        self._record(receive_ns, _named(body, self._name(symbol)))
        self._serve()

    def hold_recording(self) -> None:
        """Keep what is to be recorded until `release_recording`: another connection's traffic is being recorded."""
        self._held = []

    def release_recording(self) -> None:
        """Record what was held and, from now on, everything."""
        held, self._held = self._held or [], None
        for receive_ns, raw in held:
            self._record(receive_ns, raw)

    def _record(self, receive_ns: int, raw: bytes) -> None:
        if self._setting.recorder is None:
            return
        if self._held is not None:
            self._held.append((receive_ns, raw))
        else:
            self._setting.recorder.write(receive_ns, raw, self._number)

    def _mark(self, kind: str, **details: object) -> None:
        if self._setting.recorder is not None:
            self._record(time.time_ns(), traffic.mark(kind, self._number, **details))

    async def _once(self) -> None:
        # Where the venue wants a ping of its own, tick() sends that; elsewhere the protocol's, when nothing comes.
        transport, _ = await ws_connect(
            lambda: self,
            self._setting.url + self._paths[self._path % len(self._paths)],
            ssl_context=self._setting.tls,
            enable_auto_ping=self._venue.ping is None,
            auto_ping_idle_timeout=_PING_SECONDS,
            auto_ping_reply_timeout=_PING_SECONDS,
            max_frame_size=self._venue.most_bytes,
            max_redirects=0,
        )
        await transport.wait_disconnected()

    def _send(self, now: float) -> None:
        """Send the next waiting message, if the venue's limit allows one now."""
        if self._outgoing and now >= self._next_send and self._transport is not None:
            self._next_send = now + self._venue.send_seconds
            self._transport.send(WSMsgType.TEXT, self._outgoing.popleft())

    def _want(self, symbol: int, now: float) -> None:
        """Ask for a snapshot as soon as that is no storm."""
        at = self._setting.resyncs.ask(symbol, now)
        if at <= now:
            self._ask(symbol, now)
        else:
            self._to_ask[symbol] = at

    def _ask(self, symbol: int, now: float) -> None:
        if not self._venue.snapshots_in_band:
            self._setting.fetch(self, symbol)
        elif self.follower.awaits(symbol):
            self._resubscribed[symbol] = now + self._venue.resync_seconds
            self._outgoing.extend(self._venue.resubscriptions(self._name(symbol)))

    def _say(self, cause: str, text: str) -> None:
        line = self._setting.sayings.line(cause, text, time.monotonic())
        if line is not None:
            _log.warning("%s: %s", self._venue.name, line)

    def _name(self, symbol: int) -> str:
        return self.follower.instruments[symbol].name

    def _hang_up(self, reason: Reason) -> None:
        transport, self._reason = self._transport, reason
        if transport is not None:
            self._lost()
            transport.disconnect(graceful=False)

    def _lost(self) -> None:
        self._transport = None
        self._mark("disconnected")
        self._outgoing.clear()
        self._resubscribed.clear()
        self._to_ask.clear()
        self.follower.disconnected(self._reason, time.time_ns())
        self._publisher.flush()
        self._serve()

    def _serve(self, *, first: bool = False) -> None:
        """Do what the follower wants. What it wants `first` on a connection waits for nothing: attempts are spaced."""
        wants, self.follower.wants = self.follower.wants, []
        for want in wants:
            if isinstance(want, WantSnapshot | WantResubscribe):
                now = time.monotonic()
                if first or (isinstance(want, WantSnapshot) and want.renewal):
                    self._ask(want.symbol, now)
                else:
                    self._want(want.symbol, now)
            elif isinstance(want, WantSend):
                if self._transport is not None:
                    self._transport.send(WSMsgType.TEXT, want.text)
            elif isinstance(want, WantLeave):
                self.leaving = True
            elif isinstance(want, WantDefine):
                if self.follower.sink is self._publisher:  # else when it takes over
                    self._publisher.instruments[want.instrument.id] = want.instrument
            elif isinstance(want, WantLog):
                self._say(want.cause, want.text)

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        if self._stopping:
            transport.disconnect(graceful=False)
            return
        self._transport = transport
        self.leaving = False
        self._usable_before = self.follower.usable
        self._reason = Reason.DISCONNECTED
        self._since = self._heard = self._usable_at = self._ticked = now = time.monotonic()
        self._next_ping = now + self._venue.ping_seconds
        self._partial = None
        self._was_whole = False
        self.connects += 1
        if self._setting.recorder is not None:
            self._number = self._setting.recorder.next_connection()
            self._mark("connected", symbols=self._names)
        _log.info("%s: connected to %s, %d symbols", self._venue.name, self._setting.url, len(self._names))
        tune(transport.underlying_transport.get_extra_info("socket"), self._venue.name, self._setting.receive_buffer)
        self.follower.connected()
        self._outgoing.extend(self._venue.subscriptions(self._names))
        if self._venue.snapshots_in_band:  # the first of them can be lost, and a quiet book has no event that shows it
            self._resubscribed = dict.fromkeys(self.follower.instruments, now + self._venue.resync_seconds)
        self._send(now)
        self._serve(first=True)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows for every frame; pings are answered there, at once."""
        receive_ns = time.time_ns()
        self._heard = time.monotonic()
        if transport is not self._transport or self._paused(self._heard):
            return
        if frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.CONTINUATION:
            raw = frame.get_payload_as_bytes()
            if not frame.fin or self._partial is not None:
                self._partial = self._partial or bytearray()
                self._partial += raw
                if len(self._partial) > self._venue.most_bytes:
                    self._say(
                        "too large", f"a message is larger than {self._venue.most_bytes >> 20} MB: connecting again"
                    )
                    self._hang_up(Reason.UNREADABLE)
                    return
                if not frame.fin:
                    return
                raw, self._partial = bytes(self._partial), None
            self.follower.message(raw, receive_ns)
            self._record(receive_ns, raw)
            if self.follower.wants:
                self._publisher.flush()
                self._serve()
        elif frame.msg_type == WSMsgType.BINARY:
            # no venue sends any: whatever it is, it may have been a book's event
            raw = frame.get_payload_as_bytes()
            self.follower.unreadable("a binary frame", raw, receive_ns)
            self._mark("binary", base64=base64.b64encode(raw).decode())
            self._publisher.flush()
            self._serve()
        elif frame.msg_type == WSMsgType.CLOSE:
            _log.info("%s: the venue closes the connection: %s", self._venue.name, frame.get_close_code().name)
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        if frame.last_in_buffer:
            self._publisher.flush()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows."""
        if transport is self._transport:
            _log.warning("%s: disconnected from %s: books are stale", self._venue.name, self._setting.url)
            self._lost()
