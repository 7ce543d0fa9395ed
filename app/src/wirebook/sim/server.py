"""The simulated venue's sockets: WebSocket and REST on one port, and the clock that plays the tape.

The first REST request for a book after the start is answered from the recorded snapshot, as the venue did when the
capture was made; later ones from the reference book at the stream's current position. So a client that subscribes
first and then asks, as the rule wants it, sees all of the recording at any speed.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import uvloop
from picows import WSCloseCode, WSListener, WSUpgradeRequest, WSUpgradeResponseWithListener, ws_create_server

from wirebook.errors import UserError
from wirebook.sim.binance import BinanceExchange
from wirebook.sim.bybit import BybitExchange
from wirebook.sim.client import Client
from wirebook.sim.coinbase import CoinbaseExchange
from wirebook.sim.exchange import Exchange, Subscription
from wirebook.sim.faults import MADE_UP, Fault, Scenario
from wirebook.sim.kraken import KrakenExchange
from wirebook.sim.market import Market
from wirebook.sim.okx import OkxExchange
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.rest import Rest
from wirebook.sim.tape import Lost, SyntheticTape, Tape
from wirebook.sim.tls import server_context
from wirebook.venues.base import Depth, MalformedError, Scale, Snapshot, Ticker, Venue, parts

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
    pattern, most, padded = exchange.pattern, exchange.most_levels, exchange.padded
    return SyntheticTape(symbols, rate, seed, pattern=pattern, most=most, padded=padded)


_LONGEST_WORK = 0.01
"""Seconds after which the event loop gets its turn, whatever waits to be sent: it hears clients and signals."""
_LATE_SECONDS = 1.0
"""How late messages may be before that is reported."""
_LATE_SAID_SECONDS = 60.0
"""How often it is reported again."""


class Server:
    """A venue that plays `tape`. `speed` is a factor on the tape's clock, None for as fast as the clients read."""

    def __init__(
        self, venue: Venue, tape: Tape, speed: float | None, loop: bool, say: Callable[..., None],
        scenario: Scenario | None = None,
    ) -> None:  # fmt: skip
        self.clients: set[Client] = set()
        self.slow: set[Client] = set()
        """Clients whose socket is full."""
        self.exchange = exchange_of(venue.name, tape.scales)
        self._venue = venue
        self._tape = tape
        self._speed = speed
        self._loop = loop
        self._say = say
        self.scenario = scenario or Scenario()
        _check(self.scenario, self.exchange, tape, self._venue)
        self._rest = Rest(self)
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
        self._missed: dict[str, list[Depth]] = {}
        """Of instruments whose recorded connection was lost: events until the book is told anew."""

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
            self._server = await ws_create_server(
                self._accept, host, port, max_frame_size=1 << 16, ssl=tls, enable_auto_pong=False
            )
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

    def _hang_up(self, clients: Iterable[Client] | None = None) -> None:
        """Close these connections, or all."""
        for client in tuple(self.clients if clients is None else clients):
            if client.transport is not None and client in self.clients:
                client.transport.send_close(WSCloseCode.GOING_AWAY)
                client.transport.disconnect()

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener | None:
        target = request.path.decode("ascii", errors="replace")
        if "upgrade" not in request.headers:
            return self._rest.answer(request, target)
        subscription = self.exchange.connect(target)
        return Client(self, subscription) if subscription is not None else None

    def books_for(self, target: str) -> dict[str, ReferenceBook]:
        """The books that a GET of `target` may tell of: the first time, those of the recording's start."""
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
            self._say("ended", f"end of the tape after {sent} messages", messages=sent, **self.told_faults())
            if not self._loop:
                return
            self._hang_up()
            self._restart()
            while self.clients:
                await asyncio.sleep(0.01)

    def told_faults(self) -> dict[str, Any]:
        """How often each kind of fault has struck, and which never have: said to the user as well."""
        never = self.scenario.unstruck()
        for fault in never:
            self._say("unstruck", f"{fault} never struck: there were {self.scenario.reached()}", fault=fault)
        return {"faults": dict(self.scenario.struck), "unstruck": never}

    async def _play_once(self) -> int:
        sent = 0
        began = turn = time.monotonic()
        first_ns: int | None = None
        self.exchange.books = self.books
        market = Market(self.exchange, self.books, self.scenario)
        late = _Late(self._say)
        for item in self._tape.play():
            now = time.monotonic()
            ahead = 0.0
            if self._speed is not None:
                first_ns = item.at_ns if first_ns is None else first_ns
                ahead = (item.at_ns - first_ns) / 1e9 / self._speed - (now - began)
                late.look(now, -ahead)
            if ahead > 0.001 or now - turn > _LONGEST_WORK:
                await asyncio.sleep(max(0.0, ahead))
                turn = time.monotonic()
            if self.slow:
                await self._writable.wait()
                turn = time.monotonic()
            self._send(item.message, market)
            sent += 1
        return sent

    def _send(self, message: Depth | Ticker | bytes | Snapshot | Lost, market: Market) -> None:
        if isinstance(message, bytes):
            self._send_recorded(message)
            return
        if isinstance(message, Snapshot):
            self._told_by_rest(message)
            return
        if isinstance(message, Lost):
            if not self._venue.snapshots_in_band:
                self._missed.update({name: [] for name in message.instruments})
            for client in tuple(self.clients):
                client.reset()
            return
        name = message.instrument
        faults = self.scenario.message(name) if isinstance(message, Depth) else []
        for fault in faults:
            market.strike(fault, name)
            self._begin(fault)
        rested = name in self.exchange.halted
        told = market.tell(message)
        if (name in self.exchange.halted) != rested:
            self._tell_status(name)
        if told is None:
            return
        if isinstance(told, Depth):
            self.books[name].apply(told)
        raw = self.exchange.encode(told, self.books[name])
        if raw:
            self._to_all(raw, name, faults, isinstance(told, Depth))

    def _send_recorded(self, raw: bytes) -> None:
        instrument: str | None = None
        about_books = False
        try:
            said = parts(self._venue.decode(raw))
        except MalformedError:
            return  # counted when the recording was looked through; nobody can have subscribed to it
        for part in said:
            if isinstance(part, Snapshot) and part.instrument is not None:
                self.books[part.instrument] = ReferenceBook(part, self._venue.truncate)
            elif isinstance(part, Depth):
                self._apply(part)
            elif not isinstance(part, Ticker):
                continue
            instrument = part.instrument
            about_books = about_books or not isinstance(part, Ticker)
        faults = self.scenario.message(instrument) if about_books else []
        for fault in faults:
            self._begin(fault)
        self._to_all(raw, instrument, faults, about_books)

    def _apply(self, event: Depth) -> None:
        if event.instrument in self._missed:
            self._missed[event.instrument].append(event)
        elif event.instrument in self.books:  # else the recording begins in the middle of it
            self.books[event.instrument].apply(event)

    def _told_by_rest(self, snapshot: Snapshot) -> None:
        """A recorded book: the one to go on from, where the recording has missed something before."""
        name = snapshot.instrument or ""
        missed = self._missed.pop(name, None)
        if missed is None and name in self.books and snapshot.last <= self.books[name].last:
            return
        self.books[name] = ReferenceBook(snapshot)
        for event in missed or ():
            self.books[name].apply(event)

    def _to_all(self, raw: bytes, instrument: str | None, faults: list[Fault], about_books: bool) -> None:
        """Send a message to every client, with the faults that strike it and those that last."""
        lasting = self.scenario.lasting(instrument)
        if "silence" in lasting or (about_books and "book_silence" in lasting):
            return
        kinds = [fault.kind for fault in faults]
        for client in tuple(self.clients):
            client.send(raw, instrument, kinds, lasting if about_books else ())

    def _begin(self, fault: Fault) -> None:
        """Do what a fault does besides spoiling a message."""
        if fault.kind == "shutdown":
            leaving = tuple(self.clients)
            for client in leaving:
                notice = self.exchange.notice(client.subscription)
                if notice is not None:
                    client.put(notice)
            asyncio.get_running_loop().call_later(fault.seconds, self._hang_up, leaving)

    def _tell_status(self, name: str) -> None:
        for client in tuple(self.clients):
            status = self.exchange.status(client.subscription, name)
            if status is not None:
                client.put(status)

    def about(self, raw: bytes) -> str | None:
        """The instrument whose book a message is about."""
        try:
            said = parts(self._venue.decode(raw))
        except MalformedError:
            return None
        return next((part.instrument for part in said if isinstance(part, (Depth, Snapshot))), None)

    @property
    def silent(self) -> bool:
        """Whether nothing at all is sent at this moment."""
        return self.scenario.holds("silence") > 0

    async def beat(self) -> None:
        """Send every connection its heartbeats."""
        while True:
            await asyncio.sleep(1.0)
            if not self.silent:
                for client in tuple(self.clients):
                    client.beat()


