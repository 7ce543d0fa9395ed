"""A venue on a local socket that does and says only what a test tells it, and a feed's connections to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Kind
from wirebook.feed.connection import Connection, Pace, Setting
from wirebook.feed.publisher import Publisher
from wirebook.feed.tls import client_context
from wirebook.traffic import Mark, mark_of
from wirebook.venues import get
from wirebook.venues.base import Instrument, Sink

from ..venues.exchanges import BybitLinear

PATIENCE = 15.0
SYMBOL = 7

Record = tuple[int, ...]
"""symbol, kind, flags, aux, update id, price, quantity, exchange time, receive time."""


class Client(WSListener):
    """The venue's end of a connection: what was heard on it and when, and a hand to send."""

    def __init__(self, venue: LocalVenue) -> None:
        self.heard: list[bytes] = []
        self.heard_at: list[float] = []
        self.pings = 0
        """Of the WebSocket protocol."""
        self.closed = asyncio.Event()
        self._venue = venue

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self._venue.clients.append(self)

    def on_ws_disconnected(self, _transport: WSTransport, /) -> None:
        self.closed.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.PING:
            self.pings += 1
            if self._venue.answers_pings:
                transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            self.heard.append(frame.get_payload_as_bytes())
            self.heard_at.append(time.monotonic())
            self._venue.heard(self, self.heard[-1])

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self.transport.send(WSMsgType.TEXT, message)

    def send_in_parts(self, *parts: bytes, whole: bool = True) -> None:
        """One message in several frames; without its last one if not `whole`."""
        for number, part in enumerate(parts):
            kind = WSMsgType.CONTINUATION if number else WSMsgType.TEXT
            self.transport.send(kind, part, fin=whole and number == len(parts) - 1)

    def hang_up(self) -> None:
        self.transport.disconnect(graceful=False)

    def topics(self) -> list[str]:
        """Instruments that were subscribed to, in order."""
        asked = [orjson.loads(raw) for raw in self.heard]
        return [topic.rpartition(".")[2] for each in asked if each.get("op") == "subscribe" for topic in each["args"]]


class LocalVenue:
    """Connections as they come, in `clients`."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.answers_pings = True
        self.heard: Callable[[Client, bytes], None] = lambda _client, _raw: None
        """Called with every message."""
        self.asked: Callable[[str], object] = lambda _path: None
        """Called with the path of every connection."""
        self.refused = ""
        """A path that isn't there."""

    async def listen(self) -> str:
        self._server = await ws_create_server(self._accept, "127.0.0.1", 0, enable_auto_pong=False)
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def _accept(self, request: WSUpgradeRequest) -> Client | None:
        path = request.path.decode()
        self.asked(path)
        return None if path == self.refused else Client(self)

    async def client(self, number: int) -> Client:
        """The connection of that number, from 0, when it has come."""
        await until(lambda: len(self.clients) > number)
        return self.clients[number]

    def close(self) -> None:
        self._server.close()


class Sent:
    """Where a publisher's packets go: kept, as records, and applied to books as a reader's would be."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.packets: list[tuple[int, list[Record]]] = []
        """Channel and records of each, in order."""
        self.books = Books(16, Arena(4 << 20, "off"))

    def publish(self, _encoder: Encoder, batch: Batch, channel: int, /) -> None:
        told = [tuple(record) for record in batch.array.tolist()]
        self.packets.append((channel, told))
        if channel == Channel.INCREMENTAL_CHANNEL:
            self.records += told
            self.books.apply(batch)

    def counters(self) -> dict[str, int]:
        return {}


class Recording:
    """What a recorder is given."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.marks: list[Mark] = []
        self._connections = 0

    def next_connection(self) -> int:
        self._connections += 1
        return self._connections

    def write(self, _receive_ns: int, raw: bytes, _connection: int = 0) -> None:
        mark = mark_of(raw)
        if mark is None:
            self.messages.append(raw)
        else:
            self.marks.append(mark)


class Feed:
    """A venue, a publisher, and the means to make connections that run until the end."""

    def __init__(self, url: str, local: LocalVenue, name: str, instruments: list[Instrument]) -> None:
        self.local = local
        self.sent = Sent()
        self.recording = Recording()
        self.fetched: list[int] = []
        """Symbol ids of the REST snapshots that were asked for."""
        self.venue = get(name)
        self.instruments = instruments
        self.publisher = Publisher(
            name, instruments, Books(16, Arena(4 << 20, "off")), Encoder(self.venue.number, 1, 1),
            self.sent, self.sent, 50_000,
        )  # fmt: skip
        self.setting = Setting(
            self.venue, url, client_context(""), self.publisher, 1e9, 1e9, 1e9, 0,
            lambda _connection, symbol: self.fetched.append(symbol), self.recording, Pace(0.0),  # type: ignore[arg-type]
        )  # fmt: skip
        self.tasks: list[asyncio.Task[None]] = []

    def make(self, instruments: list[Instrument], sink: Sink) -> Connection:
        connection = Connection(self.setting, instruments, sink)
        self.tasks.append(asyncio.ensure_future(connection.run()))
        return connection

    def connect(self, **setting: Any) -> Connection:
        """A connection that publishes."""
        self.setting = replace(self.setting, **setting)
        return self.make(self.instruments, self.publisher)


def run(
    test: Callable[[Feed], Awaitable[None]], name: str = "bybit-linear", instruments: list[Instrument] | None = None
) -> None:
    """Run `test` beside a local venue; whatever still runs at its end is stopped."""

    async def body() -> None:
        local = LocalVenue()
        feed = Feed(await local.listen(), local, name, instruments or [BybitLinear.instrument])
        try:
            await asyncio.wait_for(test(feed), 2 * PATIENCE)
        finally:
            for task in feed.tasks:
                task.cancel()
            await asyncio.gather(*feed.tasks, return_exceptions=True)
            local.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())


async def until(holds: Callable[[], bool]) -> None:
    """Let the sockets do their work until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(0.002)


async def settle(seconds: float = 0.1) -> None:
    """Give what must not happen the time to happen."""
    await asyncio.sleep(seconds)


def kinds(records: list[Record]) -> list[Kind]:
    return [Kind(record[1]) for record in records]
