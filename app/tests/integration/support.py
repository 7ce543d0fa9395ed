"""Real processes on the loopback interface: a simulated venue, a feed, the books."""

import asyncio
import itertools
import json
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Self

import uvloop

from wirebook.core.books.books import State
from wirebook.core.market.view import MarketView
from wirebook.sim.binance import BinanceExchange
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.server import Server
from wirebook.sim.tape import SyntheticTape, Tape
from wirebook.venues import get
from wirebook.venues.base import Depth

CAPTURES = Path(__file__).resolve().parents[4] / "shared" / "captures"
"""Recorded traffic, where it lies beside the project; see its SOURCES.md."""

PATIENCE = 60.0
"""Seconds after which a thing that should happen has not; long, since test machines are busy."""

Top = tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]]
"""Best bid and ask, each as (price, quantity)."""

WIREBOOK = [sys.executable, "-m", "wirebook"]


def wirebook(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*WIREBOOK, *arguments], capture_output=True, text=True, timeout=PATIENCE, check=False)


def refused(*arguments: str) -> str:
    """The one sentence of a command that fails by the user's hand."""
    done = wirebook(*arguments)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("wirebook: ")
    assert done.stderr.count("\n") == 1
    return done.stderr.removeprefix("wirebook: ").strip()


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait for `holds()`."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:.0f} s in vain for {what}")
        time.sleep(0.02)


class Line(NamedTuple):
    """One line of the book process's audit."""

    symbol: int
    update_id: int
    state: int
    bid: int
    bid_quantity: int
    ask: int
    ask_quantity: int

    def top(self, decimals: tuple[int, int]) -> tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]]:
        """Best bid and ask as (price, quantity) in the venue's numbers."""
        price, quantity = decimals
        return (
            (Decimal(self.bid).scaleb(-price), Decimal(self.bid_quantity).scaleb(-quantity)),
            (Decimal(self.ask).scaleb(-price), Decimal(self.ask_quantity).scaleb(-quantity)),
        )


class Node:
    """A feed and a book process with a configuration of their own."""

    def __init__(
        self, home: Path, venue: dict[str, Any], silence: float = 3.0, *, line_b: bool = False, **feed: object
    ) -> None:
        self.home = home
        self.venue = venue.get("venue", "binance")
        self.audit = home / "audit.csv"
        self.config = home / "engine.toml"
        self.market = home / "market"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        symbols = ", ".join(
            f'{{ id = {number}, instrument = "{name}" }}' for number, name in enumerate(venue["symbols"])
        )
        keys = "\n".join(f"{key} = {json.dumps(value)}" for key, value in feed.items())
        line = 'group_b = "239.192.7.3"\nsnapshot_group_b = "239.192.7.4"' if line_b else ""
        self.config.write_text(
            f"""
            [memory]
            lock = false
            arena_mb = 32
            [transport]
            ttl = 0
            port = {port}
            snapshot_port = {port}
            {line}
            [book]
            poll = "wait"
            silence_seconds = {silence}
            [market]
            path = "{self.market}"
            [[feed]]
            venue = "{self.venue}"
            websocket = "{venue["websocket"]}"
            rest = "{venue["rest"]}"
            ca_file = "{venue.get("ca_file", "")}"
            {keys}
            symbols = [ {symbols} ]
            """
        )

    def start(self, command: str, *arguments: str) -> None:
        """Start `wirebook COMMAND`; what it logs is added to COMMAND.log."""
        with (self.home / f"{command}.log").open("ab") as log:
            self._running[command] = subprocess.Popen(
                [*WIREBOOK, command, *arguments, "--config", str(self.config)], stdout=log, stderr=log
            )

    def start_both(self) -> None:
        """The book process with its audit, then the feed."""
        self.start_book()
        self.start("feed", self.venue)

    def start_book(self) -> None:
        self.start("book", "--audit", str(self.audit))
        until(lambda: b"ready" in self.log("book"), "the book process")

    def stop(self, command: str, number: signal.Signals = signal.SIGTERM) -> int:
        """End a process; its exit code."""
        process = self._running.pop(command)
        process.send_signal(number)
        return process.wait(PATIENCE)

    def send_signal(self, command: str, number: signal.Signals) -> None:
        """Send a signal to a process that goes on."""
        self._running[command].send_signal(number)

    def ended(self, command: str) -> int:
        """Wait for a process that ends by itself; its exit code."""
        return self._running.pop(command).wait(PATIENCE)

    def stop_all(self) -> None:
        for command in list(self._running):
            self.stop(command)

    def log(self, command: str) -> bytes:
        return (self.home / f"{command}.log").read_bytes()

    def view(self) -> MarketView:
        return MarketView(self.market)

    def states(self) -> list[State]:
        """Of every symbol that the book process knows."""
        view = self.view()
        return [view.top(symbol.number).state for symbol in view.defined()]

    def wait_live(self, count: int) -> None:
        until(lambda: self.states() == [State.LIVE] * count, f"{count} live books")

    def lines(self) -> list[Line]:
        """The audit so far."""
        whole, _, _ = self.audit.read_text().rpartition("\n")
        return [Line(*map(int, line.split(","))) for line in whole.splitlines()]


