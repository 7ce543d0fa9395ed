"""Decimals that hold what a venue sends, when those that it defined don't any more: a tick or a lot was changed.

Orders from before a change rest at prices that the new tick doesn't have, and a running feed has the old definitions.
The levels themselves tell what they need.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from wirebook.venues.base import (
    MOST_DECIMALS,
    Instrument,
    MalformedError,
    Scale,
    UnrepresentableError,
    decimals_of,
    scaled,
)

_MOST_KEPT: Final = 100

Level = Sequence[str]
"""Price and quantity in the venue's text."""


def unfit(instrument: Instrument, levels: Iterable[Level]) -> list[Level]:
    """Those of the levels, some at most, that the instrument's decimals don't hold. What is no number is left out."""
    found: list[Level] = []
    for level in levels:
        try:
            fits = _fits(level[0], instrument.price_decimals) & _fits(level[1], instrument.quantity_decimals)
        except MalformedError:
            continue
        if not fits and len(found) < _MOST_KEPT:
            found.append(level)
    return found


def fitting(instrument: Instrument, levels: Sequence[Level]) -> Scale | None:
    """The decimals nearest to the instrument's that hold all of the levels exactly; None if none do.

    Raises MalformedError.
    """
    price = _decimals([level[0] for level in levels], instrument.price_decimals)
    quantity = _decimals([level[1] for level in levels], instrument.quantity_decimals)
    return None if price is None or quantity is None else Scale(price, quantity)


def _decimals(texts: Sequence[str], now: int) -> int | None:
    """As many as now if they do, else more, or fewer where a number would not fit 63 bits."""
    needed = max(map(decimals_of, texts), default=0)
    if needed > MOST_DECIMALS:
        return None
    largest = max(texts, key=lambda text: (len(text.partition(".")[0].lstrip("0")), text), default="0")
    for decimals in range(max(needed, now), needed - 1, -1):
        if _fits(largest, decimals) and all(_fits(text, decimals) for text in texts):
            return decimals
    return None


def _fits(text: str, decimals: int) -> bool:
    try:
        scaled(text, decimals)
    except UnrepresentableError:
        return False
    return True
