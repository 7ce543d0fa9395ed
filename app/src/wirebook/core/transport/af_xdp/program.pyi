import os
from collections.abc import Sequence
from typing import Final

MODES: Final[dict[str, int]]
VERDICTS: Final[tuple[str, ...]]

def attached(interface: int) -> tuple[int, str] | None: ...

class Program:
    def __init__(
        self,
        path: str | os.PathLike[str],
        destinations: Sequence[tuple[str, int, int]],
        packets_per_second: int = 0,
        burst: int = 0,
        senders: Sequence[str] = (),
    ) -> None: ...
    def give(self, queue: int, xsk: int) -> None: ...
    def attach(self, interface: int, mode: str = "auto") -> int: ...
    def verdicts(self) -> int: ...

class Verdicts:
    fd: int
    def __init__(self, fd: int) -> None: ...
    def read(self) -> dict[str, int]: ...
