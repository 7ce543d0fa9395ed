"""nautilus_trader: its order book in Rust, given whole events as its adapters do."""

from __future__ import annotations

from pathlib import Path
from time import thread_time_ns

import numpy as np
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas
from nautilus_trader.model.enums import BookAction, BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

from bench.workloads import Workload
from wirebook.core.wire.records import Flag, Kind


class Books:
    """Decoded updates → books; its objects are made before the clock starts."""

    def __init__(self, inputs: Path) -> None:
        workload = Workload.load(inputs)
        self._ids = [InstrumentId.from_str(f"S{number}.X") for number in range(workload.symbols)]
        self._snapshot = self._deltas(workload.snapshot)
        self._updates = self._deltas(workload.updates)
        self._levels = int(np.count_nonzero(workload.updates["kind"] <= Kind.ASK))

    def _deltas(self, records: np.ndarray) -> list[tuple[int, OrderBookDeltas]]:
        events = []
        levels = []
        columns = ("symbol", "kind", "flags", "update_id", "price", "quantity")
        for symbol, kind, flags, update_id, price, quantity in zip(
            *(records[name].tolist() for name in columns), strict=True
        ):
            if kind <= Kind.ASK:
                side = OrderSide.BUY if kind == Kind.BID else OrderSide.SELL
                # The level's price is its id, as everywhere in its L2 books.
                order = BookOrder(side, Price(price / 100, 2), Quantity(quantity, 0), price)
                action = BookAction.UPDATE if quantity else BookAction.DELETE
                levels.append(OrderBookDelta(self._ids[symbol], action, order, 0, update_id, 0, 0))
            if levels and (flags & Flag.EVENT_END or kind > Kind.ASK):
                events.append((symbol, OrderBookDeltas(self._ids[symbol], levels)))
                levels = []
        return events

    def run(self) -> dict[str, float]:
        """Nanoseconds an update."""
        applies = [OrderBook(number, BookType.L2_MBP).apply_deltas for number in self._ids]
        for symbol, deltas in self._snapshot:
            applies[symbol](deltas)
        start = thread_time_ns()
        for symbol, deltas in self._updates:
            applies[symbol](deltas)
        return {"ns": (thread_time_ns() - start) / self._levels}
