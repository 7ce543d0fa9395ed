"""Losses on real sockets: none with the buffer as configured, else each is counted, and repaired."""

from __future__ import annotations

import os
import random
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from wirebook import channels, transports
from wirebook.config import Transport
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.transport.udp import UdpSender
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind

SYMBOLS = 8
PACKETS = 50_000
PORTS = count(24_000 + os.getpid() % 1000)  # another run of these tests on this host shall not be heard


def at(**keys: Any) -> Transport:
    """A [transport] on the loopback interface, that nobody else uses."""
    return replace(Transport(), ttl=0, port=next(PORTS), snapshot_port=next(PORTS), **keys)


class Publisher:
    """A feed in miniature: random updates of some books, and what they are afterwards."""

    def __init__(self, seed: int = 1) -> None:
        self.encoder = Encoder(1, 1, int(time.time()))
        self.books = Books(SYMBOLS, Arena(4 << 20, "off"))
        self._chance = random.Random(seed)
        self._update_id = 1

    def begin(self) -> Batch:
        """Every book empty and live."""
        batch = Batch(2 * SYMBOLS)
        for symbol in range(SYMBOLS):
            batch.append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, 1)
            batch.append(symbol, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 1)
        self.books.apply(batch)
        return batch

    def update(self) -> Batch:
        """The three records of an event: 184 bytes on the wire."""
        self._update_id += 1
        batch = Batch(3)
        symbol = self._chance.randrange(SYMBOLS)
        for number in range(3):
            flags = Flag.EVENT_END if number == 2 else 0
            batch.append(
                symbol, self._chance.randrange(2), flags, 0, self._update_id, self._chance.randrange(500),
                self._chance.randrange(4),
            )  # fmt: skip
        self.books.apply(batch)
        return batch

    def snapshots(self) -> list[Batch]:
        """Of each book."""
        batches = []
        for symbol in range(SYMBOLS):
            batch = Batch(4096)
            self.books.snapshot(symbol, batch)
            batches.append(batch)
        return batches


def heartbeat() -> Batch:
    batch = Batch(1)
    batch.append(0, Kind.HEARTBEAT, Flag.EVENT_END)
    return batch


@pytest.fixture
def market() -> Iterator[MarketWriter]:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="wirebook-test-") as folder:
        yield MarketWriter(Path(folder) / "market", SYMBOLS)


def engine_for(transport: Transport, market: MarketWriter, gap_timeout: float = 0.005) -> Engine:
    receivers = transports.by_udp(transport).receivers
    for receiver in receivers:
        if receiver.notes:
            pytest.skip(f"this machine refuses: {receiver.notes[0]}")
    lines = channels.lines(transport)
    return Engine(Books(SYMBOLS, Arena(4 << 20, "off")), market, receivers, lines=lines, gap_timeout=gap_timeout)


def equal(engine: Engine, publisher: Publisher) -> None:
    for symbol in range(SYMBOLS):
        assert engine.books.state(symbol) is State.LIVE
        for kind in (Kind.BID, Kind.ASK):
            assert engine.books.levels(symbol, kind) == publisher.books.levels(symbol, kind)


def flood(transport: Transport, market: MarketWriter) -> tuple[Engine, Publisher, UdpSender]:
    """50,000 packets as fast as they can be sent, to an engine that sleeps 50 ms meanwhile."""
    engine, publisher = engine_for(transport, market), Publisher()
    send = UdpSender(channels.endpoints(transport, Channel.INCREMENTAL_CHANNEL), transport.ttl)
    batches = [publisher.begin(), *(publisher.update() for _ in range(PACKETS)), heartbeat()]
    sender = threading.Thread(target=lambda: [send.publish(publisher.encoder, batch) for batch in batches])
    sender.start()
    engine.run(0.01)
    time.sleep(0.05)
    quiet = 0
    while sender.is_alive() or quiet < 5:
        packets = engine.counters()["packets"]
        engine.run(0.01)
        quiet = quiet + 1 if engine.counters()["packets"] == packets else 0
    assert send.drops == 0
    return engine, publisher, send


