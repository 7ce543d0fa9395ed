"""Taking packets off a veth pair: AF_XDP by the engine and by bare C, and UDP by the engine.

Each lap sends a burst, and then times taking it. All read each packet's sequence. Two things are measured:

- the reader alone: CPU time of its thread, system calls in it, with the kernel's receive path in the sender's time;
- all that receiving takes: the receive path (for AF_XDP the XDP program and the copy to the process's memory, for UDP
  the network stack up to the socket) runs in a kernel thread of its own (threaded NAPI, the kernel's
  Documentation/networking/napi.rst), 128 packets at a time, and its time is added. What the sender does up to the
  wire is in neither.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from ctypes import POINTER, c_char_p, c_int, c_uint, c_uint64, c_void_p
from importlib import resources
from pathlib import Path

from bench import environments, floor

sys.path.insert(0, str(environments.APP / "tests"))

import hot
from integration.namespaces import RECEIVE_MERGING, TRANSMIT_SPLITTING, Lan, reason_not_to, set_offload

from wirebook.core.transport.af_xdp.program import Program
from wirebook.core.transport.af_xdp.receiver import AfXdpReceiver
from wirebook.core.transport.af_xdp.socket import XskSocket
from wirebook.core.transport.base import Endpoint, Receiver
from wirebook.core.transport.udp import UdpReceiver
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Kind

GROUP, PORT = "239.192.7.1", 17001
BURST = 1024
"""Packets a lap: fewer than a receive ring holds."""
LAPS = 40
_AT_ONCE = 128
"""Packets until the kernel's thread is waited for: fewer than the pair's own queue holds (VETH_RING_SIZE, 256)."""
_UDP_BUFFER = 16 << 20


class Granted:
    """The program on the right end, held by this process."""

    mode = "native"

    def __init__(self, lan: Lan, xsk: int) -> None:
        with resources.as_file(resources.files("wirebook.core.transport.af_xdp") / "steer.bpf.o") as path:
            program = Program(path, [(GROUP, PORT, 0)])
        program.give(0, xsk)
        with lan.inside(lan.right):
            self._link = program.attach(socket.if_nametoindex(lan.right), self.mode)
        self.verdicts = program.verdicts()

    def close(self) -> None:
        """Take it off."""
        os.close(self._link)
        os.close(self.verdicts)


class _KernelThread:
    """What takes an interface's frames from its queue (NAPI), as a thread that runs when this one waits."""

    def __init__(self, lan: Lan, name: str) -> None:
        before = set(self._there())
        switch = lan.command(name, "sh", "-c", f"echo 1 > /sys/class/net/{name}/threaded")
        subprocess.run(switch, check=True, capture_output=True)
        (self._pid,) = set(self._there()) - before
        # Woken for each packet, it would mostly switch: so it gets them as many at once as a busy NIC hands over.
        os.sched_setaffinity(self._pid, os.sched_getaffinity(0))
        os.sched_setscheduler(self._pid, os.SCHED_IDLE, os.sched_param(0))

    @staticmethod
    def _there() -> Iterator[int]:
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # a process that has just ended
                if (folder / "comm").read_text().startswith("napi/"):
                    yield int(folder.name)

    def ns(self) -> int:
        """CPU time so far (Documentation/scheduler/sched-stats.rst)."""
        return int(Path(f"/proc/{self._pid}/schedstat").read_text().split()[0])

    def wait(self) -> None:
        """Until it has nothing more to do."""
        while not re.search(r"\) S ", Path(f"/proc/{self._pid}/stat").read_text()):
            time.sleep(0.0001)


