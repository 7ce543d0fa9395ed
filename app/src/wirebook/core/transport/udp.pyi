from collections.abc import Sequence

from wirebook.core.transport.base import Endpoint, Receiver, Sender

class UdpSender(Sender):
    def __init__(self, lines: Sequence[Endpoint], ttl: int = 1, loopback: bool = True) -> None: ...

class UdpReceiver(Receiver):
    @property
    def buffer_bytes(self) -> int: ...
    @property
    def calls(self) -> int: ...
    @property
    def stamps(self) -> str: ...
    def __init__(
        self,
        endpoint: Endpoint,
        receive_buffer: int = 8388608,
        busy_poll_us: int = 0,
        *,
        line: int = 0,
        seldom: bool = False,
    ) -> None: ...
