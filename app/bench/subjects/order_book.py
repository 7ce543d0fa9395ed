"""PyPI order-book: sorted dictionaries in C, called from Python."""

from __future__ import annotations

from pathlib import Path
from time import thread_time_ns

import numpy as np
from order_book import OrderBook

from bench.workloads import Workload
from wirebook.core.wire.records import Kind


class Books:
    """Decoded updates → books: the loop that its users write, with integers, which are cheaper for it than Decimal."""

    def __init__(self, inputs: Path) -> None:
        workload = Workload.load(inputs)
        self._symbols = workload.symbols
        self._snapshot = _plain(workload.snapshot)
        self._updates = _plain(workload.updates)

    def run(self) -> dict[str, float]:
        """Nanoseconds an update."""
        books = [OrderBook() for _ in range(self._symbols)]
        _apply(books, self._snapshot)
        start = thread_time_ns()
        _apply(books, self._updates)
        return {"ns": (thread_time_ns() - start) / len(self._updates)}


def _plain(records: np.ndarray) -> list[tuple[int, int, int]]:
    levels = records[records["kind"] <= Kind.ASK]
    sides = levels["symbol"].astype(int) * 2 + levels["kind"]
    return list(zip(sides.tolist(), levels["price"].tolist(), levels["quantity"].tolist(), strict=True))


def _apply(books: list[OrderBook], updates: list[tuple[int, int, int]]) -> None:
    sides = [side for book in books for side in (book.bids, book.asks)]
    for number, price, quantity in updates:
        side = sides[number]
        if quantity:
            side[price] = quantity
        elif price in side:
            del side[price]
