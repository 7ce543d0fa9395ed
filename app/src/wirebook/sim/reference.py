"""An order book in the plainest Python: the oracle that the engine's books are compared with."""

from __future__ import annotations

from decimal import Decimal

from wirebook.venues.base import UNNUMBERED, Depth, Levels, Snapshot

Row = tuple[str, str]


class ReferenceBook:
    """Two dictionaries from price to quantity, in the venue's own text. Prices must come in one spelling each."""

    def __init__(self, start: Snapshot, depth: int | None = None) -> None:
        """`depth`: levels a side beyond which the book is cut off after each event."""
        self.last = start.last
        """Update id of the book."""
        self._depth = depth
        self._sides: tuple[dict[str, str], dict[str, str]] = ({}, {})
        self._apply(start.bids, start.asks)

    def apply(self, event: Depth) -> None:
        """Apply an event, unless the book is already past it."""
        if event.last > self.last or event.last == UNNUMBERED:
            self.last = event.last
            self._apply(event.bids, event.asks)

    def _apply(self, bids: Levels, asks: Levels) -> None:
        for side, levels in zip(self._sides, (bids, asks), strict=True):
            for price, quantity, *_ in levels:
                if float(quantity) == 0:
                    side.pop(price, None)
                else:
                    side[price] = quantity
        if self._depth is not None:
            for side, best_first in zip(self._sides, (True, False), strict=True):
                for price in sorted(side, key=Decimal, reverse=best_first)[self._depth :]:
                    del side[price]

    def quantity(self, side: int, price: str) -> str | None:
        """The quantity at a price of the bids (0) or asks (1), None if there is nothing."""
        return self._sides[side].get(price)

    def copy(self) -> ReferenceBook:
        """The book as it is now."""
        return ReferenceBook(Snapshot(None, self.last, 0, *self.levels(len(self))), self._depth)

    def levels(self, most: int) -> tuple[list[Row], list[Row]]:
        """The best `most` bids and asks, best first."""
        bids, asks = self._sides
        return (
            [(price, bids[price]) for price in sorted(bids, key=Decimal, reverse=True)[:most]],
            [(price, asks[price]) for price in sorted(asks, key=Decimal)[:most]],
        )

    def best(self) -> tuple[Row | None, Row | None]:
        """Best bid and best ask; None for a side that is empty."""
        bids, asks = self._sides
        bid, ask = max(bids, key=Decimal, default=None), min(asks, key=Decimal, default=None)
        return (bid, bids[bid]) if bid is not None else None, (ask, asks[ask]) if ask is not None else None

    def __len__(self) -> int:
        return len(self._sides[0]) + len(self._sides[1])
