"""What happens in the simulated market, message by message: from a capture, or made up."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from wirebook import traffic
from wirebook.errors import UserError
from wirebook.venues.base import Depth, Scale, Snapshot, Ticker, Venue, parts
from wirebook.venues.learn import learn


class Lost(NamedTuple):
    """Says that the recorded connections of these instruments were lost."""

    instruments: frozenset[str]


class Item(NamedTuple):
    """One message of the market."""

    at_ns: int
    """When it is sent, ns on the tape's own clock."""
    message: Depth | Ticker | bytes | Snapshot | Lost
    """To be told in the venue's format; or, from a capture, the very bytes that the venue sent, a book as its REST
    service told it, or that connections were lost."""


class Tape(Protocol):
    """A market that can be played from its start again and again."""

    scales: Mapping[str, Scale]
    """The instruments, with decimals that fit all of the traffic."""
    snapshots: Mapping[str, Snapshot]
    """Each book as the venue's REST service told it at the start."""
    recorded: bool
    """The snapshots are a recording's: part of what is replayed."""

    def play(self) -> Iterator[Item]:
        """All messages from the start."""


class CaptureTape:
    """A recording. It is read twice: once here, to check it and to learn its instruments, and once to play it."""

    recorded = True

    def __init__(self, venue: Venue, path: Path) -> None:
        self._venue = venue
        self._path = path
        learned = learn(venue, path)
        self.scales: Mapping[str, Scale] = learned.scales
        self.snapshots: Mapping[str, Snapshot] = learned.snapshots
        for name in self.scales:
            if name not in self.snapshots and not venue.snapshots_in_band:
                raise UserError(f"{path} has no REST snapshot of {name}, so no book can be served; record it with one")

    def play(self) -> Iterator[Item]:
        """The recorded messages; REST answers as books, and marks of lost connections."""
        up: dict[int, frozenset[str]] = {}
        only = next(iter(self.scales)) if len(self.scales) == 1 else None
        for at_ns, raw in traffic.entries(self._path):
            mark = traffic.mark_of(raw)
            if mark is not None:
                lost = _lost(mark, up)
                if lost:
                    yield Item(at_ns, Lost(lost & frozenset(self.scales)))
            elif b'"lastUpdateId"' not in raw[:_HEAD]:
                yield Item(at_ns, raw)
            else:
                (answer,) = parts(self._venue.decode(raw))
                if isinstance(answer, Snapshot) and (answer.instrument or only):
                    yield Item(at_ns, replace(answer, instrument=answer.instrument or only))


def _lost(mark: traffic.Mark, up: dict[int, frozenset[str]]) -> frozenset[str]:
    """The instruments whose connection a mark says is lost; `up` is kept by it. One that is retired has a successor."""
    if mark.kind == "connected":
        names = frozenset(mark.details.get("symbols", ()))
        # a recording that was begun anew doesn't say how the last one ended
        before = [number for number, others in up.items() if others & names]
        lost = frozenset[str]().union(*(up.pop(number) for number in before))
        up[mark.connection] = names
        return lost
    if mark.kind in ("disconnected", "retired"):
        gone = up.pop(mark.connection, frozenset())
        return gone if mark.kind == "disconnected" else frozenset()
    return frozenset()


_HEAD = 100
"""A REST answer says in its first bytes that it is one; an instrument's name may come before."""
_TICK = 2
_STEP = 5
_PADDING = (8 - _TICK, 8 - _STEP)
_SEED_LEVELS, _FEWEST, _MOST = 400, 100, 2000


class SyntheticTape:
    """A made-up market that never ends: the same seed gives the same one.

    Levels lie far out as in real traffic (most changes near the best price, some thousands of ticks away), changes of
    one matching engine are numbered on and gathered into events, deletes of absent levels occur, and after most
    changes of the best price a ticker with the same id comes right before or after the event.
    """

    recorded = False

    def __init__(
        self, symbols: int, rate: float, seed: int, start_ns: int = 0, pattern: str = "SYN{}USDT", most: int = _MOST,
        padded: bool = True,
    ) -> None:  # fmt: skip
        """`rate` events a second in all, `start_ns` the time of the first one.

        `pattern` names the instruments, by their number; no side of a book has many more than `most` levels; `padded`:
        numbers are written with eight decimals, else with the instrument's.
        """
        self._rate = rate
        self._seed = seed
        self._start_ns = start_ns
        self._market = partial(_Market, seed=seed, most=most, padded=padded)
        names = [pattern.format(number) for number in range(symbols)]
        self.scales: Mapping[str, Scale] = {name: Scale(_TICK, _STEP) for name in names}
        self.snapshots: Mapping[str, Snapshot] = {name: self._market(name).snapshot() for name in names}

    def play(self) -> Iterator[Item]:
        """Events of all instruments in turn, without end."""
        order = random.Random(self._seed)  # noqa: S311 (nothing secret in it)
        markets = [self._market(name) for name in self.scales]
        at_ns = self._start_ns
        while True:
            at_ns += round(1e9 / self._rate * order.uniform(0.5, 1.5))
            for message in order.choice(markets).step(at_ns):
                yield Item(at_ns, message)


