"""By which number packets name a venue: in one table, for those too who load no venue's module."""

from __future__ import annotations

from typing import Final

NUMBERS: Final = {
    "binance": 1,
    "binance-usdm": 2,
    "binance-coinm": 3,
    "bybit-spot": 4,
    "bybit-linear": 5,
    "okx": 6,
    "kraken": 7,
    "coinbase": 8,
}
"""Venue name → its number. A number is never given again."""
