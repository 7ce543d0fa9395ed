"""What a scenario does to the made-up market itself: ticks, lots, halts, crossed books, ids that start over.

Here a fault changes what happened, not how it is told: the simulator's own books have it too, and stay the truth that
a client's books may be compared with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from wirebook.sim.exchange import Exchange
from wirebook.sim.faults import Fault, Scenario
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import Depth, Levels, Scale, Ticker

_Side = dict[str, str]
"""Price to quantity, in the venue's text."""
_FAR = Decimal("1.1")
"""How far above the best ask a crossing bid lies."""


class Market:
    """The events of a made-up market, changed by the scenario."""

    def __init__(self, exchange: Exchange, books: Mapping[str, ReferenceBook], scenario: Scenario) -> None:
        """`books`: as they are before the event that is told next."""
        self._exchange = exchange
        self._books = books
        self._scenario = scenario
        self._halted: dict[str, Depth] = {}
        """What has happened to an instrument since it was halted, as one event."""
        self._crossing: dict[str, tuple[str, str]] = {}
        """The fault, and the price of the bid that crosses the book; empty before it is there."""
        self._altered: set[str] = set()
        """Instruments whose tickers on the tape are not their books' any more."""
        self._first: dict[str, Scale] = dict(exchange.scales)

    def strike(self, fault: Fault, name: str) -> None:
        """Begin with a fault that changes the market of `name`, or of all instruments; other kinds are left alone."""
        names = [fault.instrument] if fault.instrument else list(self._exchange.scales)
        if fault.kind.startswith(("tick_", "lot_")):
            what, _, way = fault.kind.partition("_")
            more = 1 if way == "finer" else -1
            for one in names:
                scale, first = self._exchange.scales[one], self._first[one]
                if what == "tick":
                    wanted = Scale(first.price_decimals + more, scale.quantity_decimals)
                else:
                    wanted = Scale(scale.price_decimals, first.quantity_decimals + more)
                self._exchange.scales[one] = wanted
                self._altered.add(one)
        elif fault.kind == "id_restart":
            for one in names:
                self._exchange.restart_ids(one, self._books[one].last)
        elif fault.kind in ("crossed", "locked"):
            self._crossing[name] = (fault.kind, "")
            self._altered.add(name)

    def tell(self, message: Depth | Ticker) -> Depth | Ticker | None:
        """What is told instead of `message`, None if nothing is."""
        name = message.instrument
        book = self._books[name]
        if isinstance(message, Ticker):
            return self._ticker(message, book)
        message = self._respelled(message, book)
        if self._scenario.holds("halt", name):
            self._exchange.halted.add(name)
            self._halted[name] = _joined(self._halted.get(name), message)
            self._altered.add(name)
            return None
        self._exchange.halted.discard(name)
        message = _joined(self._halted.pop(name, None), message)
        return self._crossed(message, book)

    def _ticker(self, message: Ticker, book: ReferenceBook) -> Ticker | None:
        """The ticker of a book that isn't the tape's any more is made from it, where it is there at the right id."""
        if message.instrument not in self._altered:
            return message
        bid, ask = book.best()
        if book.last != message.last or bid is None or ask is None:
            return None
        return Ticker(message.instrument, message.last, bid, ask)

    def _crossed(self, message: Depth, book: ReferenceBook) -> Depth:
        """The event with the bid that crosses or locks the book, or with its end."""
        name = message.instrument
        if name not in self._crossing:
            return message
        kind, held = self._crossing[name]
        bids = _side(message.bids)
        if not self._scenario.holds(kind, name):
            del self._crossing[name]
            bids.update({held: _zero(message)} if held else {})
            return _with(message, bids, _side(message.asks))
        after = book.copy()
        after.apply(message)
        _, ask = after.best()
        if ask is None or (kind == "crossed" and held):
            return message
        price = self._far_above(ask[0], name) if kind == "crossed" else ask[0]
        if price != held:  # the best ask has moved
            bids.update({held: _zero(message)} if held else {})
            bids[price] = _zero(message).replace("0", "1", 1)
            self._crossing[name] = (kind, price)
        return _with(message, bids, _side(message.asks))

    def _far_above(self, ask: str, name: str) -> str:
        now, first = self._exchange.scales[name].price_decimals, self._first[name].price_decimals
        return _spelled(_rounded(Decimal(ask) * _FAR, now, ROUND_FLOOR), ask, first, now)

    def _respelled(self, message: Depth, book: ReferenceBook) -> Depth:
        """The event at the present tick and lot. Orders from before a change rest where they are."""
        name = message.instrument
        scale, first = self._exchange.scales[name], self._first[name]
        if scale == first:
            return message
        pending = self._halted.get(name)
        sides: list[_Side] = []
        for side, levels in enumerate((message.bids, message.asks)):
            waiting = _side((pending.bids, pending.asks)[side]) if pending else {}
            told: _Side = {}
            for price, quantity, *_ in levels:
                held = waiting.get(price) or book.quantity(side, price)
                rests = held is not None and float(held) != 0
                place = price if rests else _moved(price, first.price_decimals, scale.price_decimals, side)
                told[place] = _sized(quantity, first.quantity_decimals, scale.quantity_decimals)
            sides.append(told)
        return _with(message, *sides)


def _side(levels: Levels) -> _Side:
    return {price: quantity for price, quantity, *_ in levels}


def _with(message: Depth, bids: _Side, asks: _Side) -> Depth:
    return replace(message, bids=list(bids.items()), asks=list(asks.items()))


def _joined(before: Depth | None, after: Depth) -> Depth:
    """Two events as one."""
    if before is None:
        return after
    bids, asks = {**_side(before.bids), **_side(after.bids)}, {**_side(before.asks), **_side(after.asks)}
    return replace(_with(after, bids, asks), first=before.first)


def _moved(price: str, first: int, now: int, side: int) -> str:
    """The price of a new order at another tick: away from the other side, or three small ticks up."""
    if now > first:
        return _spelled(Decimal(price) + Decimal(3).scaleb(-now), price, first, now)
    moved = _rounded(Decimal(price), now, (ROUND_FLOOR, ROUND_CEILING)[side]) if now < first else Decimal(0)
    return _spelled(moved, price, first, now) if moved else price  # below the first coarse tick there is no other


def _sized(quantity: str, first: int, now: int) -> str:
    """A quantity in another lot; never 0 unless it was."""
    if now == first or float(quantity) == 0:
        return quantity
    if now > first:
        return _spelled(Decimal(quantity) + Decimal(3).scaleb(-now), quantity, first, now)
    return _spelled(_rounded(Decimal(quantity), now, ROUND_CEILING), quantity, first, now)


def _zero(message: Depth) -> str:
    """Return zero as a quantity, as the venue writes it."""
    quantity = next(level[1] for side in (message.bids, message.asks) for level in side)
    return f"{0:.{len(quantity.partition('.')[2])}f}"


def _rounded(value: Decimal, decimals: int, how: str) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-decimals), how)


def _spelled(value: Decimal, like: str, first: int, now: int) -> str:
    """A number as the venue writes it: with `now` decimals where it wrote `like` with `first`, else with as many."""
    digits = len(like.partition(".")[2])
    return f"{value:.{now if digits == first else digits}f}"
