"""How often snapshots are asked for, and lines are said: by the clock that the test names."""

from itertools import pairwise

from wirebook.feed.resyncs import Resyncs
from wirebook.sayings import Sayings


def test_a_book_that_never_heals_is_asked_for_ever_more_seldom() -> None:
    resyncs, now, asked = Resyncs(), 0.0, []
    while now < 3600:
        now = resyncs.ask(7, now)
        asked.append(now)
        now += 0.1
    assert asked[0] == 0.0
    assert asked[1] <= 1.25
    assert len(asked) <= 22
    assert all(after - before <= 376 for before, after in pairwise(asked))
    assert asked[-1] - asked[-2] >= 300


def test_after_minutes_live_the_next_time_is_the_first_again() -> None:
    resyncs = Resyncs()
    now = 0.0
    for _ in range(5):
        now = resyncs.ask(7, now)
    assert resyncs.ask(7, now + 1.0) > now + 8
    now += 1000
    assert resyncs.ask(7, now) == now


def test_each_book_waits_for_itself() -> None:
    resyncs = Resyncs()
    assert [resyncs.ask(symbol, 5.0) for symbol in range(3)] == [5.0] * 3
    assert resyncs.ask(1, 5.0) > 5.0
    assert resyncs.ask(3, 5.0) == 5.0


def test_a_cause_is_said_at_once_and_then_now_and_then_with_a_count() -> None:
    sayings = Sayings()
    said = [(now, line) for now in range(1000) if (line := sayings.line("gap", "a gap", float(now))) is not None]
    again = "a gap (299 more like it in the last 300 s)"
    assert said == [(0, "a gap"), (300, again), (600, again), (900, again)]
    assert sayings.line("other", "another", 1000.0) == "another"


def test_a_cause_that_was_long_gone_is_new() -> None:
    sayings = Sayings()
    assert sayings.line("gap", "a gap", 0.0) == "a gap"
    assert sayings.line("gap", "a gap", 1.0) is None
    assert sayings.line("gap", "a gap", 4000.0) == "a gap"


def test_causes_without_end_are_one_line() -> None:
    sayings = Sayings()
    said = [sayings.line(f"unknown {number}", "what", number / 1000) for number in range(100_000)]
    assert sum(line is not None for line in said) == 1001
