"""The simulated venue's sockets: WebSocket and REST on one port, and the clock that plays the tape.

The first REST request for a book after the start is answered from the recorded snapshot, as the venue did when the
capture was made; later ones from the reference book at the stream's current position. So a client that subscribes
first and then asks, as the rule wants it, sees all of the recording at any speed.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import math
import os
import signal
import ssl
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from wirebook.errors import UserError
from wirebook.sim.binance import BinanceExchange
from wirebook.sim.bybit import BybitExchange
from wirebook.sim.coinbase import CoinbaseExchange
from wirebook.sim.exchange import Exchange, Subscription
from wirebook.sim.faults import Fault, Scenario, half_frame, spoil
from wirebook.sim.kraken import KrakenExchange
from wirebook.sim.okx import OkxExchange
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.tape import SyntheticTape, Tape
from wirebook.sim.tls import server_context
from wirebook.venues.base import Depth, Scale, Several, Snapshot, Ticker, Venue

_EXCHANGES: dict[str, Callable[[Mapping[str, Scale]], Exchange]] = {
    "binance": BinanceExchange,
    "binance-usdm": partial(BinanceExchange, api="/fapi/v1"),
    "binance-coinm": partial(BinanceExchange, api="/dapi/v1", pattern="SYN{}USD_PERP"),
    "bybit-spot": partial(BybitExchange, category="spot"),
    "bybit-linear": partial(BybitExchange, category="linear"),
    "okx": OkxExchange,
    "kraken": KrakenExchange,
    "coinbase": CoinbaseExchange,
}


def exchange_of(venue: str, scales: Mapping[str, Scale]) -> Exchange:
    """The simulation of a venue, with these instruments."""
    return _EXCHANGES[venue](scales)


def synthetic(venue: str, symbols: int, rate: float, seed: int) -> SyntheticTape:
    """A made-up market as `venue` would name and bound its books."""
    exchange = exchange_of(venue, {})
    return SyntheticTape(symbols, rate, seed, pattern=exchange.pattern, most=exchange.most_levels)


_UPGRADE = {
    "Upgrade": "websocket",
    "Connection": "upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": base64.b64encode(b"wirebook sim api").decode(),
}
"""What makes a request one for a WebSocket. The key must be of 16 bytes (RFC 6455, 4.1)."""

_BURST = 64
"""Messages sent before the event loop gets a turn when the speed is unlimited."""


class _Client(WSListener):
    def __init__(self, server: Server, subscription: Subscription) -> None:
        self.server = server
        self.subscription = subscription
        self.transport: WSTransport | None = None
        self._held: bytes | None = None
        """A message that is to be sent after the next one."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.server.clients.add(self)
        self.server.look()

    def on_ws_disconnected(self, _transport: WSTransport, /) -> None:
        self.server.clients.discard(self)
        self.server.slow.discard(self)
        self.server.look()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            text = frame.get_payload_as_bytes()
            for answer in self.server.exchange.request(self.subscription, text, self.server.books):
                transport.send(WSMsgType.TEXT, answer)
            self.server.look()

    def pause_writing(self) -> None:
        self.server.slow.add(self)
        self.server.look()

    def resume_writing(self) -> None:
        self.server.slow.discard(self)
        self.server.look()

    def send(self, raw: bytes, instrument: str | None, faults: list[Fault]) -> None:
        message = self.server.exchange.deliver(self.subscription, raw, instrument)
        if message is None or self.transport is None:
            return
        kinds = [fault.kind for fault in faults]
        if "disconnect" in kinds:
            self.reset()
            return
        if "cut" in kinds:
            self.cut(message)
            return
        if "swap" in kinds and self._held is None:
            self._held = message
            return
        messages = [message]
        for kind in kinds:
            messages = [spoiled for each in messages for spoiled in spoil(kind, each)]
        if self._held is not None:
            messages.append(self._held)
            self._held = None
        for each in messages:
            self.transport.send(WSMsgType.TEXT, each)

    def cut(self, message: bytes) -> None:
        if self.transport is not None:
            self.transport.underlying_transport.write(half_frame(message))
            self.transport.underlying_transport.close()

    def reset(self) -> None:
        if self.transport is not None:
            self.transport.disconnect(graceful=False)

    def beat(self) -> None:
        message = self.server.exchange.heartbeat(self.subscription)
        if message is not None and self.transport is not None:
            self.transport.send(WSMsgType.TEXT, message)


