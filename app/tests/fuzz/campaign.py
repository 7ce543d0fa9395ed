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
from wirebook.core.books import Books
from wirebook.core.engine import Engine
from wirebook.core.market import MarketWriter
from wirebook.core.packet import Channel
from wirebook.core.transport import Endpoint, Receiver
from wirebook.core.udp import UdpReceiver
from wirebook.xdp import reception

from .packets import CHANNELS, frames, valid

_AT_ONCE = 500
"""Frames between two turns of the engine: fewer than the receive ring holds."""
_UDP_BUFFER = 64 << 20

Say = Callable[[str], None]


@contextmanager
def wire() -> Iterator[Lan]:
    """Two namespaces with a pair between them."""
    lan = Lan()
    try:
        lan.make()
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
    sent = 0
    for number, data in enumerate(frames(dice, count), start=1):
        out.send(data)
        sent += 1
        if number % _AT_ONCE == 0:
            engine.run(0.002)
        if number % 100_000 == 0:
            say(f"{number} frames")
    engine.run(0.2)
    found = _account(engine, receivers, sent)
    before = engine.counters()["packets"]
    for data in valid(dice, 100):
        out.send(data)
    engine.run(0.2)
    assert engine.counters()["packets"] == before + 100, "the engine doesn't take valid packets any more"
    out.close()
    return found


def _account(engine: Engine, receivers: tuple[Receiver, ...], sent: int) -> Counter[str]:
    """Frames = by verdict of the XDP program; of those redirected = packets; packets = valid, and invalid by reason."""
    counted = engine.counters()
    found = Counter({"frames": sent})
    taken = 0
    for receiver in receivers:
        said = receiver.counters()
        taken += said["packets"]
        verdicts = {name: value for name, value in said.items() if name.startswith("xdp_") and name != "xdp_unstamped"}
        if verdicts:
            assert said["drops"] == 0, "a frame found no room: this machine is too slow for that many at once"
            assert sum(verdicts.values()) == sent
            assert verdicts["xdp_redirected"] == said["packets"] + said["malformed"]
        found.update({name: value for name, value in said.items() if value and name != "packets"})
    if "xdp_redirected" not in found:
        found["not handed over by the kernel"] = sent - taken
    invalid = {f"invalid_{name}": value for name, value in engine.faults().items()}
    # A packet of a stream beyond the table is valid, and refused.
    assert counted["packets"] + sum(invalid.values()) - invalid["invalid_too_many_streams"] == taken
    found["valid"] = counted["packets"]
    found.update({name: value for name, value in invalid.items() if value})
    for name in ("gaps", "late", "restarts", "unknown_symbol", "unknown_kind", "foreign"):
        found[name] = counted[name]
    return found
