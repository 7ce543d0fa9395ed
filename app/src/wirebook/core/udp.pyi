from wirebook.core.packet import Encoder
from wirebook.core.records import Batch

class Sender:
    packets: int
    bytes: int
    dropped: int
    last_error: int
    def __init__(self, group: str, port: int, interface: str, ttl: int = 1, loopback: bool = True) -> None: ...
    def publish(self, encoder: Encoder, batch: Batch, channel: int = 0) -> None: ...
    def close(self) -> None: ...

class Receiver:
    fd: int
    buffer_bytes: int
    notes: tuple[str, ...]
    kernel_drops: int
    packets: int
    calls: int
    def __init__(
        self, group: str, port: int, interface: str, receive_buffer: int = 8388608, busy_poll_us: int = 0
    ) -> None: ...
    def poll(self, timeout_ms: int = 0) -> list[tuple[bytes, int]]: ...
    def close(self) -> None: ...