class _Late(WSListener):
    """A REST request whose answer takes its time.

    picows answers a request at once and closes, or makes a WebSocket of it. So it is told to do the latter, with an
    answer of no bytes, and the real one is written when it is time.
    """

    def __init__(self, answer: bytes, seconds: float) -> None:
        self._answer = answer
        self._seconds = seconds

    def on_ws_connected(self, transport: WSTransport) -> None:
        def answer() -> None:
            transport.underlying_transport.write(self._answer)
            transport.underlying_transport.close()

        asyncio.get_running_loop().call_later(self._seconds, answer)


class _Nothing(WSUpgradeResponse):
    """An answer of no bytes that picows takes for one that opens a WebSocket."""

    def __init__(self) -> None:
        super().__init__()
        like = WSUpgradeResponse.create_101_response()
        self.version, self.status, self.headers, self.body = like.version, like.status, like.headers, like.body

    def to_bytes(self) -> bytearray:
        return bytearray()


class Server:
    """A venue that plays `tape`. `speed` is a factor on the tape's clock, None for as fast as the clients read."""

    def __init__(
        self, venue: Venue, tape: Tape, speed: float | None, loop: bool, say: Callable[..., None],
        scenario: Scenario | None = None,
    ) -> None:  # fmt: skip
        self.clients: set[_Client] = set()
        self.slow: set[_Client] = set()
        """Clients whose socket is full."""
        self.exchange = exchange_of(venue.name, tape.scales)
        self._venue = venue
        self._tape = tape
        self._speed = speed
        self._loop = loop
        self._say = say
        self.scenario = scenario or Scenario()
        self._silent_until = 0.0
        self._subscribed = asyncio.Event()
        self._writable = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._restart()
        self.look()

    def _restart(self) -> None:
        # A recording with the snapshots in the stream begins with them.
        known = {} if self._tape.recorded and self._venue.snapshots_in_band else self._tape.snapshots
        self.books = {name: ReferenceBook(snapshot) for name, snapshot in known.items()}
        self._asked: set[str] = set()

    def look(self) -> None:
        """Take note of who is connected, subscribed, and able to take more."""
        for event, holds in (
            (self._subscribed, any(client.subscription.streams for client in self.clients)),
            (self._writable, not self.slow),
        ):
            if holds:
                event.set()
            else:
                event.clear()

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Bind and accept; returns the port, which the kernel chose if `port` is 0. Raises UserError."""
        try:
            self._server = await ws_create_server(self._accept, host, port, max_frame_size=1 << 16, ssl=tls)
        except OSError as error:
            where = f"{host}:{port}"
            if error.errno == errno.EADDRINUSE:
                raise UserError(
                    f"the address {where} is in use; name another port with --port, or 0 for any"
                ) from error
            raise UserError(
                f"can't listen on {where}: {os.strerror(error.errno or 0)}; name another with --host"
            ) from error
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop accepting and close every connection."""
        if self._server is not None:
            self._server.close()
        self._hang_up()
        await asyncio.sleep(0)

    def _hang_up(self) -> None:
        for client in list(self.clients):
            if client.transport is not None:
                client.transport.send_close(WSCloseCode.GOING_AWAY)
                client.transport.disconnect()

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener | None:
        target = request.path.decode("ascii", errors="replace")
        if "upgrade" in request.headers:
            subscription = self.exchange.connect(target)
            return _Client(self, subscription) if subscription is not None else None
        faults = {fault.kind: fault for fault in self.scenario.request()}
        if "rest_disconnect" in faults:
            for client in tuple(self.clients):
                client.reset()
        status, body = self.exchange.rest(target, self._books_for(target))
        headers = {"Content-Type": "application/json"}
        if "rest_error" in faults:
            status, body = 503, b'{"code":-1008,"msg":"Server is currently overloaded"}'
        if "rest_limit" in faults:
            status, body = 429, b'{"code":-1003,"msg":"Too many requests"}'
            headers["Retry-After"] = str(math.ceil(faults["rest_limit"].seconds))
        if status == 200:
            response = WSUpgradeResponse.create_ok_response(body, headers)
        else:
            response = WSUpgradeResponse.create_error_response(status, body, headers)
        if "rest_slow" in faults:
            return self._late(request, response, faults["rest_slow"].seconds)
        return WSUpgradeResponseWithListener(response, None)

    def _late(
        self, request: WSUpgradeRequest, response: WSUpgradeResponse, seconds: float
    ) -> WSUpgradeResponseWithListener:
        """Let picows take a plain request for a WebSocket's, see `_Late`."""
        response.headers["Connection"] = "close"
        for name, value in _UPGRADE.items():
            request.headers[name] = value
        return WSUpgradeResponseWithListener(_Nothing(), _Late(bytes(response.to_bytes()), seconds))

    def _books_for(self, target: str) -> dict[str, ReferenceBook]:
        name = self.exchange.depth_symbol(target)
        if name is not None and self._tape.recorded and name in self._tape.snapshots and name not in self._asked:
            self._asked.add(name)
            return {name: ReferenceBook(self._tape.snapshots[name])}
        return self.books

    async def play(self) -> None:
        """Play the tape from the moment somebody has subscribed; again and again with `loop`."""
        while True:
            await self._subscribed.wait()
            self._say("started", f"started: {len(self.clients)} connected")
            sent = await self._play_once()
            struck = dict(self.scenario.struck)
            self._say("ended", f"end of the tape after {sent} messages", messages=sent, faults=struck)
            if not self._loop:
                return
            self._hang_up()
            self._restart()
            while self.clients:
                await asyncio.sleep(0.01)

    async def _play_once(self) -> int:
        number = 0
        began = time.monotonic()
        first_ns: int | None = None
        for number, item in enumerate(self._tape.play(), start=1):
            if self._speed is None:
                if number % _BURST == 0:
                    await asyncio.sleep(0)
            else:
                first_ns = item.at_ns if first_ns is None else first_ns
                ahead = (item.at_ns - first_ns) / 1e9 / self._speed - (time.monotonic() - began)
                if ahead > 0.001:
                    await asyncio.sleep(ahead)
            if self.slow:
                await self._writable.wait()
            self._send(item.message)
        return number

    def _send(self, message: Depth | Ticker | bytes) -> None:
        if isinstance(message, bytes):
            raw = message
            decoded = self._venue.decode(raw)
            parts = decoded.parts if isinstance(decoded, Several) else [decoded]
        else:
            raw, parts = b"", [message]
        instrument: str | None = None
        for part in parts:
            if isinstance(part, Snapshot) and part.instrument is not None:
                instrument = part.instrument
                self.books[instrument] = ReferenceBook(part, self._venue.truncate)
            elif isinstance(part, Depth):
                instrument = part.instrument
                self.books[instrument].apply(part)
            elif isinstance(part, Ticker):
                instrument = part.instrument
        if not isinstance(message, bytes):
            raw = self.exchange.encode(message, self.books[message.instrument])
        if not raw:
            return
        now = time.monotonic()
        about_books = any(isinstance(part, (Depth, Snapshot)) for part in parts)
        faults = self.scenario.message(instrument) if about_books else []
        for fault in faults:
            if fault.kind == "silence":
                self._silent_until = now + fault.seconds
        if now >= self._silent_until:
            for client in tuple(self.clients):
                client.send(raw, instrument, faults)

    async def beat(self) -> None:
        """Send every connection its heartbeats."""
        while True:
            await asyncio.sleep(1.0)
            if time.monotonic() >= self._silent_until:
                for client in tuple(self.clients):
                    client.beat()


