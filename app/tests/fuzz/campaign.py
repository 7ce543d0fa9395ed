"""Fuzzed frames through a real wire into a real engine, by one transport or the other, with every one accounted for."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from integration.namespaces import Lan

from wirebook.config import parse
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.transport.base import Endpoint, Receiver
from wirebook.core.transport.udp import UdpReceiver
from wirebook.core.wire.packet import Channel
from wirebook.xdp import reception

from .packets import CHANNELS, by_kernel, frames, valid

_AT_ONCE = 500
"""Frames between two turns of the engine: fewer than the receive ring holds."""
_UDP_BUFFER = 64 << 20

Say = Callable[[str], None]


@contextmanager
def wire() -> Iterator[Lan]:
    """Two namespaces with a pair between them; the right one is what `packets.by_kernel` says."""
    lan = Lan()
    try:
        lan.make()
        for key in ("ipfrag_low_thresh", "ipfrag_high_thresh", "conf.all.rp_filter", f"conf.{lan.right}.rp_filter"):
            subprocess.run(lan.command(lan.right, "sysctl", "-qw", f"net.ipv4.{key}=0"), check=True)
        yield lan
    finally:
        lan.unmake()


def _udp(lan: Lan) -> tuple[Receiver, ...]:
    with lan.inside(lan.right):
        return tuple(
            UdpReceiver(Endpoint(*address, lan.right), _UDP_BUFFER, seldom=channel == Channel.SNAPSHOT_CHANNEL)
            for channel, address in CHANNELS.items()
        )


def _af_xdp(lan: Lan, folder: Path) -> tuple[Receiver, ...]:
    """Attached by a process of its own, as always: it has the namespace's /sys."""
    helper = folder / "xdp.sock"
    file = folder / "engine.toml"
    file.write_text(
        f'[transport]\nkind = "af_xdp"\ninterface = "{lan.right}"\n'
        f'[af_xdp]\nhelper = "{helper}"\npackets_per_second = 0\n'
        f'[market]\npath = "{folder}/market"\n'
    )
    process = subprocess.Popen(
        lan.command(lan.right, sys.executable, "-m", "wirebook", "xdp", "--config", str(file)),
        stderr=subprocess.DEVNULL,
    )
    try:
        while not helper.exists():
            time.sleep(0.02)
        with lan.inside(lan.right):
            return reception.receivers(parse(tomllib.loads(file.read_text())))
    finally:
        process.terminate()
        process.wait()


def transport(name: str, count: int, seed: int, say: Say = lambda _: None) -> Counter[str]:
    """Send `count` frames by `name`, "udp" or "af_xdp"; returns what became of them, by reason.

    Raises AssertionError if one is unaccounted for, or if the engine doesn't take a valid packet afterwards.
    """
    with wire() as lan, tempfile.TemporaryDirectory() as folder:
        receivers = _udp(lan) if name == "udp" else _af_xdp(lan, Path(folder))
        try:
            return _run(lan, receivers, Path(folder), count, seed, say)
        finally:
            for receiver in receivers:
                receiver.close()


def _run(lan: Lan, receivers: tuple[Receiver, ...], folder: Path, count: int, seed: int, say: Say) -> Counter[str]:
    dice = random.Random(seed)
    engine = Engine(Books(2048), MarketWriter(str(folder / "market"), 2048), receivers)
    with lan.inside(lan.left):
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        out.bind((lan.left, 0))
        out.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 20)
    fates: Counter[str] = Counter()
    for number, data in enumerate(frames(dice, count), start=1):
        out.send(data)
        fates[by_kernel(data)] += 1
        if number % _AT_ONCE == 0:
            engine.run(0.002)
        if number % 100_000 == 0:
            say(f"{number} frames")
    engine.run(0.2)
    before = engine.counters()["packets"]
    for data in valid(dice, 100):
        out.send(data)
        fates[by_kernel(data)] += 1
    engine.run(0.2)
    assert engine.counters()["packets"] == before + 100, "the engine doesn't take valid packets any more"
    out.close()
    return _account(lan, engine, receivers, fates)


def _buffer_errors(lan: Lan) -> int:
    """Packets that found a socket's buffer full in the reader's namespace."""
    done = subprocess.run(lan.command(lan.right, "cat", "/proc/net/snmp"), check=True, capture_output=True, text=True)
    names, values = (line.split()[1:] for line in done.stdout.splitlines() if line.startswith("Udp: "))
    return int(values[names.index("RcvbufErrors")])


def _account(lan: Lan, engine: Engine, receivers: tuple[Receiver, ...], fates: Counter[str]) -> Counter[str]:
    """What became of the frames, by reason, without a rest.

    By UDP: the kernel refused what `fates` says, and handed over the others. By AF_XDP: what the XDP program has
    counted. Of both: packets = valid, and invalid by reason.
    """
    found = Counter({"frames": fates.total()})
    said: Counter[str] = Counter()
    for receiver in receivers:
        said.update(receiver.counters())
    if "xdp_redirected" in said:
        verdicts = {name: value for name, value in said.items() if name.startswith("xdp_") and name != "xdp_unstamped"}
        assert said["drops"] == 0, "a frame found no room: this machine is too slow for that many at once"
        assert sum(verdicts.values()) == fates.total()
        refused = {name: said[name] for name in ("malformed", "bad_udp_checksum")}
        assert verdicts["xdp_redirected"] == said["packets"] + sum(refused.values())
        found.update(verdicts | refused)
    else:
        assert said["packets"] == fates["delivered"]
        assert _buffer_errors(lan) == 0
        found.update({f"kernel: {fate}": count for fate, count in fates.items()})
    counted = engine.counters()
    invalid = {f"invalid_{name}": value for name, value in engine.faults().items()}
    # A packet of a stream or a publisher that isn't followed is valid, and refused.
    assert counted["packets"] + counted["invalid"] == said["packets"]
    found["valid"] = counted["packets"]
    found.update(invalid)
    for name in ("gaps", "late", "restarts", "unknown_symbol", "unknown_kind", "foreign"):
        found[name] = counted[name]
    return Counter({reason: number for reason, number in found.items() if number})
