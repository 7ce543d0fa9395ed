"""A subscription to fewer levels than the venue knows: which of a book's changes such a client gets."""

from __future__ import annotations

from wirebook.sim.reference import ReferenceBook, Row


class Window:
    """The best `depth` levels of one book, as one connection knows them."""

    def __init__(self, depth: int, book: ReferenceBook, number: int, tells_leaving: bool) -> None:
        """`number`: the id of the snapshot; `tells_leaving`: levels that others push out are deleted by the venue."""
        self.depth = depth
        self.number = number
        """Of the last message, where the venue numbers them."""
        self._tells_leaving = tells_leaving
        self._told = tuple(dict(side) for side in book.levels(depth))

    def change(self, book: ReferenceBook) -> tuple[list[Row], list[Row]]:
        """The levels that are new or other, and those that are gone, which have quantity "0"."""
        changes: list[list[Row]] = []
        now = tuple(dict(side) for side in book.levels(self.depth))
        for side, (before, after) in enumerate(zip(self._told, now, strict=True)):
            gone = [
                price
                for price in before
                if price not in after and (self._tells_leaving or book.quantity(side, price) is None)
            ]
            new = [(price, quantity) for price, quantity in after.items() if before.get(price) != quantity]
            changes.append([(price, "0") for price in gone] + new)
        self._told = now
        bids, asks = changes
        return bids, asks
