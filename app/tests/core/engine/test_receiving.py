"""The engine's loop on real sockets: what waits in them is looked at before a hole is given up, and errors are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.transport.base import Endpoint, Stamp
from wirebook.core.transport.udp import UdpReceiver, UdpSender
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind

from ..transport.test_udp import kernel_stamps

GROUPS = ("239.192.98.1", "239.192.98.2")
PORTS = count(22_100)
BURST = 32
"""Packets that one look takes."""


@pytest.fixture
def lines() -> list[Endpoint]:
    port = next(PORTS)
    return [Endpoint(group, port, "lo") for group in GROUPS]


def run(engine: Engine, done: Callable[[], bool]) -> None:
    """Let it receive until `done`, for some seconds at most: this machine may be busy."""
    deadline = time.monotonic() + 10
    while not done() and time.monotonic() < deadline:
        engine.run(0.05)
    engine.run(0.05)


def event(update_id: int, symbol: int = 0) -> Batch:
    batch = Batch(1)
    batch.append(symbol, Kind.BID, Flag.EVENT_END, 0, update_id, 100 + update_id, 1)
    return batch


def whole(*symbols: int) -> Batch:
    batch = Batch(2 * len(symbols))
    for symbol in symbols:
        batch.append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, 1)
        batch.append(symbol, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 1)
    return batch


def test_a_hole_is_not_given_up_while_the_missing_packet_waits_in_a_socket(
    tmp_path: Path, lines: list[Endpoint]
) -> None:
    """However short the time-out: line B's socket holds it, behind more packets than one look takes."""
    receivers = [UdpReceiver(endpoint, line=line) for line, endpoint in enumerate(lines)]
    first, second = (UdpSender([endpoint]) for endpoint in lines)
    encoder, other = Encoder(1, 1, 1), Encoder(1, 2, 1)
    first.publish(encoder, whole(0))
    lost, later = event(2), event(3)
    on_b = Encoder(1, 1, 1)
    on_b.encode(whole(0))
    encoder.encode(lost)  # line A loses it
    first.publish(encoder, later)
    for _ in range(5 * BURST):
        second.publish(other, event(1, symbol=5))
    second.publish(on_b, lost)
    market = MarketWriter(tmp_path / "market", 8)
    engine = Engine(Books(8, Arena(4 << 20, "off")), market, receivers, history=64, lines=2, gap_timeout=0.0, busy=True)
    run(engine, lambda: engine.books.update_id(0) == 3)
    counters = engine.counters()
    assert (counters["gaps"], counters["late"], counters["gap_timeouts"]) == (0, 0, 0)
    assert counters["held"] == 1
    assert engine.books.state(0) is State.LIVE
    assert engine.books.update_id(0) == 3
    assert [price for price, _ in engine.books.levels(0, Kind.BID)] == [103, 102]


def test_a_hole_is_given_up_when_all_sockets_are_empty(tmp_path: Path, lines: list[Endpoint]) -> None:
    receivers = [UdpReceiver(endpoint, line=line) for line, endpoint in enumerate(lines)]
    sender, encoder = UdpSender(lines[:1]), Encoder(1, 1, 1)
    sender.publish(encoder, whole(0))
    encoder.encode(event(2))
    sender.publish(encoder, event(3))
    market = MarketWriter(tmp_path / "market", 8)
    engine = Engine(
        Books(8, Arena(4 << 20, "off")), market, receivers, history=64, lines=2, gap_timeout=0.01, busy=True
    )
    run(engine, lambda: engine.counters()["gaps"] > 0)
    assert engine.counters()["gaps"] == 1
    assert engine.books.state(0) is State.STALE


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("busy", [True, False])
def test_a_receiver_that_fails_ends_the_run_with_its_error(
    tmp_path: Path, lines: list[Endpoint], place: int, busy: bool
) -> None:
    receivers = [UdpReceiver(endpoint) for endpoint in lines]
    engine = Engine(
        Books(8, Arena(4 << 20, "off")), MarketWriter(tmp_path / "market", 8), receivers, history=64, busy=busy
    )
    engine.run(0.01)
    receivers[place].close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        engine.run(5.0)


def test_an_event_has_the_arrival_of_its_own_packet(tmp_path: Path, lines: list[Endpoint]) -> None:
    """Though it waited for others, to be applied in one batch with them."""
    receiver, sender, encoder = UdpReceiver(lines[0]), UdpSender(lines[:1]), Encoder(1, 1, 1)
    kernel_stamps(next(PORTS))
    market = MarketWriter(tmp_path / "market", 8)
    engine = Engine(Books(8, Arena(4 << 20, "off")), market, [receiver], history=64, batch=16)
    sender.publish(encoder, whole(0, 1, 2))
    run(engine, lambda: engine.live() == 3)
    sent = []
    for symbol in range(3):
        before = time.time_ns()
        sender.publish(encoder, event(2, symbol))
        sent.append((before, time.time_ns()))
        time.sleep(0.02)
    view = MarketView(tmp_path / "market")
    run(engine, lambda: view.top(2).update_id == 2)
    for symbol, (before, after) in enumerate(sent):
        top = view.top(symbol)
        assert top.update_id == 2
        assert top.stamp is Stamp.STAMP_KERNEL
        assert before <= top.arrival_ns <= after + 5_000_000
