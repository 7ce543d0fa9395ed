from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from typing_extensions import Buffer

from wirebook.core.base.memory import Arena

ORDER_NAMES: Final[tuple[str, ...]]
REFUSALS: Final[tuple[str, ...]]

class Publication(NamedTuple):
    venue: int
    stream: int
    names: Mapping[int, str]

class Refusal(NamedTuple):
    kind: str
    venue: int
    stream: int
    sender: str
    packets: int

def memory_bytes() -> int: ...

class Arbiter:
    @property
    def lines(self) -> int: ...
    @property
    def holding(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def timeouts(self) -> int: ...
    def __init__(
        self,
        lines: int = 1,
        timeout: float = 0.005,
        arena: Arena | None = None,
        publications: Sequence[Publication] | None = None,
        senders: Iterable[str] = (),
        takeover: float = 1.2,
    ) -> None: ...
    def take(self, data: Buffer, *, line: int = 0, now: int = 0, sender: int = 0) -> tuple[str, list[int]]: ...
    def overdue(self, empty_at: int) -> list[int]: ...
    def refusals_so_far(self) -> list[Refusal]: ...
    def counters(self) -> dict[str, Any]: ...
