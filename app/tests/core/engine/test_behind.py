"""What waited too long is not LIVE: a process that was stopped, or has more to do than it can, has old books."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.transport.base import Endpoint
from wirebook.core.transport.udp import UdpReceiver, UdpSender
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

LIVE, STALE = 2, 1
LIMIT = 0.2
PORTS = count(22_300)


class Rig:
    """A sender, and an engine with a file that says all that it published."""

    def __init__(self, home: Path, symbols: int = 2, *, busy: bool = False) -> None:
        endpoint = Endpoint("239.192.98.9", next(PORTS), "lo")
        self.audit = home / "audit"
        self.path = home / "market"
        self.receiver = UdpReceiver(endpoint)
        self.engine = Engine(
            Books(symbols, Arena(4 << 20, "off")),
            MarketWriter(self.path, symbols),
            [self.receiver],
            history=64,
            behind=LIMIT,
            busy=busy,
            audit=self.audit,
        )
        self.sender = UdpSender([endpoint], ttl=0)
        self.encoder = Encoder(1, 1, 1)
        self.ids = [10] * symbols
        batch = Batch(2 * symbols)
        for symbol in range(symbols):
            batch.append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, 10)
            batch.append(symbol, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 10)
        self.sender.publish(self.encoder, batch, 0)
        self.run_until(lambda: self.engine.live() == symbols)

    def event(self, symbol: int = 0) -> None:
        self.ids[symbol] += 1
        batch = Batch(1)
        batch.append(symbol, Kind.BID, Flag.EVENT_END, 0, self.ids[symbol], 100, self.ids[symbol])
        self.sender.publish(self.encoder, batch, 0)

    def heartbeat(self) -> None:
        batch = Batch(1)
        batch.append(0, Kind.HEARTBEAT, Flag.EVENT_END)
        self.sender.publish(self.encoder, batch, 0)

    def run_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not done() and time.monotonic() < deadline:
            self.engine.run(0.01)
        assert done()

    def published(self) -> list[tuple[int, int, int]]:
        """Symbol, update id and state of each time that a book was published."""
        self.engine.run(0.06)  # a tick writes the file
        rows = (line.split(",") for line in self.audit.read_text().splitlines())
        return [(int(row[0]), int(row[1]), int(row[2])) for row in rows]


@pytest.mark.parametrize("busy", [False, True])
def test_after_a_pause_nothing_is_live_until_all_that_waited_is_taken_and_newer_comes(
    tmp_path: Path, busy: bool
) -> None:
    rig = Rig(tmp_path, busy=busy)
    before = len(rig.published())
    time.sleep(LIMIT / 2)
    for _ in range(200):  # more than one look takes
        rig.event(0)
    time.sleep(LIMIT)
    rig.run_until(lambda: rig.engine.books.update_id(0) == rig.ids[0])
    after = rig.published()[before:]
    assert {state for _, _, state in after} == {STALE}
    assert after[:2] == [(0, 10, STALE), (1, 10, STALE)], "both, before anything that waited is taken"
    view = MarketView(rig.path, silence=60.0)
    assert [(int(view.top(n).state), view.top(n).reason) for n in range(2)] == [(STALE, Reason.TOO_SLOW)] * 2
    assert rig.engine.live() == 0
    rig.event(1)
    rig.run_until(lambda: rig.engine.live() == 2)
    last = {symbol: (at, state) for symbol, at, state in rig.published()}
    assert last == {0: (rig.ids[0], LIVE), 1: (rig.ids[1], LIVE)}


def test_a_heartbeat_alone_shows_that_what_there_is_is_recent(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    time.sleep(1.5 * LIMIT)
    rig.engine.run(0.02)
    assert rig.engine.live() == 0
    rig.heartbeat()
    rig.run_until(lambda: rig.engine.live() == 2)


def test_a_pause_below_the_limit_is_none(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    before = len(rig.published())
    for _ in range(5):
        time.sleep(LIMIT / 4)
        rig.event(0)
        rig.engine.run(0.01)
    assert {state for _, _, state in rig.published()[before:]} == {LIVE}


def test_the_heartbeat_is_of_when_the_books_were_looked_at(tmp_path: Path) -> None:
    """Readers never see a sign of life of a moment after the pause beside books of before it."""
    rig = Rig(tmp_path)
    view = MarketView(rig.path, silence=LIMIT)
    assert view.alive
    time.sleep(1.5 * LIMIT)
    assert not view.alive
    rig.engine.run(0.001)
    assert not view.alive or int(view.top(0).state) == STALE


def test_a_book_that_is_rebuilt_meanwhile_is_not_live_either(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    time.sleep(1.5 * LIMIT)
    batch = Batch(2)
    batch.append(0, Kind.CLEAR, Flag.SNAPSHOT, 0, 20)
    batch.append(0, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 20)
    rig.sender.publish(rig.encoder, batch, 0)
    rig.run_until(lambda: rig.engine.books.update_id(0) == 20)
    assert rig.engine.live() == 0
    rig.heartbeat()
    rig.run_until(lambda: rig.engine.live() == 2)
