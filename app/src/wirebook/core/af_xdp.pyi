from collections.abc import Iterable, Sequence
from typing import Protocol

from wirebook.core.tap import Tap
from wirebook.core.transport import Endpoint, Receiver, Sender
from wirebook.core.xsk import XskSocket

class Granted(Protocol):
    verdicts: int
    mode: str
    def close(self) -> None: ...

class AfXdpReceiver(Receiver):
    xsk: XskSocket
    mode: str
    malformed: int
    bad_udp_checksum: int
    def __init__(
        self,
        xsk: XskSocket,
        destinations: Sequence[tuple[Endpoint, int]],
        grant: Granted,
        busy_poll: bool = False,
        notes: Iterable[str] = (),
        tap: Tap | None = None,
        verify_checksum: bool = True,
    ) -> None: ...

class AfXdpSender(Sender):
    def __init__(self, lines: Sequence[tuple[XskSocket, Endpoint]], source_port: int, ttl: int = 1) -> None: ...
