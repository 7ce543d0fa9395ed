"""`wirebook top` on a market cache that a real engine wrote."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wirebook import config as configuration
from wirebook.commands import top
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0, 0, "0"), (0, 2, "0.00"), (5, 2, "0.05"), (-5, 2, "-0.05"), (12345, 2, "123.45"), (-12345, 0, "-12345"),
     (2**62, 8, "46116860184.27387904")],
)  # fmt: skip
def test_decimal_is_exact(value: int, decimals: int, text: str) -> None:
    assert top.decimal(value, decimals) == text


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    engine = Engine(Books(4, Arena(4 << 20, "off")), MarketWriter(tmp_path / "market", 4))
    batch = Batch(16)
    batch.define(0, "binance:BTCUSDT", 2, 5)
    batch.define(2, "binance:ETHUSDT", 2, 4)
    for symbol in (0, 2):
        batch.append(symbol, Kind.CLEAR, update_id=9)
        batch.append(symbol, Kind.BID, update_id=9, price=6000001, quantity=123)
        batch.append(symbol, Kind.LIVE, update_id=9)
    batch.append(2, Kind.STALE, Flag.EVENT_END, Reason.POOL_EXHAUSTED)
    encoder = Encoder(1, 1, 1)
    packets = encoder.encode(batch)
    batch.clear()
    batch.append(0, Kind.ASK, Flag.EVENT_END, update_id=9, receive_ns=1)
    for packet in [*packets, *encoder.encode(batch)]:
        engine.process(packet)
    return engine


def shown(tmp_path: Path, capsys: pytest.CaptureFixture[str], *, as_json: bool) -> str:
    default = configuration.Config()
    config = dataclasses.replace(default, market=configuration.Market(path=str(tmp_path / "market")))
    top.run(config, once=True, as_json=as_json)
    return capsys.readouterr().out


def test_once_as_json(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(shown(tmp_path, capsys, as_json=True))
    assert found["alive"] is True
    first, second = found["symbols"]
    assert {name: first[name] for name in ("symbol", "name", "state", "reason", "update_id")} == {
        "symbol": 0, "name": "binance:BTCUSDT", "state": "LIVE", "reason": None, "update_id": 9,
    }  # fmt: skip
    assert (first["bid_price"], first["bid_quantity"]) == ("60000.01", "0.00123")
    assert (first["ask_price"], first["ask_quantity"]) == (None, None)
    assert (second["state"], second["reason"]) == ("STALE", "pool exhausted")
    assert (first["stamp"], first["arrival_ns"]) == ("user", first["publish_ns"])
    assert list(found["latency_ns"]) == [
        "venue_to_feed", "feed_to_sent", "sent_to_received", "received_to_taken", "taken_to_published",
    ]  # fmt: skip
    assert found["latency_ns"]["sent_to_received"] == {
        "packets": 1, "negative": 0, "p50": None, "p99": None, "p99.9": None,
    }  # fmt: skip


def test_metrics_are_what_prometheus_reads(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "transport.json").write_text('{"asked": "af_xdp", "kind": "udp", "drops": 7, "fell_back": "no NIC"}')
    default = configuration.Config()
    top.metrics(dataclasses.replace(default, market=configuration.Market(path=str(tmp_path / "market"))))
    lines = capsys.readouterr().out.splitlines()
    for line in (
        "wirebook_book_up 1",
        'wirebook_books{state="live"} 1',
        'wirebook_books{state="stale"} 1',
        "wirebook_book_pool_exhausted_total 0",
        'wirebook_transport_info{asked="af_xdp",kind="udp"} 1',
        "wirebook_transport_drops_total 7",
    ):
        assert line in lines
    # Each sample follows the type of its family, and no family comes twice.
    families = [line.split()[2] for line in lines if line.startswith("# TYPE ")]
    samples = list(dict.fromkeys(line.split("{")[0].split()[0] for line in lines if not line.startswith("#")))
    assert len(set(families)) == len(families)
    assert [family for family in families if family in samples] == samples


def test_once_as_a_table(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary, heading, *rows = shown(tmp_path, capsys, as_json=False).splitlines()
    assert summary.startswith("wirebook book running · 1 of 2 books live")
    assert heading.split()[:3] == ["SYMBOL", "STATE", "BID"]
    assert rows[0].split()[:6] == ["binance:BTCUSDT", "LIVE", "0.00123", "60000.01", "-", "-"]
    assert rows[0].split()[-1] == "user"
    assert rows[1].split()[:4] == ["binance:ETHUSDT", "STALE", "pool", "exhausted"]
    assert rows[3].split() == ["LATENCY,", "µs", "PACKETS", "P50", "P99", "P99.9"]
    assert rows[8].split() == ["taken", "to", "published", "1", *3 * ["-"]]


def test_a_captures_old_times_are_no_latency(
    engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder, batch = Encoder(2, 2, 1), Batch(64)
    for number in range(100):
        batch.clear()
        receive_ns = time.time_ns()
        batch.append(0, Kind.BID, Flag.EVENT_END, 0, number + 10, 5, 5, receive_ns - 86_400 * 10**9, receive_ns)
        for packet in encoder.encode(batch):
            engine.process(packet)
    found = json.loads(shown(tmp_path, capsys, as_json=True))["latency_ns"]["venue_to_feed"]
    assert (found["packets"], found["p50"]) == (100, None)
    (line,) = [row for row in shown(tmp_path, capsys, as_json=False).splitlines() if row.startswith("venue to feed")]
    assert line.split()[3:7] == ["100", "-", "-", "-"]
    assert line.endswith("  over 36 minutes: messages of a capture, or a wrong clock")


def test_an_engine_that_stopped_is_shown_so(engine: Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine.market.close()
    assert "STOPPED · 0 of 2 books live" in shown(tmp_path, capsys, as_json=False)


def test_the_live_view_ends_with_its_reader(engine: Engine, tmp_path: Path) -> None:
    config = tmp_path / "engine.toml"
    config.write_text(f'[market]\npath = "{tmp_path}/market"\n')
    command = [sys.executable, "-m", "wirebook", "top", "--json", "--config", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert json.loads(process.stdout.readline())["symbols"][0]["state"] == "LIVE"
    process.stdout.close()
    assert process.wait(5) == 0
    assert process.stderr
    assert "Traceback" not in process.stderr.read()
