"""Histograms of latency: how exact a percentile is, and what the engine counts."""

from __future__ import annotations

import random
import time
from pathlib import Path

import numpy as np
import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.latency import STAGE_NAMES, LatencyHistogram
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.transport.base import Stamp
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind


@pytest.mark.parametrize("scale", [20, 3_000, 900_000, 80_000_000_000])
def test_percentiles_are_the_real_ones_or_at_most_a_bin_more(scale: int) -> None:
    chance = random.Random(scale)
    values = sorted(int(chance.lognormvariate(0, 1) * scale) for _ in range(50_000))
    histogram = LatencyHistogram()
    histogram.add_many(np.array(values, np.int64))
    found = histogram.stage("x")
    assert found.packets == len(values)
    for percentile, rank in ((found.p50, 0.5), (found.p99, 0.99), (found.p999, 0.999)):
        real = values[round(rank * len(values)) - 1]
        assert percentile is not None
        assert real <= percentile <= real * 1.0625


def test_small_values_are_exact_and_huge_ones_are_in_the_last_bin() -> None:
    for value in range(32):
        histogram = LatencyHistogram()
        histogram.add(value, 20)
        assert histogram.stage("x").p50 == value
    histogram = LatencyHistogram()
    histogram.add(1 << 62, 20)
    assert histogram.stage("x").p50 == (1 << 41) - 1


def test_a_percentile_needs_ten_samples_beyond_it() -> None:
    histogram = LatencyHistogram()
    histogram.add(100, 19)
    assert histogram.stage("x").p50 is None
    histogram.add(100)
    assert (histogram.stage("x").p50, histogram.stage("x").p99) == (103, None)
    histogram.add(100, 980)
    assert (histogram.stage("x").p99, histogram.stage("x").p999) == (103, None)


def test_what_came_before_it_began_is_counted_apart() -> None:
    histogram = LatencyHistogram()
    histogram.add(-1, 3)
    assert histogram.stage("x")[:3] == ("x", 0, 3)


def test_the_engine_counts_each_stage_of_each_packet(tmp_path: Path) -> None:
    engine = Engine(Books(4, Arena(4 << 20, "off")), MarketWriter(tmp_path / "market", 4), history=16)
    encoder, batch = Encoder(1, 1, 1), Batch(64)
    batch.append(1, Kind.CLEAR)
    batch.append(1, Kind.LIVE, Flag.EVENT_END)
    packets = encoder.encode(batch)
    before = time.time_ns()
    for number in range(100):
        batch.clear()
        receive_ns = time.time_ns() - 1_000_000_000
        exchange_ns = 0 if number % 2 else receive_ns - 3_000_000_000
        batch.append(1, Kind.BID, 0, 0, number + 1, 5, 5, exchange_ns, receive_ns)
        batch.append(1, Kind.ASK, Flag.EVENT_END, 0, number + 1, 6, 6, exchange_ns, receive_ns)
        packets += encoder.encode(batch)
    batch.clear()
    batch.append(0, Kind.HEARTBEAT)
    for packet in [*packets, *encoder.encode(batch)]:
        engine.process(packet)
    view = MarketView(tmp_path / "market")
    stages = {stage.name: stage for stage in view.latency()}
    assert tuple(stages) == STAGE_NAMES
    assert [stage.packets for stage in stages.values()] == [50, 100, 100, 100, 100]
    assert stages["venue_to_feed"].p50 == pytest.approx(3e9, rel=0.07)
    assert stages["feed_to_sent"].p50 == pytest.approx(1e9, rel=0.07)
    assert stages["received_to_taken"].p50 == 0, "without a stamp a packet came when it was taken"
    taken = stages["taken_to_published"].p50
    assert taken is not None
    assert 0 < taken < 1_000_000
    top = view.top(1)
    assert top.stamp is Stamp.STAMP_USER
    assert before < top.arrival_ns == top.publish_ns < time.time_ns()
