from collections.abc import Iterable, Sequence
from typing import Protocol

from wirebook.core.transport.af_xdp.socket import XskSocket
from wirebook.core.transport.af_xdp.tap import Tap
from wirebook.core.transport.base import Endpoint, Receiver

class Granted(Protocol):
    verdicts: int
    mode: str
    def close(self) -> None: ...

class AfXdpReceiver(Receiver):
    @property
    def xsk(self) -> XskSocket: ...
    @property
    def mode(self) -> str: ...
    @property
    def malformed(self) -> int: ...
    @property
    def bad_udp_checksum(self) -> int: ...
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
