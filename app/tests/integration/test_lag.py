"""A venue whose messages get older and older, as they do when a feed can't follow: told, and by policy left."""

import json
import signal
import time
from pathlib import Path

from wirebook.core.books.books import State
from wirebook.core.wire.records import Reason
from wirebook.sim.tape import SyntheticTape

from .support import Sim, node, serving, until

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


def test_a_book_process_that_is_stopped_and_let_go_is_never_live_with_old_data(tmp_path: Path) -> None:
    """As by a debugger, or a paused virtual machine: what waits in its socket is as old as the pause is long."""
    with Sim("--synthetic", "--symbols", "3", "--rate", "500") as sim, node(tmp_path, sim.venue, 60.0) as under_test:
        under_test.start_both()
        under_test.wait_live(3)
        view = under_test.view()
        under_test.send_signal("book", signal.SIGSTOP)
        time.sleep(5.0)
        assert {view.top(number).reason for number in range(3)} == {Reason.STOPPED}
        under_test.send_signal("book", signal.SIGCONT)
        reasons, oldest, end = set(), 0.0, time.monotonic() + 3.0
        while time.monotonic() < end:
            for number in range(3):
                top = view.top(number)
                if top.state is State.LIVE:
                    oldest = max(oldest, (time.time_ns() - top.receive_ns) / 1e9)
                else:
                    reasons.add(Reason(top.reason))
        assert Reason.TOO_SLOW in reasons
        assert oldest < 2.0
        under_test.wait_live(3)
        assert b"TOO_SLOW" not in under_test.log("feed"), "the feed has nothing to do with it"
