import enum
from typing import NamedTuple

from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch

class Line(enum.IntFlag):
    LINE_A = 0
    LINE_B = 1

class Stamp(enum.IntFlag):
    STAMP_USER = 0
    STAMP_KERNEL = 1
    STAMP_HARDWARE = 2

class Endpoint(NamedTuple):
    group: str
    port: int
    interface: str

    def check(self) -> int: ...

class Receiver:
    fd: int
    seldom: bool
    notes: tuple[str, ...]
    packets: int
    drops: int
    def poll(self, timeout_ms: int = 0) -> list[tuple[bytes, Line, Stamp, int]]: ...
    def counters(self) -> dict[str, int]: ...
    def watch(self) -> list[str]: ...
    def close(self) -> None: ...

class Sender:
    packets: int
    bytes: int
    drops: int
    last_error: int
    def publish(self, encoder: Encoder, batch: Batch, channel: int = 0) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def close(self) -> None: ...
