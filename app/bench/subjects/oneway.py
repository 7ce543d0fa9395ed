"""UDP one way over loopback multicast: a packet of 184 bytes is sent → its record is in shared memory.

One sender in C on one CPU times both receivers on another: it sends, and looks at the record until it has changed.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from bench import floor, ringrun
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.transport.base import Endpoint
from wirebook.core.transport.udp import UdpReceiver
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind

GROUP, SNAPSHOT_GROUP = "239.192.94.1", "239.192.94.2"
LAPS = 20_000
GAP_NS = 20_000
_MARKET_HEADER = 4096


class _OneWay:
    def __init__(self, inputs: Path) -> None:
        self._library = floor.load(inputs.parent / "libfloor.so")
        self._sent = 0
        batch = Batch(3)
        batch.append(0, Kind.BID, 0, 0, 1, 100, 1)
        batch.append(0, Kind.ASK, 0, 0, 1, 101, 1)
        batch.append(0, Kind.BID, Flag.EVENT_END, 0, 1, 99, 1)
        (packet,) = Encoder(1, 1, 1).encode(batch)
        self._packet = ctypes.create_string_buffer(packet, len(packet))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]

    @contextmanager
    def _receiving(self) -> Iterator[int]:
        """Receive on this process's last CPU; gives the address of the record that is written."""
        raise NotImplementedError

    def run(self) -> dict[str, float]:
        """Percentiles of 20,000 packets, 20 µs after one another."""
        laps = np.zeros(LAPS, np.uint64)
        pair = ringrun.cpus() or (0, 0)
        with self._receiving() as shown, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            sender.connect((GROUP, self._port))
            with _alone_on(pair[0]):
                failed = self._library.oneway_send(
                    sender.fileno(), self._packet, shown, self._sent + 1, LAPS, GAP_NS, laps.ctypes.data
                )
        self._sent += LAPS
        if failed:
            raise AssertionError("a packet never came out at the other end")
        return {"p50_ns": float(np.percentile(laps, 50)), "p99_ns": float(np.percentile(laps, 99))}


@contextmanager
def _alone_on(cpu: int) -> Iterator[None]:
    """Run this thread on a CPU, before everything else there if that is allowed: a lap is short, a time slice is not.

    A run is shorter than the second of which the kernel leaves 5 % to others (sched_rt_runtime_us).
    """
    affinity, policy, priority = os.sched_getaffinity(0), os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setaffinity(0, {cpu})
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)
        os.sched_setaffinity(0, affinity)


@contextmanager
def _beside(work: Callable[[], None]) -> Iterator[None]:
    """Do something in a thread on the last CPU."""
    pair = ringrun.cpus() or (0, 0)

    def pinned() -> None:
        with _alone_on(pair[1]):
            work()

    thread = threading.Thread(target=pinned)
    thread.start()
    try:
        yield
    finally:
        thread.join()


class Ours(_OneWay):
    """The book process's loop: both channels, arbitration, books, market cache."""

    def __init__(self, inputs: Path) -> None:
        super().__init__(inputs)
        self._folder = tempfile.TemporaryDirectory(dir="/dev/shm")
        path = Path(self._folder.name) / "market"
        receivers = (
            UdpReceiver(Endpoint(GROUP, self._port, "lo")),
            UdpReceiver(Endpoint(SNAPSHOT_GROUP, self._port, "lo"), seldom=True),
        )
        self._engine = Engine(Books(2048, Arena(floor.ARENA_BYTES)), MarketWriter(path, 2048), receivers, busy=True)
        batch = Batch(2)
        batch.append(0, Kind.CLEAR, Flag.SNAPSHOT, 0, 1)
        batch.append(0, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 1)
        self._engine.process(Encoder(1, 1, 1).encode(batch)[0])
        self._sent = 1
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 0)

    @contextmanager
    def _receiving(self) -> Iterator[int]:
        stop = threading.Event()

        def work() -> None:
            while not stop.is_set():
                self._engine.run(0.1)  # as `wirebook book` does

        with _beside(work):
            try:
                yield ctypes.addressof(ctypes.c_char.from_buffer(self._memory, _MARKET_HEADER))
            finally:
                stop.set()


class Floor(_OneWay):
    """A bare loop of recv() in C that writes what came into a record."""

    def __init__(self, inputs: Path) -> None:
        super().__init__(inputs)
        self._shown = mmap.mmap(-1, mmap.PAGESIZE)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((GROUP, self._port))
        membership = socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)

    @contextmanager
    def _receiving(self) -> Iterator[int]:
        stop = ctypes.c_int(0)
        shown = ctypes.addressof(ctypes.c_char.from_buffer(self._shown))
        with _beside(lambda: self._library.oneway_receive(self._socket.fileno(), shown, ctypes.byref(stop))):
            try:
                yield shown
            finally:
                stop.value = 1
