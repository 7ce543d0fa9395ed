from collections.abc import Iterable

from wirebook.core.wire.records import Batch

class Scanner:
    symbol: int
    first: int
    last: int
    exchange_ns: int
    @property
    def previous(self) -> int | None: ...
    def __init__(self, instruments: Iterable[tuple[int, str, int, int]]) -> None: ...
    def scan(self, raw: bytes, batch: Batch, receive_ns: int) -> bool: ...
