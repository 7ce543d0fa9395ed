"""One connection of a feed, to a venue of a few lines that does what a test asks."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import orjson
import pytest
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from wirebook.core.books import Books
from wirebook.core.memory import Arena
from wirebook.core.packet import Encoder
from wirebook.feed.connection import Connection, Pace, Setting
from wirebook.feed.publisher import Nowhere, Publisher
from wirebook.feed.tls import client_context
from wirebook.venues import get
from wirebook.venues.base import Instrument

from .support import PATIENCE

INSTRUMENTS = [Instrument(0, "AUSDT", 2, 2), Instrument(1, "BUSDT", 2, 2)]


class Quiet(WSListener):
    """A Bybit whose books never change; it forgets the snapshot after the first subscription to the second one."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        request = orjson.loads(frame.get_payload_as_bytes())
        for topic in request["args"] if request["op"] == "subscribe" else ():
            name = topic.split(".")[2]
            self._asked.append(name)
            if name != "BUSDT" or self._asked.count(name) > 1:
                data = {"s": name, "b": [["1", "1"]], "a": [["2", "1"]], "u": 1, "seq": 1}
                said = {"topic": topic, "type": "snapshot", "ts": 1, "data": data, "cts": 1}
                transport.send(WSMsgType.TEXT, orjson.dumps(said))


def follow(done: Callable[[Connection], bool]) -> list[str]:
    """Run a connection until `done`; what was subscribed to, in order."""
    asked: list[str] = []

    async def run() -> None:
        venue = get("bybit-linear")
        server = await ws_create_server(lambda _: Quiet(asked), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        books = Books(2, Arena(4 << 20, "off"))
        publisher = Publisher(venue.name, INSTRUMENTS, books, Encoder(venue.number, 1, 1), Nowhere(), Nowhere())
        setting = Setting(
            venue, f"ws://127.0.0.1:{port}", client_context(""), publisher, 60.0, lambda *_: None, None, Pace(0.0)
        )
        connection = Connection(setting, INSTRUMENTS, publisher)
        running = asyncio.ensure_future(connection.run())
        deadline = time.monotonic() + PATIENCE
        while not done(connection):
            assert time.monotonic() < deadline, asked
            connection.tick(time.monotonic())
            await asyncio.sleep(0.01)
        connection.stop()
        with suppress(asyncio.CancelledError):
            await running
        server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return asked


def test_a_first_snapshot_that_never_comes_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of its symbol alone: no event of a quiet book shows that it is missing."""
    monkeypatch.setattr(type(get("bybit-linear")), "resync_seconds", 0.3)
    assert follow(lambda connection: connection.follower.live == 2) == ["AUSDT", "BUSDT", "BUSDT"]
