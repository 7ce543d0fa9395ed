"""A floor that computes something else is no floor: the C books and ours hold the same levels after all updates."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from bench import floor, workloads
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.wire.records import Batch, Kind

ARENA = 16 << 20


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    return floor.load(floor.build(tmp_path_factory.mktemp("floor") / "libfloor.so"))


def _dense(workload, span):
    """The same updates squeezed into `span` ticks a side: lines fill up, spread, and are packed again."""
    for records in (workload.snapshot, workload.updates):
        levels = records["kind"] <= Kind.ASK
        sign = np.where(records["kind"] == Kind.BID, -1, 1)
        records["price"][levels] = (10_000_000 + sign * (1 + records["price"] % span))[levels]
    return workload


WORKLOADS = {
    "sparse": lambda: workloads.synthetic(1, 1000, 50_000),
    "many symbols": lambda: workloads.synthetic(32, 64, 50_000),
    "dense": lambda: _dense(workloads.synthetic(3, 200, 50_000), 150),
    "around zero": lambda: _shifted(workloads.synthetic(2, 200, 20_000), -10_000_000),
}


def _shifted(workload, by):
    for records in (workload.snapshot, workload.updates):
        records["price"] += by
    return workload


@pytest.mark.parametrize("name", WORKLOADS)
def test_all_books_hold_the_same_levels(library, name):
    workload = WORKLOADS[name]()
    ours = Books(workload.symbols, Arena(ARENA, "off"))
    others = [floor.Books(library, kind, workload.symbols, ARENA) for kind in ("tree", "array")]
    steps = [workload.snapshot, *np.array_split(workload.updates, 10)]
    deepest = 0
    for records in steps:
        batch = Batch(len(records))
        batch.extend(records.tobytes())
        ours.apply(batch)
        for other in others:
            other.apply(np.ascontiguousarray(records))
        for symbol in range(workload.symbols):
            for side in (Kind.BID, Kind.ASK):
                levels = ours.levels(symbol, side)
                deepest = max(deepest, len(levels))
                assert [other.levels(symbol, side) for other in others] == [levels, levels]
    assert deepest > 30
    for other in others:
        other.close()


def test_packets_end_every_event_once(library):
    from wirebook.core.wire.packet import Encoder

    workload = workloads.synthetic(8, 64, 5_000)
    encoder = Encoder(1, 1, 1)
    path = library.path_new(workload.symbols, ARENA)
    for records in (workload.snapshot, workload.updates):
        slots, lengths = workloads.packed(encoder, records)
        library.path_packets(path, slots.ctypes.data, lengths.ctypes.data, len(lengths), workloads.SLOT_BYTES, 32, None)
    assert library.path_published(path) == np.count_nonzero(workload.updates["flags"])
    library.path_free(path)


def test_drive_applies_what_one_call_does(library):
    workload = workloads.synthetic(4, 64, 5_000)
    once, driven = (floor.Books(library, "tree", workload.symbols, ARENA) for _ in range(2))
    laps = np.zeros(-(-len(workload.updates) // floor.BATCH), np.uint64)
    for records in (workload.snapshot, workload.updates):
        once.apply(records)
    floor.drive(library, driven.apply_address, driven.address, workload.snapshot)
    assert floor.drive(library, driven.apply_address, driven.address, workload.updates, laps) > 0
    for symbol in range(workload.symbols):
        for side in (Kind.BID, Kind.ASK):
            assert driven.levels(symbol, side) == once.levels(symbol, side)
    assert laps.all()  # wall time, which a busy machine stretches beyond the CPU time of the run
