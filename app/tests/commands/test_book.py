"""`wirebook book` as a process: over real multicast, killed, started late, stopped."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wirebook import MarketView
from wirebook.core.books.books import State
from wirebook.core.transport.base import Endpoint
from wirebook.core.transport.udp import UdpSender
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

GROUPS = ("239.192.98.1", "239.192.98.2")
PORT = 22_000


class Feed:
    """Publishes one book: events, heartbeats and snapshots, as often as it's asked to."""

    def __init__(self, name: str = "test:LIFE") -> None:
        self.name = name
        self.encoder = Encoder(1, 1, int(time.time()))
        self.senders = [UdpSender([Endpoint(group, PORT, "lo")]) for group in GROUPS]
        self.chance = random.Random(1)
        self.update_id = 0
        self.bids: dict[int, int] = {}
        self.batch = Batch(4096)

    def _publish(self, channel: int) -> None:
        self.senders[channel].publish(self.encoder, self.batch, channel)
        self.batch.clear()

    def event(self) -> None:
        self.update_id += 1
        price = self.chance.randrange(1000)
        self.bids[price] = self.update_id
        self.batch.append(5, Kind.BID, Flag.EVENT_END, 0, self.update_id, price, self.update_id)
        self._publish(Channel.INCREMENTAL_CHANNEL)

    def snapshot(self) -> None:
        self.batch.define(5, self.name, 2, 3)
        self.batch.append(5, Kind.CLEAR, Flag.SNAPSHOT, 0, self.update_id)
        for price, quantity in self.bids.items():
            self.batch.append(5, Kind.BID, Flag.SNAPSHOT, 0, self.update_id, price, quantity)
        self.batch.append(5, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, self.update_id)
        self._publish(Channel.SNAPSHOT_CHANNEL)

    def until_live(self, view: MarketView, seconds: float = 2.0) -> None:
        deadline = time.monotonic() + seconds
        while view.top(5).state is not State.LIVE or view.top(5).update_id != self.update_id:
            assert time.monotonic() < deadline, (view.alive, view.top(5), self.update_id)
            self.event()
            self.snapshot()
            time.sleep(0.02)
        bid = max(self.bids)
        assert view.top(5)[3:7] == (bid, self.bids[bid], None, None)
        assert view.depth(5)[1] == sorted(self.bids.items(), reverse=True)[:10]


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="wirebook-test-") as name:
        yield Path(name)


@pytest.fixture
def config(directory: Path) -> Path:
    path = directory / "engine.toml"
    path.write_text(
        f"""
        [memory]
        lock = {"true" if os.getuid() == 0 else "false"}
        arena_mb = 32
        [transport]
        interface = "lo"
        group = "{GROUPS[0]}"
        port = {PORT}
        snapshot_group = "{GROUPS[1]}"
        snapshot_port = {PORT}
        [book]
        cpu = {max(os.sched_getaffinity(0))}
        poll = "wait"
        symbols = 64
        [market]
        path = "{directory}/market"
        """
    )
    return path


def book(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "wirebook", "book", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    for line in process.stderr:
        if "ready" in line:
            return process
    raise AssertionError(f"wirebook book left with {process.wait()}")


def test_a_killed_book_is_seen_as_stale_and_whole_again_after_its_restart(config: Path, directory: Path) -> None:
    feed = Feed()
    process = book(config)
    view = MarketView(directory / "market")
    feed.until_live(view)
    for _ in range(3):
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(1.1)
        assert view.top(5).state is State.STALE
        feed.event()
        process = book(config)
        feed.until_live(view)
    process.terminate()
    process.wait(10)


def test_who_is_not_configured_is_named_with_his_address(config: Path, directory: Path) -> None:
    with config.open("a") as file:
        file.write('[[feed]]\nvenue = "binance"\nsymbols = [{ id = 5, instrument = "LIFE" }]\n')
    feed, stranger, second = Feed("binance:LIFE"), Feed("binance:LIFE"), Feed("binance:LIFE")
    stranger.encoder = Encoder(1, 9, int(time.time()))
    second.encoder = Encoder(1, 1, int(time.time()), nonce=2)
    stranger.update_id = second.update_id = 1000
    process = book(config)
    view = MarketView(directory / "market")
    feed.until_live(view)
    stranger.event()
    stranger.snapshot()
    feed.until_live(view)
    second.event()
    time.sleep(0.1)
    feed.event()
    assert (view.top(5).state, view.top(5).reason) == (State.STALE, Reason.CONTESTED)
    feed.until_live(view, 4.0)
    assert view.metrics()["restarts"] == 0
    process.terminate()
    assert process.stderr
    said = process.stderr.read()
    process.wait(10)
    for words in (r"binance, stream 9, .*no \[\[feed\]\] names", r"another publisher of binance, stream 1,"):
        (line,) = (line for line in said.splitlines() if re.search(words, line))
        assert re.search(r"from [\d.]+:\d+", line), line


def faults(pid: int) -> list[int]:
    """Minor and major page faults of a process (proc(5), fields 10 and 12 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(fields[7]), int(fields[9])]


def test_the_steady_state_takes_no_page_fault(config: Path, directory: Path) -> None:
    feed = Feed()
    process = book(config)
    view = MarketView(directory / "market")
    feed.until_live(view)
    for _ in range(500):
        feed.event()
    time.sleep(0.5)
    before = faults(process.pid)
    for _ in range(2000):
        feed.event()
        time.sleep(0.0005)
    deadline = time.monotonic() + 30
    while view.top(5).update_id != feed.update_id:
        assert time.monotonic() < deadline, (view.top(5).update_id, feed.update_id)
        time.sleep(0.01)
    assert faults(process.pid) == before
    assert os.sched_getaffinity(process.pid) == {max(os.sched_getaffinity(0))}
    process.terminate()
    process.wait(10)


def test_a_stop_is_orderly_and_readers_know_at_once(config: Path, directory: Path) -> None:
    feed = Feed()
    process = book(config)
    view = MarketView(directory / "market")
    feed.until_live(view)
    process.terminate()
    assert process.wait(10) == 0
    assert (view.alive, view.top(5).state) == (False, State.STALE)
    assert process.stderr
    assert "stopped: " in process.stderr.read()


def test_a_second_book_gets_a_sentence(config: Path) -> None:
    process = book(config)
    command = [sys.executable, "-m", "wirebook", "book", "--config", str(config)]
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert second.stderr.splitlines()[-1].startswith("wirebook: another wirebook book writes ")
    process.terminate()
    process.wait(10)


def test_it_loads_nothing_of_what_a_feed_runs_on() -> None:
    """All that it loads, it locks in memory: an event loop would be 16 MB, for nothing."""
    code = (
        "import sys\nimport wirebook.commands.book\nfrom wirebook import config\n"
        "config.parse({'feed': [{'venue': 'binance', 'symbols': [{'id': 0, 'instrument': 'BTCUSDT'}]}]})\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    unwanted = ("asyncio", "orjson", "picows", "uvloop", "zstandard", "ssl", "numpy", "wirebook.feed", "wirebook.sim")
    assert not [name for name in loaded if name.startswith(unwanted)]