@contextmanager
def node(
    home: Path, venue: dict[str, Any], silence: float = 3.0, *, line_b: bool = False, **feed: object
) -> Iterator[Node]:
    """A node whose processes are ended at the end, and whose logs are shown when the test failed.

    `silence`: its book.silence_seconds; `line_b`: it has one; `feed`: more keys of its [[feed]].
    """
    made = Node(home, venue, silence, line_b=line_b, **feed)
    try:
        yield made
    except BaseException:
        for path in sorted(home.glob("*.log")):
            print(f"--- {path.name}\n{path.read_text()}")
        raise
    finally:
        made.stop_all()


class Sim:
    """`wirebook sim` as a process."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen([*WIREBOOK, "sim", "--json", *arguments], stdout=subprocess.PIPE)
        self.venue = self.event()
        assert self.venue["event"] == "listening"

    def event(self) -> dict[str, Any]:
        """The next thing that it says."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 4 * PATIENCE)[0]:
            raise AssertionError("the simulated venue says nothing")
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        return self._process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()


class Lossy(BinanceExchange):
    """A venue whose network loses what `loses` says. The venue's own books have it."""

    loses: Callable[[bytes], bool] = staticmethod(lambda _: False)
    refuses: int = 0
    """REST requests for books that are answered with an error first."""

    def deliver(self, subscription: Any, raw: bytes, instrument: str | None = None) -> bytes | None:
        return None if self.loses(raw) else super().deliver(subscription, raw, instrument)

    def rest(self, target: str, books: Any) -> tuple[int, bytes]:
        if self.depth_symbol(target) and self.refuses > 0:
            self.refuses -= 1
            return 503, b'{"code":-1008,"msg":"Server is currently overloaded"}'
        return super().rest(target, books)


@contextmanager
def serving(tape: Tape, speed: float | None = 1.0, **faults: Any) -> Iterator[dict[str, Any]]:
    """The simulated venue in a thread of this process, so that a test can make it fail: see `Lossy`."""
    started = threading.Event()
    venue: dict[str, Any] = {"symbols": list(tape.scales)}
    loop = uvloop.new_event_loop()

    async def serve() -> None:
        server = Server(get("binance"), tape, speed, loop=False, say=lambda *_, **__: None)
        server.exchange = Lossy(tape.scales)
        for name, fault in faults.items():
            setattr(server.exchange, name, fault)
        port = await server.listen("127.0.0.1", 0)
        venue.update(websocket=f"ws://127.0.0.1:{port}", rest=f"http://127.0.0.1:{port}", server=server)
        started.set()
        try:
            await server.play()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await server.close()

    task = loop.create_task(serve())
    thread = threading.Thread(target=lambda: loop.run_until_complete(task))
    thread.start()
    started.wait(PATIENCE)
    try:
        yield venue
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(PATIENCE)
        loop.close()


def tops(lines: list[Line], number: int, decimals: tuple[int, int]) -> list[Top]:
    """The best prices of a live book as they were published, repeats left out."""
    live = [line.top(decimals) for line in lines if line.symbol == number and line.state == State.LIVE]
    return [top for top, _ in itertools.groupby(live)]


def in_order(published: list[Top], market: Iterator[Top]) -> None:
    """Whatever was published was so in the market, in the same order."""
    assert published
    for top in published:
        assert top in market, f"{top} was never the market's after those before it"


def history(book: ReferenceBook, events: Iterator[Depth]) -> Iterator[Top]:
    """The best prices at the start and after each event; a made-up market ends for us after some thousand."""
    yield best(book)
    for event in itertools.islice(events, 5000):
        book.apply(event)
        yield best(book)


def best(book: ReferenceBook) -> Top:
    bid, ask = book.best()
    assert bid is not None
    assert ask is not None
    return (Decimal(bid[0]), Decimal(bid[1])), (Decimal(ask[0]), Decimal(ask[1]))


def right(lines: list[Line], tape: SyntheticTape, decimals: dict[int, tuple[int, int]]) -> None:
    """Every line that says LIVE shows what the market was at that id, and there are many of them."""
    by_id: dict[tuple[int, int], list[Top]] = defaultdict(list)
    for line in lines:
        if line.state == State.LIVE:
            by_id[line.symbol, line.update_id].append(line.top(decimals[line.symbol]))
    numbers_of = {name: number for number, name in enumerate(tape.scales)}
    books = {name: ReferenceBook(snapshot) for name, snapshot in tape.snapshots.items()}
    left = set(by_id)
    assert len(left) > 100
    for item in tape.play():
        event = item.message
        if not isinstance(event, Depth):
            continue
        book = books[event.instrument]
        book.apply(event)
        key = (numbers_of[event.instrument], event.last)
        if key in left:
            left.remove(key)
            bid, ask = book.best()
            assert bid is not None
            assert ask is not None
            wanted = ((Decimal(bid[0]), Decimal(bid[1])), (Decimal(ask[0]), Decimal(ask[1])))
            assert by_id[key] == [wanted] * len(by_id[key])
        if not left:
            return
