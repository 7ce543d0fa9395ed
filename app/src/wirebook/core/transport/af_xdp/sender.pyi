from collections.abc import Sequence

from wirebook.core.transport.af_xdp.socket import XskSocket
from wirebook.core.transport.base import Endpoint, Sender

class AfXdpSender(Sender):
    def __init__(self, lines: Sequence[tuple[XskSocket, Endpoint]], source_port: int, ttl: int = 1) -> None: ...
