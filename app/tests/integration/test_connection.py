"""One connection of a feed, to a venue of a few lines that does what a test asks."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.wire.packet import Encoder
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


def follow(done: Callable[[Connection], bool], receive_buffer: int = 0) -> list[str]:
    """Run a connection until `done`; what was subscribed to, in order."""
    asked: list[str] = []

    async def run() -> None:
        venue = get("bybit-linear")
        server = await ws_create_server(lambda _: Quiet(asked), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        books = Books(2, Arena(4 << 20, "off"))
        publisher = Publisher(venue.name, INSTRUMENTS, books, Encoder(venue.number, 1, 1), Nowhere(), Nowhere(), 50_000)
        setting = Setting(
            venue,
            f"ws://127.0.0.1:{port}",
            client_context(""),
            publisher,
            60.0,
            60.0,
            60.0,
            receive_buffer,
            lambda *_: None,
            None,
            Pace(0.0),
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


@pytest.mark.parametrize(("asked", "told"), [(0, "the kernel's to size"), (65536, "65536 bytes")])
def test_socket_options_are_set_read_back_and_told(caplog: pytest.LogCaptureFixture, asked: int, told: str) -> None:
    caplog.set_level(logging.INFO)
    seen: list[tuple[int, int]] = []

    def done(connection: Connection) -> bool:
        if connection._transport is not None:
            options = connection._transport.underlying_transport.get_extra_info("socket")
            kernel = options.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
            seen.append((options.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), kernel))
        return bool(seen)

    follow(done, asked)
    assert seen[0][0] == 1
    assert not asked or seen[0][1] == 2 * asked
    assert f"bybit-linear: TCP_NODELAY is on, the receive buffer is {told}" in caplog.messages


def test_a_receive_buffer_that_the_host_refuses_is_complained_about(tmp_path: Path) -> None:
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())
    script = (
        "import logging, socket\nfrom wirebook.feed.sockets import tune\nlogging.basicConfig(level='INFO')\n"
        f"tune(socket.socket(), 'okx', {most + 4096})\n"
    )
    command = [sys.executable, "-c", script]
    if os.geteuid() == 0:  # root's CAP_NET_ADMIN goes beyond the limit
        command = ["setpriv", "--bounding-set", "-net_admin", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=True, cwd=tmp_path)
    said = (
        f"okx: the receive buffer has {most} bytes instead of {most + 4096}: sysctl -w net.core.rmem_max={most + 4096}"
    )
    assert said in done.stderr
    assert f"the receive buffer is {most} bytes" in done.stderr
