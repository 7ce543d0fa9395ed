"""The C programs in floor/, compiled for this machine, and the one loop that every book is timed in."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from ctypes import POINTER, c_int, c_int64, c_long, c_size_t, c_ssize_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.workloads import Records

SOURCES = Path(__file__).with_name("floor")
FLAGS = ("-O3", "-march=native", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
BATCH = 16
"""Records that a book gets at a time: the engine's default."""
ARENA_BYTES = 128 << 20


class _Level(ctypes.Structure):
    _fields_ = (("price", c_int64), ("quantity", c_int64))


def build(library: Path) -> Path:
    """Compile floor/*.c for this CPU."""
    library.parent.mkdir(parents=True, exist_ok=True)
    compiler = shutil.which("cc")
    if compiler is None:
        raise FileNotFoundError("the floor needs a C compiler: apt install gcc libc6-dev")
    subprocess.run([compiler, *FLAGS, "-o", str(library), *map(str, sorted(SOURCES.glob("*.c")))], check=True)
    return library


def load(library: Path) -> ctypes.CDLL:
    """The library with its functions' types set."""
    found = ctypes.CDLL(str(library))
    types: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "drive": (c_uint64, (c_void_p, c_void_p, c_void_p, c_ssize_t, c_ssize_t, c_void_p)),
        "path_new": (c_void_p, (c_uint32, c_size_t)),
        "path_free": (None, (c_void_p,)),
        "path_books": (c_void_p, (c_void_p,)),
        "path_packets": (c_uint64, (c_void_p, c_void_p, c_void_p, c_ssize_t, c_ssize_t, c_ssize_t, c_void_p)),
        "path_published": (c_uint64, (c_void_p,)),
        "oneway_send": (c_int, (c_int, c_void_p, c_void_p, c_uint64, c_long, c_uint64, c_void_p)),
        "oneway_receive": (c_long, (c_int, c_void_p, c_void_p)),
        "ring_new": (c_void_p, (c_uint64,)),
        "ring_free": (None, (c_void_p,)),
        "ring_ping": (c_uint64, (c_void_p, c_void_p, c_uint64, c_void_p)),
        "ring_pong": (None, (c_void_p, c_void_p, c_uint64)),
        "ring_produce": (None, (c_void_p, c_uint64)),
        "ring_consume": (c_uint64, (c_void_p, c_uint64)),
    }
    for book in ("tree", "array"):
        types[f"{book}_new"] = (c_void_p, (c_uint32, c_size_t))
        types[f"{book}_free"] = (None, (c_void_p,))
        types[f"{book}_apply"] = (None, (c_void_p, c_void_p, c_ssize_t))
        types[f"{book}_levels"] = (c_size_t, (c_void_p, c_uint32, c_int, POINTER(_Level), c_size_t))
    for name, (result, arguments) in types.items():
        function = getattr(found, name)
        function.restype = result
        function.argtypes = arguments
    return found


def drive(
    library: ctypes.CDLL,
    apply: int,
    books: int,
    records: Records,
    laps: NDArray[np.uint64] | None = None,
    batch: int = BATCH,
) -> int:
    """CPU time in ns that the C function at `apply` takes for the records; `laps` has a place for each batch."""
    result: int = library.drive(
        apply, books, records.ctypes.data, len(records), batch, None if laps is None else laps.ctypes.data
    )
    return result


class Books:
    """C books, of the kind `tree` or `array`."""

    def __init__(self, library: ctypes.CDLL, kind: str, symbols: int, size: int = ARENA_BYTES) -> None:
        self._library = library
        self._kind = kind
        self.address: int | None = getattr(library, f"{kind}_new")(symbols, size)
        if self.address is None:
            raise MemoryError(f"no {size} bytes for the C books")
        self.apply_address = ctypes.cast(getattr(library, f"{kind}_apply"), c_void_p).value or 0

    def apply(self, records: Records) -> None:
        """Apply records, all in one call."""
        getattr(self._library, f"{self._kind}_apply")(self.address, records.ctypes.data, len(records))

    def levels(self, symbol: int, side: int, most: int = 1 << 16) -> list[tuple[int, int]]:
        """(price, quantity) of a side from the best on."""
        found = (_Level * most)()
        count = getattr(self._library, f"{self._kind}_levels")(self.address, symbol, side, found, most)
        return [(level.price, level.quantity) for level in found[:count]]

    def close(self) -> None:
        """Give the memory back."""
        getattr(self._library, f"{self._kind}_free")(self.address)