class _Wire:
    """The pair, and what sends on it."""

    verify_checksum = True
    """Whether packets have UDP checksums, and AF_XDP's readers add them up. A NIC checks them for UDP."""

    def __init__(self, _inputs: Path) -> None:
        reason = reason_not_to()
        if reason:
            raise RuntimeError(reason)
        self.lan = Lan()
        try:
            self.lan.make(sums=self.verify_checksum)
            with self.lan.inside(self.lan.left):
                self._out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                outgoing = struct.pack("@4s4si", b"", b"", socket.if_nametoindex(self.lan.left))
                self._out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, outgoing)
                self._out.connect((GROUP, PORT))
            with self.lan.inside(self.lan.right):
                self.open(Endpoint(GROUP, PORT, self.lan.right))
        except BaseException:
            self.lan.unmake()
            raise
        batch = Batch(3)
        for n in range(3):
            batch.append(n, Kind.BID, price=n, quantity=1)
        encoder = Encoder(1, 2, 3)
        self._packets = [encoder.encode(batch)[0] for _ in range(BURST)]

    def open(self, endpoint: Endpoint) -> None:
        """Open the receiving end."""
        raise NotImplementedError

    def drain(self) -> tuple[int, int, int]:
        """Take what is there: CPU time in ns, packets, sum of their sequences."""
        raise NotImplementedError

    def run(self) -> dict[str, float]:
        """CPU time a packet, of the reader and of all; and what a core that does all could take in a second."""
        reader = sum(self._lap() for _ in range(LAPS)) / (LAPS * BURST)
        whole = self._whole() / (LAPS * BURST)
        return {"ns": reader, "all_ns": whole, "pps": 1e9 / whole}

    def _whole(self) -> int:
        thread = _KernelThread(self.lan, self.lan.right)
        before = thread.ns()
        reader = sum(self._lap(thread) for _ in range(LAPS))
        found = thread.ns() - before + reader
        off = self.lan.command(self.lan.right, "sh", "-c", f"echo 0 > /sys/class/net/{self.lan.right}/threaded")
        subprocess.run(off, check=True, capture_output=True)
        return found

    def _lap(self, thread: _KernelThread | None = None) -> int:
        for number, packet in enumerate(self._packets, start=1):
            self._out.send(packet)
            if thread and number % _AT_ONCE == 0:
                thread.wait()
        ns, count, sequences = self.drain()
        if (count, sequences) != (BURST, BURST * (BURST + 1) // 2):
            raise RuntimeError(f"{count} of {BURST} packets came")
        return ns


class _Engine(_Wire):
    receiver: Receiver

    def drain(self) -> tuple[int, int, int]:
        """By the engine's receive()."""
        found: tuple[int, int, int] = hot.drain(self.receiver)
        return found


class Ours(_Engine):
    """AF_XDP by the engine, as it is configured by default."""

    def open(self, endpoint: Endpoint) -> None:
        """With the program and the socket in this process."""
        xsk = XskSocket(endpoint.interface, 0)
        self.receiver = AfXdpReceiver(xsk, [(endpoint, 0)], Granted(self.lan, xsk.fd),
                                      verify_checksum=self.verify_checksum)  # fmt: skip


class OursUnverified(Ours):
    """The same, believing what it gets."""

    verify_checksum = False


class Udp(_Engine):
    """Kernel UDP by the engine."""

    verify_checksum = False

    def open(self, endpoint: Endpoint) -> None:
        """An ordinary joined socket."""
        # As a NIC's driver, the pair shall take packets by NAPI. By itself it does so for an XDP program only.
        with self.lan.inside(self.lan.left):
            set_offload(self.lan.left, TRANSMIT_SPLITTING, on=False)
        set_offload(self.lan.right, RECEIVE_MERGING, on=True)
        self.receiver = UdpReceiver(endpoint, _UDP_BUFFER)


class Floor(_Wire):
    """AF_XDP by a bare loop in C, behind the same program and in the same kind of memory."""

    def open(self, endpoint: Endpoint) -> None:
        """Compile the loop, and bind it."""
        library = floor.SOURCES / "xdp" / "loop.c"
        target = environments.CACHE / "inputs" / "libfloor_xdp.so"
        target.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([shutil.which("cc") or "cc", *floor.FLAGS, "-o", target, library, "-lxdp"], check=True)
        self._library = ctypes.CDLL(str(target))
        self._library.loop_new.restype = c_void_p
        self._library.loop_new.argtypes = (c_char_p, c_uint)
        self._library.loop_fd.restype = c_int
        self._library.loop_fd.argtypes = (c_void_p,)
        self._library.loop_drain.restype = c_uint64
        self._library.loop_drain.argtypes = (c_void_p, c_int, POINTER(c_uint64), POINTER(c_uint64))
        self._loop = self._library.loop_new(endpoint.interface.encode(), 0)
        if not self._loop:
            raise RuntimeError("the C loop can't bind its AF_XDP socket")
        self._granted = Granted(self.lan, self._library.loop_fd(self._loop))

    def drain(self) -> tuple[int, int, int]:
        """By the C loop."""
        packets, sequences = c_uint64(), c_uint64()
        ns = self._library.loop_drain(self._loop, self.verify_checksum, packets, sequences)
        return ns, packets.value, sequences.value


class FloorUnverified(Floor):
    """The same, believing what it gets."""

    verify_checksum = False
