from os import PathLike
from typing import Any, NamedTuple

from numpy.typing import NDArray

from wirebook.core.books.books import State
from wirebook.core.market.latency import Stage
from wirebook.core.transport.base import Stamp

class Top(NamedTuple):
    state: State
    reason: int
    update_id: int
    bid_price: int | None
    bid_quantity: int | None
    ask_price: int | None
    ask_quantity: int | None
    exchange_ns: int
    receive_ns: int
    publish_ns: int
    stamp: Stamp
    arrival_ns: int

class Levels(NamedTuple):
    top: Top
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]

class Depth(Levels):
    bid_edge: int | None
    ask_edge: int | None

class Symbol(NamedTuple):
    number: int
    name: str
    price_decimals: int
    quantity_decimals: int
    events: int

class MarketView:
    @property
    def symbols(self) -> int: ...
    @property
    def path(self) -> str: ...
    def __init__(self, path: str | PathLike[str] = "/run/wirebook/market", silence: float = 1.0) -> None: ...
    def attach(self) -> None: ...
    @property
    def alive(self) -> bool: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def pid(self) -> int: ...
    def number(self, symbol: int | str) -> int: ...
    def symbol(self, symbol: int | str) -> Symbol: ...
    def defined(self) -> list[Symbol]: ...
    def top(self, symbol: int | str) -> Top: ...
    def depth(self, symbol: int | str) -> Depth: ...
    def metrics(self) -> dict[str, int]: ...
    def histograms(self) -> dict[str, tuple[list[int], int]]: ...
    def latency(self) -> list[Stage]: ...
    @property
    def array(self) -> NDArray[Any]: ...
