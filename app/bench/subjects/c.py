"""The bare C programs."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np

from bench import floor, ringrun
from bench.subjects import Laps
from bench.workloads import BURST, PACKET_RECORDS, SLOT_BYTES, Workload, packed
from wirebook.core.wire.packet import Encoder


class Tree:
    """Decoded updates → books of the engine's own structure."""

    kind = "tree"

    def __init__(self, inputs: Path) -> None:
        self._workload = Workload.load(inputs)
        self._library = floor.load(inputs.parent / "libfloor.so")

    def _time(self, laps: np.ndarray | None) -> int:
        books = floor.Books(self._library, self.kind, self._workload.symbols)
        try:
            floor.drive(self._library, books.apply_address, books.address or 0, self._workload.snapshot)
            return floor.drive(self._library, books.apply_address, books.address or 0, self._workload.updates, laps)
        finally:
            books.close()

    def run(self) -> dict[str, float]:
        """Nanoseconds an update."""
        return {"ns": self._time(None) / len(self._workload.updates)}

    def laps(self) -> Laps:
        """Each batch of one run."""
        laps = np.zeros(-(-len(self._workload.updates) // floor.BATCH), np.uint64)
        self._time(laps)
        return Laps(laps.tolist(), floor.BATCH)


class Array(Tree):
    """Decoded updates → sorted arrays."""

    kind = "array"


class Packets:
    """Received packets → sorted arrays → records in shared memory."""

    def __init__(self, inputs: Path) -> None:
        self._workload = Workload.load(inputs)
        self._library = floor.load(inputs.parent / "libfloor.so")
        encoder = Encoder(1, 1, 1)
        self._snapshot = packed(encoder, self._workload.snapshot)
        self._updates = packed(encoder, self._workload.updates)

    def _packets(self, path: int, packets: tuple[np.ndarray, np.ndarray], laps: np.ndarray | None) -> int:
        slots, lengths = packets
        taken: int = self._library.path_packets(
            path,
            slots.ctypes.data,
            lengths.ctypes.data,
            len(lengths),
            SLOT_BYTES,
            BURST if laps is None else 1,
            None if laps is None else laps.ctypes.data,
        )
        return taken

    def _time(self, laps: np.ndarray | None) -> int:
        path = self._library.path_new(self._workload.symbols, floor.ARENA_BYTES)
        try:
            self._packets(path, self._snapshot, None)
            published = self._library.path_published(path)
            taken = self._packets(path, self._updates, laps)
            if self._library.path_published(path) - published != np.count_nonzero(self._workload.updates["flags"]):
                raise AssertionError("the C program didn't take every event")
            return taken
        finally:
            self._library.path_free(path)

    def run(self) -> dict[str, float]:
        """Nanoseconds an update."""
        return {"ns": self._time(None) / len(self._workload.updates)}

    def laps(self) -> Laps:
        """Each packet of one run, as if it came alone."""
        laps = np.zeros(len(self._updates[1]), np.uint64)
        self._time(laps)
        return Laps(laps.tolist(), PACKET_RECORDS)


class Hand:
    """The ring between two threads."""

    def __init__(self, inputs: Path) -> None:
        self._library = floor.load(inputs.parent / "libfloor.so")

    def run(self) -> dict[str, float]:
        """One way in ns, and slots a second."""
        library = self._library
        there, back = library.ring_new(ringrun.SLOTS), library.ring_new(ringrun.SLOTS)
        laps = (ctypes.c_uint64 * ringrun.ROUND_TRIPS)()
        try:
            return ringrun.figures(
                lambda: library.ring_ping(there, back, ringrun.ROUND_TRIPS, laps),
                lambda: library.ring_pong(there, back, ringrun.ROUND_TRIPS),
                lambda: library.ring_consume(there, ringrun.SLOTS_HANDED),
                lambda: library.ring_produce(there, ringrun.SLOTS_HANDED),
            )
        finally:
            library.ring_free(there)
            library.ring_free(back)
