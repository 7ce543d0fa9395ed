"""When a book's snapshot may be requested again: at once the first time, then less and less often."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

_SHORTEST_SECONDS: Final = 1.0
_LONGEST_SECONDS: Final = 300.0
_CALM_SECONDS: Final = 120.0
"""A book that needed no snapshot for this long, beyond its wait, has recovered."""


@dataclass(slots=True)
class _Book:
    asked_at: float
    wait: float = 0.0


class Resyncs:
    """Decides when. Times are those of `time.monotonic`; a book is identified by its symbol id."""

    def __init__(self) -> None:
        self._books: dict[int, _Book] = {}

    def ask(self, symbol: int, now: float) -> float:
        """The book wants a snapshot: returns the time at which to ask the venue, `now` or later.

        Each time doubles the wait, from 1 s to 5 min and by chance up to a quarter more, so that books that
        broke at the same moment don't ask at the same moment.
        """
        book = self._books.get(symbol)
        if book is None or now - book.asked_at > book.wait + _CALM_SECONDS:
            self._books[symbol] = _Book(now)
            return now
        book.wait = min(_LONGEST_SECONDS, max(_SHORTEST_SECONDS, 2 * book.wait))
        book.asked_at = max(now, book.asked_at + book.wait * random.uniform(1.0, 1.25))  # noqa: S311 (nothing secret)
        return book.asked_at
