from enum import IntEnum
from typing import Any

from wirebook.core.books.books import Books
from wirebook.core.decode.scanner import Scanner
from wirebook.core.decode.sequence import Rule
from wirebook.core.wire.records import Batch

class Phase(IntEnum):
    IDLE = 0
    AWAITING = 1
    UNCHAINED = 2
    LIVE = 3

class Chain:
    at: int
    events: int
    phase: int
    kept: list[tuple[bytes, int]] | None
    texts: Any
    @property
    def symbol(self) -> int: ...
    def __init__(self, symbol: int) -> None: ...

class BookSink:
    @property
    def batch(self) -> Batch: ...
    @property
    def books(self) -> Books: ...
    def __init__(self, books: Books, records: int) -> None: ...
    def commit(self, _symbol: int, /) -> None: ...

class ChainFollower:
    messages: int
    updates: int
    scanner: Scanner | None
    sink: Any
    def __init__(self, rule: Rule, chains: list[Chain], scanner: Scanner | None, sink: Any) -> None: ...
    def message(self, raw: bytes, receive_ns: int) -> None: ...
    def other(self, raw: bytes, receive_ns: int) -> None: ...