class _Market:
    """One made-up instrument. Prices in ticks, quantities in steps; side 0 is the bids'."""

    def __init__(self, name: str, seed: int, most: int, padded: bool) -> None:
        self._name = name
        self._zeros = _PADDING if padded else (0, 0)
        self._most = most
        self._fewest = min(_FEWEST, most // 2)
        self._random = random.Random(f"{seed} {name}")  # noqa: S311 (nothing secret in it)
        self._last = self._random.randrange(10**9, 10**10)
        middle = round(10 ** self._random.uniform(5, 6.5))
        self._sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._best = [middle, middle + 1]
        for side, way in enumerate((-1, 1)):
            price = self._best[side]
            while len(self._sides[side]) < min(_SEED_LEVELS, most) and price > 0:
                self._sides[side][price] = self._quantity()
                price += way * self._distance(1.5)

    def snapshot(self) -> Snapshot:
        """The book as it is now."""
        bids, asks = ([self._text(*row) for row in side.items()] for side in self._sides)
        return Snapshot(self._name, self._last, 0, bids, asks)

    def step(self, at_ns: int) -> list[Depth | Ticker]:
        """Some changes, gathered into one event; and a ticker, if a best price or its quantity changed."""
        before = self._top()
        changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        first = self._last + 1
        for _ in range(min(60, 1 + int(self._random.expovariate(0.25)))):
            self._last += 1
            side = self._random.randrange(2)
            price, quantity = self._change(side)
            changed[side][price] = quantity
        bids, asks = ([self._text(*row) for row in side.items()] for side in changed)
        event = Depth(self._name, first, self._last, None, at_ns // 1_000_000 * 1_000_000, bids, asks)
        if self._top() == before:
            return [event]
        bid, ask = (self._text(*row) for row in self._top())
        ticker = Ticker(self._name, self._last, bid, ask)
        return [event, ticker] if self._random.random() < 0.5 else [ticker, event]

    def _change(self, side: int) -> tuple[int, int]:
        """Change one level and return its price and new quantity."""
        way, best, count = (-1, 1)[side], self._best[side], len(self._sides[side])
        gap = abs(self._best[1 - side] - best)
        kind = self._random.random()
        if count > self._most or (count > self._fewest and kind < 0.1):
            price, quantity = best, 0  # traded away: the price moves
        elif count > self._fewest and kind < 0.35:
            price, quantity = self._away(best, way), 0  # often nothing is there: a delete of an absent level
        elif kind < 0.55 and gap > 1:
            price, quantity = best - way * self._random.randint(1, min(3, gap - 1)), self._quantity()
        else:
            price, quantity = self._away(best, way), self._quantity()
        self._set(side, price, quantity)
        return price, quantity

    def _set(self, side: int, price: int, quantity: int) -> None:
        levels, better = self._sides[side], (max, min)[side]
        if quantity:
            levels[price] = quantity
            self._best[side] = better(self._best[side], price)
        elif levels.pop(price, None) is not None and price == self._best[side]:
            self._best[side] = better(levels)

    def _away(self, best: int, way: int) -> int:
        return max(1, best + way * (self._distance(5.0) - 1))

    def _distance(self, spread: float) -> int:
        """One tick and more, log-normal: most are near, some very far."""
        return 1 + int(self._random.lognormvariate(0.0, spread) / 2) % 100_000

    def _quantity(self) -> int:
        return 1 + int(self._random.lognormvariate(9, 2))

    def _top(self) -> tuple[tuple[int, int], tuple[int, int]]:
        bid, ask = self._best
        return (bid, self._sides[0][bid]), (ask, self._sides[1][ask])

    def _text(self, price: int, quantity: int) -> tuple[str, str]:
        price_zeros, quantity_zeros = self._zeros
        return (
            f"{price // 10**_TICK}.{price % 10**_TICK:0{_TICK}}{'0' * price_zeros}",
            f"{quantity // 10**_STEP}.{quantity % 10**_STEP:0{_STEP}}{'0' * quantity_zeros}",
        )
