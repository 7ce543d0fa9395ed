"""One module per venue: what to subscribe to, how a message is decoded, by which rule events chain.

`base` is the skeleton that they share. Nothing in here opens a socket: a follower is given messages and says what it
wants done, so that a replay, a test and the live feed run the very same code.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from wirebook.errors import UserError
from wirebook.venues.numbers import NUMBERS

if TYPE_CHECKING:
    from wirebook.venues.base import Venue

__all__ = ["NUMBERS", "get", "names"]

_MODULES = {
    "binance": "binance",
    "binance-usdm": "binance",
    "binance-coinm": "binance",
    "bybit-spot": "bybit",
    "bybit-linear": "bybit",
    "okx": "okx",
    "kraken": "kraken",
    "coinbase": "coinbase",
}
"""Venue name → module, so that only the module of the venue at hand is loaded. It has the venue in its `VENUES`."""


def names() -> tuple[str, ...]:
    """The venues that wirebook knows, in alphabetical order."""
    return tuple(sorted(_MODULES))


def get(name: str) -> Venue:
    """The venue called `name`; a UserError that lists the known ones otherwise."""
    if name not in _MODULES:
        raise UserError(f'"{name}" is not a venue that wirebook knows; it knows {", ".join(names())}')
    venue: Venue = import_module(f"wirebook.venues.{_MODULES[name]}").VENUES[name]
    return venue