def test_a_flood_while_the_reader_sleeps_loses_nothing_with_the_configured_buffer(market: MarketWriter) -> None:
    # A packet of 184 bytes takes 832 of twice the buffer: this has room for 60,000, however fast they come.
    engine, publisher, _ = flood(at(receive_buffer=24 << 20), market)
    counters = engine.counters()
    assert counters["packets"] == PACKETS + 2
    assert (counters["kernel_drops"], counters["gaps"], counters["lost"]) == (0, 0, 0)
    equal(engine, publisher)


def test_with_a_small_buffer_every_loss_is_counted_and_repaired(market: MarketWriter) -> None:
    transport = at(receive_buffer=65536)
    engine, publisher, incrementals = flood(transport, market)
    snapshots = UdpSender(channels.endpoints(transport, Channel.SNAPSHOT_CHANNEL), 0)
    # The last packets may be among those lost: one more tells how many.
    incrementals.publish(publisher.encoder, heartbeat())
    engine.run(0.1)
    counters = engine.counters()
    assert counters["lost"] > 0
    assert counters["kernel_drops"] == counters["lost"]
    assert counters["packets"] + counters["lost"] == PACKETS + 3
    assert {engine.books.state(symbol) for symbol in range(SYMBOLS)} == {State.STALE}
    for batch in publisher.snapshots():
        snapshots.publish(publisher.encoder, batch, Channel.SNAPSHOT_CHANNEL)
        engine.run(0.02)  # a cycle is spread over time: the small buffer has room for one book
    equal(engine, publisher)
    assert engine.counters()["recoveries"] == SYMBOLS


@pytest.mark.parametrize("both", [False, True])
def test_ten_percent_lost_on_each_line(market: MarketWriter, both: bool) -> None:
    """Where one line has the packet there is no gap. Where none has it the snapshot channel repairs the books."""
    transport = at(group_b="239.192.7.3", snapshot_group_b="239.192.7.4")
    # The sender here is Python that may lose its CPU between two sends; a line that is late isn't one that lost.
    engine, publisher, chance = engine_for(transport, market, gap_timeout=0.5), Publisher(), random.Random(5)
    lines = channels.endpoints(transport, Channel.INCREMENTAL_CHANNEL)
    number = 6000
    losses = [set(chance.sample(range(2, number), number // 10))]
    rest = range(2, number) if both else [n for n in range(2, number) if n not in losses[0]]
    losses.append(set(chance.sample(rest, number // 10)))
    packets = [packet for batch in (publisher.begin(), *(publisher.update() for _ in range(number - 2)), heartbeat())
               for packet in publisher.encoder.encode(batch)]  # fmt: skip
    assert len(packets) == number
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        for sequence, packet in enumerate(packets, start=1):
            for endpoint, lost in zip(lines, losses, strict=True):
                if sequence not in lost:
                    raw.sendto(packet, (endpoint.group, endpoint.port))
            if sequence % 100 == 0:
                engine.run(0.001)
        engine.run(0.6)
    counters = engine.counters()
    lost_by_both = losses[0] & losses[1]
    assert (counters["kernel_drops"], counters["held"] > 100) == (0, True)
    assert counters["lost"] == len(lost_by_both)
    assert (counters["line_a_lost"], counters["line_b_lost"]) == (number // 10, number // 10)
    assert counters["copies"] == number - len(losses[0] | losses[1])
    if not both:
        assert (counters["gaps"], counters["stale_marks"]) == (0, 0)
    else:
        assert counters["gaps"] > 20
        sender = UdpSender(channels.endpoints(transport, Channel.SNAPSHOT_CHANNEL), 0)
        for batch in publisher.snapshots():
            sender.publish(publisher.encoder, batch, Channel.SNAPSHOT_CHANNEL)
        engine.run(0.1)
    equal(engine, publisher)