class _Late:
    """Reports when messages are sent later than on the tape: once, then from time to time, and when it is over."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._again = 0.0
        self._late = False

    def look(self, now: float, late: float) -> None:
        """Take note of how many seconds late a message is, at the time `now`."""
        if late > _LATE_SECONDS and now >= self._again:
            self._again = now + _LATE_SAID_SECONDS
            self._late = True
            self._say("late", f"{late:.1f} s late: this machine, or a client, is slower than that", seconds=late)
        elif self._late and late < _LATE_SECONDS / 2:
            self._late = False
            self._again = 0.0
            self._say("in time", "in time again")


def _check(scenario: Scenario, exchange: Exchange, tape: Tape, venue: Venue) -> None:
    """Raise UserError for a fault that can't strike here, whatever comes."""
    for number, fault in enumerate(scenario.faults):
        why = None
        if fault.kind in MADE_UP and tape.recorded:
            why = "a recording's market is what it was; use --synthetic"
        elif fault.kind.startswith("id_") and not exchange.numbered:
            why = f"{venue.name} gives its messages no ids"
        elif fault.kind == "checksum" and not exchange.checked:
            why = f"{venue.name} gives its messages no checksum"
        elif fault.kind in ("rest_frozen", "rest_ahead") and venue.snapshots_in_band:
            why = f"{venue.name} tells its books in the stream, not by REST"
        elif fault.kind == "shutdown" and exchange.notice(Subscription(set())) is None:
            why = f'{venue.name} gives no notice before it closes; use "disconnect"'
        elif fault.instrument and fault.instrument not in tape.scales:
            why = f"there is no {fault.instrument}; take one of {', '.join(list(tape.scales)[:8])}"
        if why is not None:
            raise UserError(f"the scenario's fault[{number}] ({fault}) can't strike: {why}")


class Where(NamedTuple):
    """Where a simulated venue listens, and with which certificate."""

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
    """Serve until SIGINT or SIGTERM. Raises UserError if the address or the certificate isn't available."""
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
    else:
        say("stopped", "stopped", **server.told_faults())
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
