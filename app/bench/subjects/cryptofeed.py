"""cryptofeed 3's own Binance handler, given the messages of a capture instead of a connection's."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from time import thread_time_ns

from cryptofeed.defines import L2_BOOK, SPOT
from cryptofeed.exchanges import Binance
from cryptofeed.symbols import Symbol, Symbols


class _Rest:
    """Answers the handler's one request."""

    def __init__(self, snapshot: str) -> None:
        self._snapshot = snapshot

    async def read(self, *_: object, **__: object) -> str:
        return self._snapshot


class Handler:
    """Depth messages → its sequence rule → its book → a callback that does nothing."""

    def __init__(self, inputs: Path) -> None:
        name = json.loads((inputs / "messages.json").read_text())["instrument"][1]
        self._name = name
        self._symbol = Symbol(name.removesuffix("USDT"), "USDT")
        normalized = self._symbol.normalized
        facts = {"tick_size": {normalized: "0.01"}, "instrument_type": {normalized: SPOT}}
        Symbols.set(Binance.id, {normalized: name}, facts)
        self._snapshot, *self._events = (inputs / "messages.txt").read_text().split("\n")

    def run(self) -> dict[str, float]:
        """Messages a second."""
        return asyncio.run(self._run())

    async def _run(self) -> dict[str, float]:
        books = 0

        async def on_book(_book: object, _receipt: float) -> None:
            nonlocal books
            books += 1

        feed = Binance(symbols=[self._symbol.normalized], channels=[L2_BOOK], callbacks={L2_BOOK: on_book})
        feed.http_conn = _Rest(self._snapshot)
        await feed._snapshot(self._name)
        start = thread_time_ns()
        for raw in self._events:
            await feed.message_handler(raw, None, 1.0)
        taken = thread_time_ns() - start
        if books != len(self._events) + 1:
            raise AssertionError(f"{books} books for {len(self._events)} events and a snapshot")
        return {"messages_per_s": len(self._events) / taken * 1e9}
