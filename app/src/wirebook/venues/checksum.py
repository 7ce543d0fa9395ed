"""Books as text, for venues that send a checksum of their book's own spelling.

The engine's books hold integers; "1.50" and "1.5" are the same level there and two different inputs of a CRC. So a
book that is checked is kept a second time, here, as the text that the venue sent.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import chain, zip_longest
from zlib import crc32

from wirebook.core.wire.records import Kind

Row = tuple[str, str]
"""Price and quantity as the venue spelled them."""


class TextSide:
    """One side: rows in order of their price."""

    def __init__(self, kind: Kind) -> None:
        self._sign = -1 if kind is Kind.BID else 1
        self._keys: list[int] = []
        self._rows: dict[int, Row] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def set(self, price: int, quantity: int, row: Row) -> None:
        """Set the level at `price`, or remove it if `quantity` is 0."""
        key = price * self._sign
        held = key in self._rows
        if quantity:
            self._rows[key] = row
            if not held:
                self._keys.insert(bisect_left(self._keys, key), key)
        elif held:
            del self._rows[key]
            del self._keys[bisect_left(self._keys, key)]

    def best(self, count: int) -> list[Row]:
        """Up to `count` rows, best first."""
        return [self._rows[key] for key in self._keys[:count]]

    def truncate(self, depth: int) -> list[int]:
        """Remove the levels beyond the best `depth`; their prices."""
        gone = self._keys[depth:]
        del self._keys[depth:]
        for key in gone:
            del self._rows[key]
        return [key * self._sign for key in gone]


class TextBook:
    """Both sides of a book, as text."""

    def __init__(self) -> None:
        self.bids = TextSide(Kind.BID)
        self.asks = TextSide(Kind.ASK)

    def side(self, kind: Kind) -> TextSide:
        """The side of a record's kind."""
        return self.bids if kind is Kind.BID else self.asks


def interleaved_crc32(book: TextBook, depth: int) -> int:
    """Signed CRC32 of `price:quantity` of the best bid, best ask, second bid, … joined by colons.

    OKX's rule until June 2026 (its API guide of 2022, "Checksum", with a depth of 25).
    """
    pairs = zip_longest(book.bids.best(depth), book.asks.best(depth))
    text = ":".join(chain.from_iterable(row for pair in pairs for row in pair if row is not None))
    unsigned = crc32(text.encode())
    return unsigned - (1 << 32) if unsigned >> 31 else unsigned


def digits_crc32(book: TextBook, depth: int) -> int:
    """CRC32 of the digits of the best asks and then bids, without points and leading zeros.

    Kraken's rule (its guide "Book checksum (WebSocket v2)", with a depth of 10). Trailing zeros count.
    """
    rows = (*book.asks.best(depth), *book.bids.best(depth))
    return crc32("".join(text.replace(".", "").lstrip("0") for row in rows for text in row).encode())
