"""The inputs of the benchmarks: the same records for every book, made before anything is timed."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from wirebook.core.records import Flag, Kind

Records = NDArray[np.void]

RECORD = np.dtype(
    [
        ("symbol", "<u4"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("aux", "<u2"),
        ("update_id", "<u8"),
        ("price", "<i8"),
        ("quantity", "<i8"),
        ("exchange_ns", "<u8"),
        ("receive_ns", "<u8"),
    ]
)
"""The record of docs/wire-format.md."""

CAPTURES = Path(__file__).resolve().parents[3] / "shared" / "captures"

# Where the level updates of two captures are: (ticks from the mid, share of the updates within).
_SPOT = ((64, 0.02), (1_024, 0.12), (4_096, 0.38), (16_384, 0.89), (131_072, 1.0))
_FUTURES = ((64, 0.23), (1_024, 0.84), (4_096, 0.88), (16_384, 0.89), (131_072, 1.0))

_DELETES = 0.3
"""Of 124,090 spot updates 48 % remove a level, of 428,662 futures updates 14 %."""
_EVENT = 4
"""Synthetic events have 1 to 7 levels, 4 on average. Those of the captures have 36 and 65: an event a level is no feed."""


@dataclass(frozen=True)
class Workload:
    """Records that fill the books, and then those that are timed."""

    name: str
    symbols: int
    snapshot: Records
    updates: Records


def _distances(rng: np.random.Generator, profile: tuple[tuple[int, float], ...], count: int) -> NDArray[np.int64]:
    """`count` distances from the mid in ticks, 1 or more, spread as the profile says."""
    uniform = rng.random(count)
    ends = [0, *(ticks for ticks, _ in profile)]
    shares = [0.0, *(share for _, share in profile)]
    return 1 + np.floor(np.interp(uniform, shares, ends)).astype(np.int64)


def synthetic(name: str, symbols: int, levels: int, updates: int, seed: int = 1) -> Workload:
    """Books with about 0.7 * `levels` levels a side, and `updates` updates of symbols in random order.

    Half of the symbols are spread out like Binance spot BTCUSDT, half are dense like USD-M ETHUSDT (a single symbol is
    dense); each side has `levels` prices at which levels come and go, so that books neither grow nor dry up.
    """
    rng = np.random.default_rng(seed)
    mid = 10_000_000
    prices = np.empty((symbols, 2, levels), np.int64)
    for symbol in range(symbols):
        profile = _SPOT if symbol % 2 else _FUTURES
        prices[symbol, Kind.BID] = mid - _distances(rng, profile, levels)
        prices[symbol, Kind.ASK] = mid + _distances(rng, profile, levels)
    snapshot = np.zeros(symbols * (2 * levels + 2), RECORD)
    for symbol, part in enumerate(np.split(snapshot, symbols)):
        part["symbol"] = symbol
        part["flags"] = Flag.SNAPSHOT
        part["kind"] = [Kind.CLEAR, *[Kind.BID] * levels, *[Kind.ASK] * levels, Kind.LIVE]
        part["price"][1:-1] = prices[symbol].reshape(-1)
        part["quantity"][1:-1] = rng.integers(1, 1_000_000, 2 * levels)
        part["update_id"] = 1
    lengths = rng.integers(1, 2 * _EVENT, 2 * updates // _EVENT)
    event = np.repeat(np.arange(len(lengths)), lengths)[:updates]
    records = np.zeros(updates, RECORD)
    records["symbol"] = rng.integers(0, symbols, len(lengths))[event]
    records["kind"] = rng.integers(0, 2, updates)
    records["price"] = prices[records["symbol"], records["kind"], rng.integers(0, levels, updates)]
    records["quantity"] = rng.integers(1, 1_000_000, updates) * (rng.random(updates) >= _DELETES)
    records["update_id"] = event + 2
    records["flags"][np.flatnonzero(np.diff(event))] = Flag.EVENT_END
    return Workload(name, symbols, snapshot, records)
