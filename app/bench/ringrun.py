"""Two threads on two CPUs: how a ring is measured, whoever's it is."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

SLOTS = 1024
ROUND_TRIPS = 200_000
SLOTS_HANDED = 5_000_000


def cpus() -> tuple[int, int] | None:
    """The last two CPUs that this process may use; None when there is one only."""
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[-2], allowed[-1]) if len(allowed) > 1 else None


def _together(timed: Callable[[], int], other: Callable[[], None]) -> int:
    """What `timed` returns while `other` runs on another CPU."""
    pair = cpus()
    if pair is None:
        raise RuntimeError("one CPU")
    allowed = os.sched_getaffinity(0)
    ready = threading.Barrier(2)

    def beside() -> None:
        os.sched_setaffinity(0, {pair[0]})
        ready.wait()
        other()

    thread = threading.Thread(target=beside)
    thread.start()
    os.sched_setaffinity(0, {pair[1]})
    ready.wait()
    try:
        return timed()
    finally:
        thread.join()
        os.sched_setaffinity(0, allowed)


def figures(
    ping: Callable[[], int], pong: Callable[[], None], consume: Callable[[], int], produce: Callable[[], None]
) -> dict[str, float]:
    """A hand-over is half of a round trip between two rings. Every function must leave the GIL alone while it runs."""
    oneway = _together(ping, pong) / ROUND_TRIPS / 2
    return {"oneway_ns": oneway, "ops_per_s": SLOTS_HANDED / _together(consume, produce) * 1e9}