class Where(NamedTuple):
    """Where a simulated venue listens, and as whom."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: the kernel chooses."""
    certificate: tuple[Path, Path] | None = None
    """Certificate and key; None for no TLS."""


async def serve(
    venue: Venue,
    tape: Tape,
    where: Where,
    speed: float | None,
    loop: bool,
    say: Callable[..., None],
    scenario: Scenario | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. Raises UserError if the address or the certificate can't be had."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(venue, tape, speed, loop, say, scenario)
    tls = server_context(*where.certificate) if where.certificate else None
    port = await server.listen(where.host, where.port, tls)
    address = f"[{where.host}]:{port}" if ":" in where.host else f"{where.host}:{port}"
    secure = "s" if tls else ""
    urls = {"websocket": f"ws{secure}://{address}", "rest": f"http{secure}://{address}"}
    details = {**urls, "ca_file": str(where.certificate[0].resolve())} if where.certificate else urls
    names = list(tape.scales)
    listed = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    trust = f", certificate {details['ca_file']}" if tls else ""
    say(
        "listening",
        f"{venue.name} on {urls['websocket']} and {urls['rest']} with {listed}{trust};"
        " it starts with the first subscriber",
        **details,
        venue=venue.name,
        symbols=names,
    )
    playing = asyncio.ensure_future(server.play())
    beating = asyncio.ensure_future(server.beat())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({playing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if playing.done():
        playing.result()
        await stopping
    playing.cancel()
    beating.cancel()
    await server.close()


def run(
    venue: Venue,
    tape: Tape,
    where: Where,
    *,
    speed: float | None,
    loop: bool,
    say: Callable[..., None],
    scenario: Scenario | None = None,
) -> None:
    """Blocking form of `serve`, on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(venue, tape, where, speed, loop, say, scenario))
