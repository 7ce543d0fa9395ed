"""Every sequence rule at its edges: the id before the book's, the book's own, the next, and the one after."""

from __future__ import annotations

import pytest

from wirebook.core.decode.sequence import Identity, Links, Ranges, Rule, Steps, Verdict

APPLY, REPEAT, BREAK = Verdict.APPLY, Verdict.REPEAT, Verdict.BREAK
AT = 100


@pytest.mark.parametrize(
    ("first", "last", "unchained", "chained"),
    [
        (90, 99, REPEAT, REPEAT),
        (90, 100, REPEAT, REPEAT),
        (100, 100, REPEAT, REPEAT),
        (90, 101, APPLY, BREAK),
        (100, 101, APPLY, BREAK),
        (101, 101, APPLY, APPLY),
        (101, 110, APPLY, APPLY),
        (102, 102, BREAK, BREAK),
        (102, 110, BREAK, BREAK),
    ],
)
def test_ranges(first: int, last: int, unchained: Verdict, chained: Verdict) -> None:
    assert Ranges().judge(AT, False, first, last, None) is unchained
    assert Ranges().judge(AT, True, first, last, None) is chained


@pytest.mark.parametrize(
    ("first", "last", "previous", "unchained", "chained"),
    [
        (90, 99, 89, REPEAT, BREAK),
        (90, 100, 89, APPLY, REPEAT),
        (99, 110, 98, APPLY, BREAK),
        (100, 110, 98, APPLY, BREAK),
        (101, 110, 98, BREAK, BREAK),  # begins behind the snapshot, and says that it continues something before it
        (102, 110, 98, BREAK, BREAK),
        (101, 110, 100, APPLY, APPLY),
        (150, 160, 100, APPLY, APPLY),
        (150, 160, 101, BREAK, BREAK),
        (150, 160, 99, BREAK, BREAK),
    ],
)
def test_links(first: int, last: int, previous: int, unchained: Verdict, chained: Verdict) -> None:
    assert Links().judge(AT, False, first, last, previous) is unchained
    assert Links().judge(AT, True, first, last, previous) is chained


@pytest.mark.parametrize(("last", "verdict"), [(98, BREAK), (99, BREAK), (100, REPEAT), (101, APPLY), (102, BREAK)])
@pytest.mark.parametrize("chained", [True, False])
def test_steps(last: int, verdict: Verdict, chained: bool) -> None:
    assert Steps().judge(AT, chained, last, last, None) is verdict


@pytest.mark.parametrize(
    ("last", "previous", "verdict"),
    [
        (101, 100, APPLY),
        (190, 100, APPLY),
        (100, 100, APPLY),  # a sign of life
        (3, 100, APPLY),
        (100, 99, REPEAT),
        (101, 99, BREAK),
        (102, 101, BREAK),
        (99, 98, BREAK),
        (101, None, APPLY),
    ],
)
@pytest.mark.parametrize("chained", [True, False])
def test_identity(last: int, previous: int | None, verdict: Verdict, chained: bool) -> None:
    assert Identity().judge(AT, chained, last, last, previous) is verdict


def test_without_a_rule_everything_is_applied() -> None:
    for last in (1, 99, 100, 101, -1):
        assert Rule().judge(AT, True, last, last, None) is APPLY
