"""A short run of what `make fuzz` does at length, under sanitizers."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import books, campaign, messages
from integration.namespaces import reason_not_to

from wirebook.core import build_info

COUNT = 20_000


@pytest.mark.skipif(bool(reason_not_to()), reason=reason_not_to() or "-")
@pytest.mark.parametrize("name", ["udp", "af_xdp"])
def test_no_frame_is_unaccounted_for(name: str) -> None:
    if name == "af_xdp" and not build_info.AF_XDP:
        pytest.skip("this build has no AF_XDP")
    found = campaign.transport(name, COUNT, seed=7)
    reasons = {reason for reason in found if reason.startswith("invalid_")}
    assert reasons >= {"invalid_too_short", "invalid_bad_magic", "invalid_bad_length", "invalid_bad_count"}
    if name == "udp":
        refused = {"bad IP checksum", "bad IP length", "bad UDP length", "bad UDP checksum", "fragment", "not IPv4"}
        assert {f"kernel: {reason}" for reason in refused} <= set(found)
    else:
        assert {"xdp_bad_length", "xdp_bad_checksum", "xdp_fragment", "xdp_options", "xdp_other"} <= set(found)


def test_books_survive_any_records() -> None:
    *_, found = books.apply(random.Random(7), COUNT)
    assert found["given"] == COUNT
    assert all(
        found[name] > 10
        for name in ("updates", "recoveries", "held", "gaps", "restarts", "late", "copies", "foreign",
                     "pool_exhausted", "out_of_order", "unknown_symbol", "unknown_kind", "stale_marks")
    )  # fmt: skip


def test_scanners_survive_any_text() -> None:
    *_, found = messages.scan(random.Random(7), COUNT)
    assert sum(found.values()) == COUNT
    assert sum(count for what, count in found.items() if what.endswith("taken")) > 100
