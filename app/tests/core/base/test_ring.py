"""The ring between two threads, and between two processes."""

from __future__ import annotations

import mmap
import multiprocessing
import struct
import threading
from collections.abc import Callable

import pytest

from wirebook.core.base.ring import Ring, ring_bytes


def produce(memory: mmap.mmap, messages: int) -> None:
    ring = Ring(memory)
    sent = 0
    while sent < messages:
        sent += ring.push(struct.pack("<8Q", *[sent] * 8))


def consume(ring: Ring, messages: int) -> None:
    expected = 0
    while expected < messages:
        data = ring.pop()
        if data is not None:
            assert data == struct.pack("<8Q", *[expected] * 8)
            expected += 1


@pytest.mark.parametrize(
    # Threads of Python take turns every 5 ms, so fewer messages will do.
    ("start", "messages"),
    [(threading.Thread, 3000), (multiprocessing.get_context("fork").Process, 30_000)],
)
def test_everything_arrives_once_and_in_order(start: Callable[..., threading.Thread], messages: int) -> None:
    memory = mmap.mmap(-1, ring_bytes(64))
    ring = Ring(memory, create=True)
    producer = start(target=produce, args=(memory, messages))
    producer.start()
    consume(ring, messages)
    producer.join()
    assert ring.pop() is None
    assert len(ring) == 0


def test_a_full_ring_is_counted_and_not_overwritten() -> None:
    ring = Ring(bytearray(ring_bytes(4)), create=True)
    assert [ring.push(bytes([n])) for n in range(6)] == [True] * 4 + [False] * 2
    assert ring.full == 2
    assert [ring.pop()[0] for _ in range(4)] == [0, 1, 2, 3]  # type: ignore[index]
    assert ring.pop() is None
    assert ring.push(b"again")


def test_memory_that_is_no_ring() -> None:
    with pytest.raises(ValueError, match="power of two"):
        Ring(bytearray(ring_bytes(3)), create=True)
    with pytest.raises(ValueError, match="holds no ring"):
        Ring(bytearray(ring_bytes(4)))
    with pytest.raises(ValueError, match="64 bytes, not 65"):
        Ring(bytearray(ring_bytes(1)), create=True).push(b"x" * 65)
