"""Recording over real sockets: what a feed recorded replays without a gap, to the books that it published."""

import time
from pathlib import Path

import pytest

from wirebook import traffic
from wirebook.commands.replay import replay
from wirebook.core.books.books import State
from wirebook.sim import CaptureTape
from wirebook.venues import get

from .support import Sim, node, refused, until

MARKET = ("--synthetic", "--rate", "200")


def joined(directory: Path, path: Path) -> Path:
    """A recording's files as one, as `cat` joins them."""
    path.write_bytes(b"".join(file.read_bytes() for file in sorted(directory.iterdir())))
    return path


def test_a_feed_records_what_it_hears_and_it_replays(tmp_path: Path) -> None:
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    with (
        Sim(*MARKET, "--symbols", "2") as sim,
        node(tmp_path, sim.venue, record=str(recordings), record_seconds=1) as under_test,
    ):
        under_test.start_both()
        under_test.wait_live(2)
        until(lambda: len(under_test.lines()) > 500, "events")
        assert under_test.stop("feed") == 0
        until(lambda: under_test.states() == [State.STALE] * 2, "the feed's last word")
    assert [path for path in recordings.iterdir() if path.suffix != ".zst"] == []
    recording = joined(recordings, tmp_path / "all.zst")
    tape = CaptureTape(get("binance"), recording)
    assert set(tape.snapshots) == set(tape.scales) == {"SYN0USDT", "SYN1USDT"}
    assert not any(b"lastUpdateId" in item.message for item in tape.play() if isinstance(item.message, bytes))
    report, notes = replay(get("binance"), recording)
    assert notes == []
    assert (report.gaps, report.snapshots, report.bbo_differ) == (0, 2, 0)
    assert report.updates > 400


def test_recording_without_a_feed(tmp_path: Path) -> None:
    """It needs no multicast, and what it would have to send goes nowhere."""
    recordings = tmp_path / "recordings"
    recordings.mkdir()
    with Sim(*MARKET) as sim, node(tmp_path, sim.venue) as under_test:
        under_test.start_book()
        under_test.start("record", "binance", "--directory", str(recordings))
        until(lambda: b"books live" in under_test.log("record"), "a live book")
        time.sleep(1)
        assert under_test.stop("record") == 0
        assert under_test.view().defined() == []
    report, _ = replay(get("binance"), joined(recordings, tmp_path / "all.zst"))
    assert report.gaps == 0
    assert report.updates > 50


@pytest.mark.parametrize("venue", ["binance", "bybit-linear", "okx", "kraken", "coinbase"])
def test_a_recording_across_a_reconnect_is_live_again(tmp_path: Path, venue: str) -> None:
    """In a replay; and at the simulated venue that plays it, for a feed that follows it there."""
    recordings, faults = tmp_path / "recordings", tmp_path / "faults.toml"
    recordings.mkdir()
    faults.write_text('[[fault]]\nkind = "disconnect"\nat = [200]\n')
    with (
        Sim("--venue", venue, "--synthetic", "--rate", "100", "--symbols", "2", "--faults", str(faults)) as sim,
        node(tmp_path, sim.venue, record=str(recordings)) as under_test,
    ):
        under_test.start("feed", venue)
        until(lambda: under_test.log("feed").count(b"all 2 books live") == 2, "live books on a second connection")
        time.sleep(2)
        assert under_test.stop("feed") == 0
    recording = joined(recordings, tmp_path / "all.zst")
    entries = list(traffic.entries(recording))
    marks = [traffic.mark_of(raw) for _, raw in entries]
    kinds = [mark.kind for mark in marks if mark is not None]
    asked = ["request"] * 2 if venue == "binance" else []
    assert kinds == ["connected", *asked, "disconnected", "connected", *asked, "disconnected"]
    lost = next(n for n, mark in enumerate(marks) if mark is not None and mark.kind == "disconnected")
    first = tmp_path / "first.txt"
    first.write_bytes(b"".join(b"%d %b\n" % entry for entry in entries[:lost]))
    before, after = (replay(get(venue), path)[0] for path in (first, recording))
    assert before.updates > 50
    assert after.updates > before.updates + 100
    assert (after.gaps, after.malformed, after.checksum_bad) == (0, 0, 0)
    (tmp_path / "again").mkdir()
    with (
        Sim("--venue", venue, "--replay", str(recording)) as again,
        node(tmp_path / "again", again.venue) as follower,
    ):
        follower.start("feed", venue)
        until(lambda: follower.log("feed").count(b"all 2 books live") == 2, "live books after the recorded loss")
        assert b"disconnected" in follower.log("feed")


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with node(tmp_path, {"symbols": ["X"], "websocket": "ws://x", "rest": "http://x"}) as under_test:
        absent = str(tmp_path / "absent")
        assert f"can't write recordings to {absent}" in refused(
            "record", "binance", "--directory", absent, "--config", str(under_test.config)
        )
