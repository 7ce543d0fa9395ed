"""A venue whose messages get older and older, as they do when a feed can't follow: told, and by policy left."""

import json
from pathlib import Path

from wirebook.core.books.books import State
from wirebook.core.wire.records import Reason
from wirebook.sim.tape import SyntheticTape

from .support import node, serving, until

SLOWER = 0.5
"""Every second, messages get half a second older."""


def test_a_feed_that_falls_behind_says_so_and_begins_anew(tmp_path: Path) -> None:
    with (
        serving(SyntheticTape(1, 100, 2), SLOWER) as venue,
        node(tmp_path, venue, behind_seconds=0.5) as under_test,
    ):
        status = tmp_path / "feed-binance.json"
        under_test.start_both()
        under_test.wait_live(1)
        until(lambda: under_test.states() == [State.STALE], "a stale book")
        assert under_test.view().top(0).reason == Reason.TOO_SLOW
        until(lambda: status.exists() and json.loads(status.read_text())["behind_times"] >= 1, "the figure")
        assert b"s behind the venue: books are stale" in under_test.log("feed")
        figures = json.loads(status.read_text())
        assert 0.5 <= figures["late_seconds_worst"] < 60
        assert (figures["books"], figures["gaps"]) == (1, 0)
        assert figures["updates"] > 50
        until(lambda: under_test.log("feed").count(b"books live") >= 2, "live books again")
        assert under_test.stop("feed") == 0
        assert not status.exists()
