"""A feed that falls behind: judged against what is usual, whatever the clocks' offset is."""

import pytest

from wirebook.feed.lag import Lag


def run(lag: Lag, start: float, ages: list[float | None], loop_late: float = 0.0) -> list[bool]:
    """Samples ten times a second; what it thinks after each."""
    verdicts = []
    for number, age in enumerate(ages):
        lag.sample(start + number / 10, age, loop_late)
        verdicts.append(lag.behind)
    return verdicts


@pytest.mark.parametrize("offset", [0.02, -1.27, 3600.0])
def test_the_offset_of_the_clocks_does_not_matter(offset: float) -> None:
    lag = Lag(0.5)
    assert not any(run(lag, 0.0, [offset] * 50))
    assert run(lag, 5.0, [offset + 0.8] * 20) == [False] * 10 + [True] * 10
    assert lag.late == pytest.approx(0.8)
    assert run(lag, 7.0, [offset + 0.1]) == [False]
    assert lag.worst == pytest.approx(0.8)


def test_one_late_message_is_no_trend() -> None:
    lag = Lag(0.5)
    assert not any(run(lag, 0.0, [0.0, 9.0, 0.0] * 30))


def test_a_quiet_market_is_not_late_and_does_not_end_lateness() -> None:
    lag = Lag(0.5)
    assert not any(run(lag, 0.0, [None] * 30))
    run(lag, 3.0, [0.0] + [2.0] * 15)
    assert lag.behind
    assert all(run(lag, 5.0, [None] * 5))
    assert run(lag, 6.0, [0.0]) == [False]


def test_a_busy_event_loop_is_late_without_any_message() -> None:
    lag = Lag(0.5)
    assert run(lag, 0.0, [None] * 12, loop_late=0.6)[-1]


def test_a_clock_that_was_set_is_forgotten() -> None:
    """Ours jumped ahead by 2 s: for some minutes everything looks late, and then that is usual."""
    lag = Lag(0.5)
    run(lag, 0.0, [0.0] * 100)
    verdicts = run(lag, 10.0, [2.0] * 3600)
    assert verdicts[100]
    assert not verdicts[-1]


@pytest.mark.parametrize("step", [3600.0, 2.0, -3600.0])
def test_a_clock_that_was_set_is_one_fresh_start_at_most(step: float) -> None:
    lag, begun = Lag(1.0), 0
    for tenth in range(9000):
        was = lag.behind
        lag.sample(tenth / 10, 0.02 + (step if tenth >= 1000 else 0.0), 0.0)
        if lag.behind and not was:
            begun += 1
            lag.forget()
    assert begun == (1 if step > 0 else 0)
