"""What may be asked of a venue's REST, and when. Time is what the test says it is."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from wirebook.feed.quota import Quota


class Time:
    """Two clocks that go as the test lets them."""

    def __init__(self) -> None:
        self.now = 50.0

    def clock(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now


def quota(time: Time, path: Path | None = None) -> Quota:
    return Quota(6000.0, 60.0, path, time.clock, time.wall)


def test_a_third_of_the_limit_is_left_in_any_minute() -> None:
    time = Time()
    subject = quota(time)
    dice = random.Random(4)
    spent: list[tuple[float, float]] = []
    for _ in range(2000):
        weight = dice.choice([5.0, 20.0, 50.0, 250.0])
        time.now += subject.wait(weight) + dice.choice([0.0, 0.1])
        assert subject.wait(weight) == 0
        subject.spend(weight)
        spent.append((time.now, weight))
        assert sum(each for at, each in spent if at > time.now - 59.999) <= 4000.0
    assert sum(each for _, each in spent) / (time.now - 50.0) * 60.0 > 3800.0


def test_a_request_that_weighs_more_than_the_budget_is_made_when_nothing_else_was() -> None:
    time = Time()
    subject = quota(time)
    subject.spend(5.0)
    time.now += subject.wait(5000.0)
    assert time.now == 110.0


def test_what_the_venue_has_counted_is_believed_until_its_minute_ends() -> None:
    time = Time()
    subject = quota(time)
    subject.told(3990.0)
    assert subject.wait(5.0) == 0
    subject.spend(5.0)
    assert subject.wait(6.0) == pytest.approx(60.0 - time.wall() % 60.0)
    subject.told(5999.0)
    assert subject.wait(1.0) > 0
    subject.told(float("inf"))
    subject.told(float("nan"))
    time.now += 60.0
    assert subject.wait(50.0) == 0


def test_a_ban_outlasts_a_restart(tmp_path: Path) -> None:
    time, path = Time(), tmp_path / "rest.json"
    subject = quota(time, path)
    subject.close(100.0)
    subject.close(10.0)
    assert subject.closed == 100.0
    time.now += 30.0
    again = quota(time, path)
    assert again.closed == pytest.approx(70.0)
    assert again.wait(1.0) == pytest.approx(70.0)
    time.now += 71.0
    assert quota(time, path).closed == 0
    assert again.wait(1.0) == 0


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b"{}", b'{"closed_until":null}', b'{"closed_until":true}', b'{"closed_until":"x"}',
        b'{"closed_until":1e400}', b'{"closed_until":NaN}', b'{"closed_until":1800000000}', b'{"closed_until":-1}',
        b"[" * 5000, b"\xff\xfe", b'{"closed_until":' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_a_file_that_can_not_be_right_is_not_believed(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "rest.json"
    path.write_bytes(text)
    assert quota(Time(), path).closed == 0


def test_that_the_file_can_not_be_written_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subject = quota(Time(), tmp_path / "absent" / "rest.json")
    subject.close(5.0)
    assert "a restart would not know" in caplog.text
    assert subject.closed == 5.0


def test_the_file_says_until_when(tmp_path: Path) -> None:
    time, path = Time(), tmp_path / "rest.json"
    quota(time, path).close(9.0)
    assert json.loads(path.read_text()) == {"closed_until": time.wall() + 9.0}


def test_how_long_the_rest_of_a_start_takes() -> None:
    """2,048 snapshots of 100 levels, of 1,000: the first 80 of these at once, then 80 a minute."""
    subject = quota(Time())
    assert subject.duration(5.0, 2048) == pytest.approx((2048 * 5 - 4000) / 4000 * 60)
    assert subject.duration(50.0, 2048) == pytest.approx(1476.0)
    assert subject.duration(5.0, 3) == 0
