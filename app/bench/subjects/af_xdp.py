"""Taking packets off a veth pair: AF_XDP by the engine and by bare C, and UDP by the engine.

Each lap sends a burst, and then times taking it: CPU time of the reader's thread, system calls in it, the XDP program
and the kernel's receive path (which run in the sender's) not. All read each packet's sequence.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import sys
from ctypes import POINTER, c_char_p, c_int, c_uint, c_uint64, c_void_p
from importlib import resources
from pathlib import Path

from bench import environments, floor

sys.path.insert(0, str(environments.APP / "tests"))

import hot
from integration.namespaces import Lan, reason_not_to

from wirebook.core import steer
from wirebook.core.af_xdp import AfXdpReceiver
from wirebook.core.packet import Encoder
from wirebook.core.records import Batch, Kind
from wirebook.core.transport import Endpoint, Receiver
from wirebook.core.udp import UdpReceiver
from wirebook.core.xsk import XskSocket

GROUP, PORT = "239.192.7.1", 17001
BURST = 1024
"""Packets a lap: fewer than a receive ring holds."""
LAPS = 40
_UDP_BUFFER = 16 << 20


class Granted:
    """The program on the right end, held by this process."""

    mode = "native"

    def __init__(self, lan: Lan, xsk: int) -> None:
        with resources.as_file(resources.files("wirebook.core") / "steer.bpf.o") as path:
            program = steer.Program(path, [(GROUP, PORT, 0)])
        program.give(0, xsk)
        with lan.inside(lan.right):
            self._link = program.attach(socket.if_nametoindex(lan.right), self.mode)
        self.verdicts = program.verdicts()

    def close(self) -> None:
        """Take it off."""
        os.close(self._link)
        os.close(self.verdicts)


class _Wire:
    """The pair, and what sends on it."""

    def __init__(self, _inputs: Path) -> None:
        reason = reason_not_to()
        if reason:
            raise RuntimeError(reason)
        self.lan = Lan()
        try:
            self.lan.make()
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
        """CPU time a packet, and what one core could take in a second."""
        taken = packets = 0
        for _ in range(LAPS):
            for packet in self._packets:
                self._out.send(packet)
            ns, count, sequences = self.drain()
            if (count, sequences) != (BURST, BURST * (BURST + 1) // 2):
                raise RuntimeError(f"{count} of {BURST} packets came")
            taken += ns
            packets += count
        return {"ns": taken / packets, "pps": packets * 1e9 / taken}


class _Engine(_Wire):
    receiver: Receiver

    def drain(self) -> tuple[int, int, int]:
        """By the engine's receive()."""
        found: tuple[int, int, int] = hot.drain(self.receiver)
        return found


class Ours(_Engine):
    """AF_XDP by the engine."""

    def open(self, endpoint: Endpoint) -> None:
        """With the program and the socket in this process."""
        xsk = XskSocket(endpoint.interface, 0)
        self.receiver = AfXdpReceiver(xsk, [(endpoint, 0)], Granted(self.lan, xsk.fd))


class Udp(_Engine):
    """Kernel UDP by the engine."""

    def open(self, endpoint: Endpoint) -> None:
        """An ordinary joined socket."""
        self.receiver = UdpReceiver(endpoint, _UDP_BUFFER)


class Floor(_Wire):
    """AF_XDP by a bare loop in C, behind the same program."""

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
        self._library.loop_drain.argtypes = (c_void_p, POINTER(c_uint64), POINTER(c_uint64))
        self._loop = self._library.loop_new(endpoint.interface.encode(), 0)
        if not self._loop:
            raise RuntimeError("the C loop can't bind its AF_XDP socket")
        self._granted = Granted(self.lan, self._library.loop_fd(self._loop))

    def drain(self) -> tuple[int, int, int]:
        """By the C loop."""
        packets, sequences = c_uint64(), c_uint64()
        ns = self._library.loop_drain(self._loop, packets, sequences)
        return ns, packets.value, sequences.value
