from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

STAGE_NAMES: Final[tuple[str, ...]]
LONGEST_NS: Final[int]

class Stage(NamedTuple):
    name: str
    packets: int
    negative: int
    p50: int | None
    p99: int | None
    p999: int | None

class LatencyHistogram:
    def __init__(self) -> None: ...
    def add(self, ns: int, weight: int = 1) -> None: ...
    def add_many(self, values: NDArray[np.int64]) -> None: ...
    def stage(self, name: str) -> Stage: ...

def stage(name: str, bins: Sequence[int], negative: int = 0) -> Stage: ...
