"""Who stamps packets here, and how a NIC's clock is told in the system's time."""

from __future__ import annotations

import random
import struct

import pytest

from wirebook.core.transport.stamping import PhcWatch, Relation, best_reading, stamping

SECOND = 1_000_000_000


def answer(*readings: tuple[int, int, int]) -> bytes:
    """A `struct ptp_sys_offset` as the kernel fills it: system and PHC in turn, and the system's time at the end."""
    times = [time for before, phc, _ in readings for time in (before, phc)] + [readings[-1][2]]
    body = b"".join(struct.pack("qII", *divmod(time, SECOND), 0) for time in times)
    return (struct.pack("4I", len(readings), 0, 0, 0) + body).ljust(16 + 16 * 51, b"\0")


def test_loopback_has_no_hardware_stamps_and_says_so() -> None:
    phc, reason = stamping("lo")
    assert phc == -1
    assert reason.startswith("lo ")
    assert "hardware" in reason or "tells nothing" in reason


def test_a_clock_that_is_not_there() -> None:
    with pytest.raises(OSError, match="No such file"):
        PhcWatch(99)


def test_the_reading_that_took_least_counts() -> None:
    base = 1_700_000_000 * SECOND
    tai = base + 37 * SECOND
    found = best_reading(answer((base, tai, base + 9000), (base + 9000, tai + 9500, base + 10000)))
    assert found == (tai + 9500, -37 * SECOND)


@pytest.mark.parametrize("drift", [0.0, 3e-6, -50e-6])
def test_stamps_between_readings_are_right_to_some_ns(drift: float) -> None:
    """A PHC in TAI, that nobody disciplines, with readings that are off by up to 100 ns."""
    chance = random.Random(1)

    def system(phc_ns: int) -> int:
        return phc_ns - 37 * SECOND + round((phc_ns - start) * drift)

    start = 1_700_000_000 * SECOND
    relation = Relation(start, system(start) - start, 0.0)
    for turn in range(1, 60):
        phc = start + turn * SECOND + chance.randrange(10_000_000)
        relation, step = relation.read(phc, system(phc) - phc + chance.randrange(-100, 100))
        assert step == 0
        later = phc + chance.randrange(SECOND)
        assert abs(later + relation.offset_at(later) - system(later)) < 400


def test_a_clock_that_was_set_is_a_step() -> None:
    relation = Relation(SECOND, 5, 0.0)
    relation, step = relation.read(2 * SECOND, 1_000_005)
    assert (relation, step) == (Relation(2 * SECOND, 1_000_005, 0.0), 1_000_000)
