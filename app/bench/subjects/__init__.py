"""What is measured: a module per program, a class per benchmark that it takes part in.

A subject is made from a folder of inputs. Its `run` prepares what isn't timed and returns {figure: value}; books also
have `laps`. Every subject lives in a process of its own, which the rounds of `suite` wake in turn.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol


class Laps(NamedTuple):
    """Durations of the parts of one run, in ns, and how many updates a part has."""

    nanoseconds: list[int]
    updates: int


class Subject(Protocol):
    """One program in one benchmark."""

    def __init__(self, inputs: Path) -> None: ...

    def run(self) -> dict[str, float]:
        """Figures of one run, by name."""
