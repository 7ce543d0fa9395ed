"""How far a book is known whose snapshot has a limited number of levels, and when it has to be told anew.

A snapshot by REST has the best levels, 1,000 a side on Binance, and events tell every change from there on. So a side
is known as far as the snapshot's last level, its edge: beyond it, only what changed since is known. When the price
walks towards the edge, a new snapshot is fetched in time; a book whose shown levels reach beyond it is STALE, by what
`core.books` and the book process see at every event.
"""

from __future__ import annotations

from typing import Final, NamedTuple

COUNT_SECONDS: Final = 1.0
"""Least time between two counts of a book's levels within its edges, while its price isn't half-way to one."""
RENEW_SECONDS: Final = 10.0
"""Least time between two snapshots that are fetched for that. A market that walks faster is STALE in between."""

_LEAST: Final = 20
"""Levels that have to be left within the edge: the ten shown, and as many that may go until an answer comes."""
_PART: Final = 4
"""A new snapshot is fetched when fewer than a fourth of the snapshot's levels are left."""


class Span(NamedTuple):
    """What a snapshot tells of both sides: the edges, and how many levels within them are too few to wait any longer.

    The edge is None of a side that is known whole.
    """

    bid_edge: int | None
    ask_edge: int | None
    least_bids: int
    least_asks: int
    half_bid: int = 0
    """Half-way from the best bid to its edge."""
    half_ask: int = 0

    @property
    def whole(self) -> bool:
        """Whether both sides are known to their ends."""
        return self.bid_edge is None and self.ask_edge is None

    def has_moved(self, bid: int | None, ask: int | None) -> bool:
        """Whether the best prices are half-way to an edge: worth counting what is left."""
        return (self.bid_edge is not None and (bid is None or bid <= self.half_bid)) or (
            self.ask_edge is not None and (ask is None or ask >= self.half_ask)
        )

    def nears(self, bids: int, asks: int) -> bool:
        """Whether so few levels are left within the edge of one of the sides that a new snapshot is due."""
        return bids < self.least_bids or asks < self.least_asks


def told(bids: list[int], asks: list[int], asked: int | None) -> Span:
    """The span of a snapshot with levels at these prices, of which at most `asked` a side were to be told.

    A side with fewer is known whole, as is one of a venue that isn't asked for a number of them.
    """
    bid_edge = min(bids) if asked is not None and len(bids) >= asked else None
    ask_edge = max(asks) if asked is not None and len(asks) >= asked else None
    half_bid = (max(bids) + bid_edge) // 2 if bid_edge is not None else 0
    half_ask = (min(asks) + ask_edge) // 2 if ask_edge is not None else 0
    return Span(bid_edge, ask_edge, _least(bids, bid_edge), _least(asks, ask_edge), half_bid, half_ask)


def _least(prices: list[int], edge: int | None) -> int:
    return 0 if edge is None else max(_LEAST, len(prices) // _PART)
