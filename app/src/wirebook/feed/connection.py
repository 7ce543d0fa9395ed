"""One WebSocket of a feed: connect, subscribe, hand every message to the follower, and do it again when it breaks."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import ssl
import time
from collections.abc import Callable

from picows import WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from wirebook.core.records import Reason
from wirebook.feed.publisher import Publisher
from wirebook.feed.rest import explain
from wirebook.record import Recorder
from wirebook.venues.base import Follower, Instrument, Venue, WantLog, WantSnapshot

_log = logging.getLogger(__name__)

_PING_SECONDS = 5.0
"""A connection that is silent for this long is asked for a pong, and is dead if none comes in as long again."""
_MOST_BYTES = 64 << 20
"""The largest message: a full-depth snapshot in band can have some megabytes."""
_LONGEST_WAIT = 30.0
_SUBSCRIBE_SECONDS = 0.25
"""Between two subscription messages: venues allow five a second and more."""


def backoff(attempt: int, shortest: float) -> float:
    """Seconds to wait before attempt number `attempt` (0 is the first retry): doubling, and by chance up to twice it.

    Chance keeps a fleet that lost its venue at one moment from coming back at one moment.
    """
    wait: float = min(_LONGEST_WAIT, shortest * 2.0 ** min(attempt, 16))
    return wait * random.uniform(1.0, 2.0)  # noqa: S311 (nothing secret in it)


class Connection(WSListener):
    """Keeps one follower fed. `fetch(connection, symbol)` is called for each REST snapshot it wants."""

    def __init__(
        self, venue: Venue, url: str, tls: ssl.SSLContext, instruments: list[Instrument], publisher: Publisher,
        silence_seconds: float, fetch: Callable[[Connection, int], None], recorder: Recorder | None,
    ) -> None:  # fmt: skip
        self.venue = venue
        self.follower: Follower = venue.follower(instruments, publisher)
        self.connects = 0
        """Connections made so far."""
        self._url = url
        self._tls = tls
        self._names = [instrument.name for instrument in instruments]
        self._publisher = publisher
        self._silence_seconds = silence_seconds
        self._fetch = fetch
        self._recorder = recorder
        self._transport: WSTransport | None = None
        self._reason = Reason.DISCONNECTED
        self._heard = 0.0
        self._parts: list[bytes] = []
        self._stopping = False

    async def run(self) -> None:
        """Stay connected until `stop`. A failure is a log line and another attempt, never an exception."""
        attempt = 0
        while not self._stopping:
            began = time.monotonic()
            try:
                await self._once()
            except (TimeoutError, OSError, WSError, ssl.SSLError) as error:
                _log.warning("%s: can't connect to %s: %s", self.venue.name, self._url, explain(error))
            if self._stopping:
                return
            attempt = 0 if time.monotonic() - began > 2 * _LONGEST_WAIT else attempt
            wait = backoff(attempt, self.venue.connect_seconds)
            attempt += 1
            gc.collect()  # the collector is off while books are live; here nothing is live
            _log.info("%s: connecting again in %.1f s", self.venue.name, wait)
            await asyncio.sleep(wait)

    def stop(self) -> None:
        """Mark the books stale for good and hang up."""
        self._stopping = True
        self._hang_up(Reason.STOPPED)

    def check_silence(self) -> None:
        """Hang up if nothing was heard for too long. To be called now and then."""
        silent = time.monotonic() - self._heard
        if self._transport is not None and silent > self._silence_seconds:
            _log.warning("%s: no message for %.1f s: books are stale, connecting again", self.venue.name, silent)
            self._hang_up(Reason.SILENCE)

    def snapshot(self, symbol: int, body: bytes) -> None:
        """The body of a REST snapshot that was fetched."""
        receive_ns = time.time_ns()
        self.follower.snapshot(symbol, body, receive_ns)
        self._publisher.flush()
        if self._recorder is not None:
            self._recorder.write(receive_ns, body)
        self._serve()

    async def _once(self) -> None:
        transport, _ = await ws_connect(
            lambda: self,
            self._url + self.venue.connect_path(),
            ssl_context=self._tls,
            enable_auto_ping=True,
            auto_ping_idle_timeout=_PING_SECONDS,
            auto_ping_reply_timeout=_PING_SECONDS,
            max_frame_size=_MOST_BYTES,
            max_redirects=0,
        )
        for number, message in enumerate(self.venue.subscriptions(self._names)):
            if number:
                await asyncio.sleep(_SUBSCRIBE_SECONDS)
            if self._transport is not transport:
                break
            transport.send(WSMsgType.TEXT, message)
        await transport.wait_disconnected()

    def _hang_up(self, reason: Reason) -> None:
        transport, self._reason = self._transport, reason
        if transport is not None:
            self._lost()
            transport.disconnect(graceful=False)

    def _lost(self) -> None:
        self._transport = None
        self.follower.disconnected(self._reason, time.time_ns())
        self._publisher.flush()
        self._serve()

    def _serve(self) -> None:
        """Do what the follower wants."""
        wants, self.follower.wants = self.follower.wants, []
        for want in wants:
            if isinstance(want, WantSnapshot):
                self._fetch(self, want.symbol)
            elif isinstance(want, WantLog):
                _log.warning("%s: %s", self.venue.name, want.text)

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self._transport = transport
        self._reason = Reason.DISCONNECTED
        self._heard = time.monotonic()
        self._parts.clear()
        self.connects += 1
        _log.info("%s: connected to %s, %d symbols", self.venue.name, self._url, len(self._names))
        self.follower.connected()
        self._serve()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows for every frame; pings are answered there, at once."""
        receive_ns = time.time_ns()
        self._heard = time.monotonic()
        if transport is not self._transport:
            return
        if frame.msg_type == WSMsgType.TEXT or frame.msg_type == WSMsgType.CONTINUATION:
            raw = frame.get_payload_as_bytes()
            if not frame.fin or self._parts:
                self._parts.append(raw)
                if not frame.fin:
                    return
                raw = b"".join(self._parts)
                self._parts.clear()
            self.follower.message(raw, receive_ns)
            if self._recorder is not None:
                self._recorder.write(receive_ns, raw)
            if self.follower.wants:
                self._publisher.flush()
                self._serve()
        elif frame.msg_type == WSMsgType.CLOSE:
            _log.info("%s: the venue closes the connection: %s", self.venue.name, frame.get_close_code().name)
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        if frame.last_in_buffer:
            self._publisher.flush()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Called by picows."""
        if transport is self._transport:
            _log.warning("%s: disconnected from %s: books are stale", self.venue.name, self._url)
            self._lost()
