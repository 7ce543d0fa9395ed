"""orjson and a bare Python loop over the levels, without any book: the least that a fast Python decoder does."""

from __future__ import annotations

import json
from pathlib import Path
from time import thread_time_ns

import orjson


class Loop:
    """Depth messages → two floats a level."""

    def __init__(self, inputs: Path) -> None:
        self._levels = json.loads((inputs / "messages.json").read_text())["levels"]
        _, *self._events = (inputs / "messages.txt").read_bytes().split(b"\n")

    def run(self) -> dict[str, float]:
        """Nanoseconds a level."""
        loads = orjson.loads
        seen = 0
        start = thread_time_ns()
        for raw in self._events:
            message = loads(raw)
            data = message.get("data", message)
            for side in (data["b"], data["a"]):
                for price, quantity in side:
                    float(price)
                    float(quantity)
                    seen += 1
        taken = thread_time_ns() - start
        if seen != self._levels:
            raise AssertionError(f"{seen} levels of {self._levels}")
        return {"ns": taken / self._levels}
