"""Real processes whose venue, or who themselves, go on without anything that keeps a book live."""

import json
import signal
import time
from pathlib import Path

import pytest

from wirebook.core.books.books import State
from wirebook.core.wire.records import Reason

from .support import Node, Sim, node, until

RATE = 40
STRUCK = 12 * RATE
"""The message at which the fault begins: a book's pauses have been learnt by then."""


def faulty(path: Path, venue: str, *lines: str) -> Sim:
    scenario = path / "faults.toml"
    scenario.write_text("\n".join(["[[fault]]", f"at = [{STRUCK}]", "seconds = 15", *lines]))
    return Sim("--venue", venue, "--synthetic", "--symbols", "2", "--rate", str(RATE), "--faults", str(scenario))


def stale(under_test: Node, number: int) -> list[tuple[State, int]]:
    top = under_test.view().top(number)
    return [(top.state, top.reason)]


@pytest.mark.parametrize("venue", ["bybit-linear", "okx", "kraken", "coinbase"])
def test_books_are_stale_when_only_heartbeats_and_pongs_come(tmp_path: Path, venue: str) -> None:
    with faulty(tmp_path, venue, 'kind = "book_silence"') as sim, node(tmp_path, sim.venue) as under_test:
        under_test.start_both()
        under_test.wait_live(2)
        until(lambda: stale(under_test, 0) + stale(under_test, 1) == [(State.STALE, Reason.SILENCE)] * 2, "silence")
        assert b"no event for" in under_test.log("feed")
        under_test.wait_live(2)
        assert json.loads((tmp_path / f"feed-{venue}.json").read_text())["doubted"] >= 2


@pytest.mark.parametrize(("venue", "kind"), [("okx", "format_ids"), ("bybit-linear", "format_renamed")])
def test_books_are_stale_when_the_venue_s_format_changes(tmp_path: Path, venue: str, kind: str) -> None:
    with faulty(tmp_path, venue, f'kind = "{kind}"') as sim, node(tmp_path, sim.venue) as under_test:
        under_test.start_both()
        under_test.wait_live(2)
        unreadable = (State.STALE, Reason.UNREADABLE)
        until(lambda: unreadable in stale(under_test, 0) + stale(under_test, 1), "an unreadable book")
        until(lambda: State.LIVE not in under_test.states(), "stale books")
        under_test.wait_live(2)


@pytest.mark.parametrize(("venue", "kind"), [("binance", "crossed"), ("okx", "locked"), ("kraken", "crossed")])
def test_a_book_that_stays_crossed_is_stale_and_heals(tmp_path: Path, venue: str, kind: str) -> None:
    with faulty(tmp_path, venue, f'kind = "{kind}"') as sim, node(tmp_path, sim.venue) as under_test:
        under_test.start_both()
        under_test.wait_live(2)
        crossed = (State.STALE, Reason.CROSSED)
        until(lambda: crossed in stale(under_test, 0) + stale(under_test, 1), "a book that is crossed for too long")
        assert State.LIVE in under_test.states(), "the other one"
        assert b"crossed or locked for" in under_test.log("feed")
        under_test.wait_live(2)
        assert json.loads((tmp_path / f"feed-{venue}.json").read_text())["crossed"] >= 1


def test_a_feed_that_was_stopped_publishes_nothing_old_as_live(tmp_path: Path) -> None:
    with (
        Sim("--synthetic", "--symbols", "2", "--rate", "200") as sim,
        node(tmp_path, sim.venue, silence=60.0) as under_test,
    ):
        under_test.start_both()
        under_test.wait_live(2)
        view = under_test.view()

        def ages() -> list[float]:
            """By the venue's own clock, which began when it did."""
            tops = [view.top(number) for number in range(2)]
            return [time.time() - top.exchange_ns / 1e9 for top in tops if top.state is State.LIVE and top.exchange_ns]

        until(lambda: len(ages()) == 2, "events after the snapshots")
        usual = min(ages())
        under_test.send_signal("feed", signal.SIGSTOP)
        time.sleep(6.0)
        under_test.send_signal("feed", signal.SIGCONT)
        until(lambda: under_test.states() == [State.STALE] * 2, "stale books")
        seen, end = [], time.monotonic() + 5.0
        while time.monotonic() < end:
            seen += ages()
        assert seen
        assert max(seen) - usual < 3.0
        assert b"this process stood still for" in under_test.log("feed")
