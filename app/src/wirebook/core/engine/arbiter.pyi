from typing import Any, Final

from typing_extensions import Buffer

from wirebook.core.base.memory import Arena

PLACE_NAMES: Final[tuple[str, ...]]

def memory_bytes() -> int: ...

class Arbiter:
    lines: int
    holding: int
    held: int
    timeouts: int
    def __init__(self, lines: int = 1, timeout: float = 0.005, arena: Arena | None = None) -> None: ...
    def take(self, data: Buffer, *, line: int = 0, now: int = 0) -> tuple[str, list[int]]: ...
    def overdue(self, drained: int) -> list[int]: ...
    def counters(self) -> dict[str, Any]: ...
