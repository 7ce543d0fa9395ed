from collections.abc import Iterable, Sequence
from os import PathLike

from typing_extensions import Buffer

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.engine.arbiter import Publication, Refusal
from wirebook.core.market.writer import MarketWriter
from wirebook.core.transport.base import Receiver

def memory_bytes(history: int = 65536) -> int: ...

class Engine:
    @property
    def books(self) -> Books: ...
    @property
    def market(self) -> MarketWriter: ...
    def __init__(
        self,
        books: Books,
        market: MarketWriter,
        receivers: Sequence[Receiver] = (),
        arena: Arena | None = None,
        batch: int = 16,
        busy: bool = False,
        silence: float = 3.0,
        history: int = 65536,
        audit: str | PathLike[str] | None = None,
        lines: int = 1,
        gap_timeout: float = 0.005,
        publications: Sequence[Publication] | None = None,
        senders: Iterable[str] = (),
        takeover: float = 1.2,
        behind: float = 1.0,
    ) -> None: ...
    def run(self, seconds: float) -> None: ...
    def process(self, data: Buffer, line: int = 0, sender: int = 0, later: float = 0.0) -> None: ...
    def check_silence(self, later: float = 0.0) -> None: ...
    def check_holes(self) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def faults(self) -> dict[str, int]: ...
    def refusals(self) -> list[Refusal]: ...
    def live(self) -> int: ...
