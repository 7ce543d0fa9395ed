import enum
from typing import Final, NamedTuple

from typing_extensions import Buffer

from wirebook.core.wire.records import Batch

FAULT_NAMES: Final[tuple[str, ...]]
RECORDS: Final[int]

class Channel(enum.IntEnum):
    INCREMENTAL_CHANNEL = 0
    SNAPSHOT_CHANNEL = 1

class Packet(NamedTuple):
    channel: int
    venue: int
    stream: int
    epoch: int
    nonce: int
    sequence: int
    send_ns: int
    records: Batch

class Encoder:
    def __init__(self, venue: int, stream: int, epoch: int, nonce: int = 0) -> None: ...
    def encode(self, batch: Batch, channel: int = 0) -> list[bytes]: ...
    def sequence(self, channel: int = 0) -> int: ...

def decode(data: Buffer) -> Packet: ...
