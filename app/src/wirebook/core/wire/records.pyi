import enum
from typing import Any

from numpy.typing import NDArray
from typing_extensions import Buffer

class Kind(enum.IntEnum):
    BID = 0
    ASK = 1
    CLEAR = 2
    LIVE = 3
    STALE = 4
    HEARTBEAT = 5
    DEFINE = 6
    SPAN = 7

class Flag(enum.IntEnum):
    EVENT_END = 1
    SNAPSHOT = 2

class Reason(enum.IntEnum):
    NO_REASON = 0
    GAP = 1
    DISCONNECTED = 2
    CHECKSUM = 3
    SILENCE = 4
    RESYNC = 5
    POOL_EXHAUSTED = 6
    TOO_SLOW = 7
    STOPPED = 8
    UNREADABLE = 9
    CROSSED = 10
    OUT_OF_SPAN = 11
    CONTESTED = 12

class Batch:
    @property
    def capacity(self) -> int: ...
    def __init__(self, capacity: int) -> None: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    @property
    def array(self) -> NDArray[Any]: ...
    def clear(self) -> None: ...
    def truncate(self, size: int) -> None: ...
    def times(self) -> tuple[int, int]: ...
    def append(
        self,
        symbol: int,
        kind: int,
        flags: int = 0,
        aux: int = 0,
        update_id: int = 0,
        price: int = 0,
        quantity: int = 0,
        exchange_ns: int = 0,
        receive_ns: int = 0,
    ) -> None: ...
    def define(self, symbol: int, name: str, price_decimals: int, quantity_decimals: int) -> None: ...
    def extend(self, data: Buffer) -> None: ...
