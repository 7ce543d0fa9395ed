from collections.abc import Iterable

from wirebook.core.records import Batch

class DepthScanner:
    symbol: int
    first: int
    last: int
    exchange_ns: int
    def __init__(self, instruments: Iterable[tuple[int, str, int, int]]) -> None: ...
    def scan(self, raw: bytes, batch: Batch, receive_ns: int) -> bool: ...
