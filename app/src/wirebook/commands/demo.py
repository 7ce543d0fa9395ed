"""`wirebook demo`: the whole flow on one machine, with the same commands that run in production.

A simulated venue, a feed and the book process as three processes on the loopback interface, with a configuration of
their own in a temporary directory; then `top` for a while; then everything is stopped. It doesn't need root.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from wirebook import config
from wirebook.commands import check
from wirebook.errors import UserError

_START_SECONDS = 20.0
_SYNTHETIC = ("--synthetic", "--symbols", "8", "--rate", "200")
_MEMORY = {"lock": True, "arena_mb": 32}


def main(options: argparse.Namespace) -> int:
    """Show the flow as the command line asks."""
    return run(options.replay, options.seconds)


def run(replay: Path | None, seconds: int) -> int:
    """Show the books for `seconds`; returns the exit code. Raises UserError if a part doesn't start."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wirebook-demo-")))
        traffic = ("--replay", str(replay), "--loop") if replay else _SYNTHETIC
        sim = stack.enter_context(_part(home, "sim", *traffic, "--json", output=subprocess.PIPE))
        venue = _listening(sim, home)
        print(f"simulated venue: {venue['websocket']} with {', '.join(venue['symbols'])}", flush=True)
        engine = home / "engine.toml"
        engine.write_text(_engine_toml(home, venue))
        with _Readiness(home / "ready") as readiness:
            book = stack.enter_context(_part(home, "book", "--config", str(engine)))
            feed = stack.enter_context(_part(home, "feed", "binance", "--config", str(engine), notify=readiness.path))
            parts = {"sim": sim, "book": book, "feed": feed}
            readiness.wait(len(venue["symbols"]), parts, home)
        print("all books are live", flush=True)
        _show(engine, seconds)
        _all_run(parts, home)
    return 0


@contextmanager
def _part(
    home: Path, command: str, *arguments: str, output: int = subprocess.DEVNULL, notify: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `wirebook COMMAND`, and stop it at the end. Its output goes to a file, in case it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    if notify is not None:
        environment["NOTIFY_SOCKET"] = str(notify)
    with (home / f"{command}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "wirebook", command, *arguments], stdout=output, stderr=log, env=environment
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _listening(sim: subprocess.Popen[bytes], home: Path) -> dict[str, Any]:
    """Return the simulated venue's addresses, which it prints once it accepts connections."""
    assert sim.stdout is not None  # noqa: S101 (for the type checker)
    if not select.select([sim.stdout], [], [], _START_SECONDS)[0]:
        raise UserError(f"the simulated venue didn't start in {_START_SECONDS:.0f} s: {_last_words(home, 'sim')}")
    line = sim.stdout.readline()
    if not line:
        raise UserError(f"the simulated venue didn't start: {_last_words(home, 'sim')}")
    venue: dict[str, Any] = json.loads(line)
    return venue


def _engine_toml(home: Path, venue: dict[str, Any]) -> str:
    """Return a configuration for this machine and user; if memory can't be locked here, the demo says so."""
    lock = True
    for result in check.check(config.parse({"memory": _MEMORY})):
        if result.name == "memory.lock" and result.verdict == "FAIL":
            lock = False
            print(f"memory is not locked here: {result.text}", flush=True)
    symbols = ", ".join(f'{{ id = {number}, instrument = "{name}" }}' for number, name in enumerate(venue["symbols"]))
    port = _free_port()
    return f"""
[memory]
lock = {str(lock).lower()}
arena_mb = {_MEMORY["arena_mb"]}
[transport]
interface = "lo"
ttl = 0
port = {port}
snapshot_port = {port}
[book]
poll = "wait"
[market]
path = "{home / "market"}"
[[feed]]
venue = "binance"
websocket = "{venue["websocket"]}"
rest = "{venue["rest"]}"
symbols = [ {symbols} ]
"""


def _free_port() -> int:
    """Return a UDP port that nobody uses now, so that two demos don't hear each other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _Readiness:
    """Plays the service manager: hears a feed say how many books are live."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        self._socket.bind(str(self.path))
        self._socket.settimeout(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def wait(self, books: int, parts: dict[str, subprocess.Popen[bytes]], home: Path) -> None:
        """Wait until all books are live. Raises UserError if a part ends before that, or if it takes too long."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            _all_run(parts, home)
            try:
                if f"STATUS={books} of {books} books live".encode() in self._socket.recv(4096):
                    return
            except TimeoutError:
                continue
        raise UserError(f"the books were not live in {_START_SECONDS:.0f} s: {_last_words(home, 'feed')}")


def _all_run(parts: dict[str, subprocess.Popen[bytes]], home: Path) -> None:
    for name, part in parts.items():
        if part.poll() is not None:
            raise UserError(f"the demo's {name} process ended early: {_last_words(home, name)}")


def _last_words(home: Path, command: str) -> str:
    lines = (home / f"{command}.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _show(engine: Path, seconds: int) -> None:
    """Show the live view on a terminal; elsewhere show the books as they are at the end."""
    top = [sys.executable, "-m", "wirebook", "top", "--config", str(engine)]
    if not sys.stdout.isatty():
        time.sleep(seconds)
        subprocess.run([*top, "--once"], check=True)
        return
    view = subprocess.Popen(top)
    try:
        view.wait(seconds)
    except subprocess.TimeoutExpired:
        view.send_signal(signal.SIGINT)
        view.wait()
