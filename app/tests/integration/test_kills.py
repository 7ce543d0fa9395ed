"""Feed, book process and reader are killed at random moments: no reader sees a wrong book, and all is soon whole."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wirebook.core.books.books import State
from wirebook.sim.tape import SyntheticTape

from .support import PATIENCE, Line, Node, Sim, node, right, until

SYMBOLS, RATE, SEED = 3, 120, 11
SILENCE = 1.2
WHOLE_SECONDS = 2.0
BUSY = 1.2
"""From so much more time than CPU time on, the machine is said to be busy with something else."""

# What a strategy would do: whatever is said to be LIVE is noted down, with its age. A depth that contradicts its own
# top, sides that cross, or that run in the wrong order, would be a torn record.
READER = f"""
import json, sys, time
from wirebook import MarketView
from wirebook.core.books.books import State
from wirebook.errors import UserError
path, log = sys.argv[1], open(sys.argv[2], "a", buffering=1)
print("ready", flush=True)
view, last = None, {{}}
while True:
    try:
        view = view or MarketView(path)
    except UserError:
        time.sleep(0.01)
        continue
    for number in range({SYMBOLS}):
        now = time.time_ns()
        top, bids, asks = view.depth(number)
        if top.state is not State.LIVE:
            last.pop(number, None)
            continue
        age = max(now - top.publish_ns, 0) / 1e9
        torn = (
            (top.bid_price, top.bid_quantity) != bids[0] or (top.ask_price, top.ask_quantity) != asks[0]
            or bids != sorted(bids, reverse=True) or asks != sorted(asks) or bids[0][0] >= asks[0][0]
        )
        if torn or age > 0.5 or last.get(number) != top.update_id:
            last[number] = top.update_id
            log.write(json.dumps([number, top.update_id, *bids[0], *asks[0], age, torn]) + "\\n")
    time.sleep(0.001)
"""


class Killed:
    """A node whose parts are killed, and a reader."""

    def __init__(self, under_test: Node) -> None:
        self.node = under_test
        self.log = under_test.home / "reader.jsonl"
        self.seconds: dict[str, list[float]] = {"feed": [], "book": [], "reader": []}
        self._reader = self._start_reader()

    def _start_reader(self) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", READER, str(self.node.market), str(self.log)]
        reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        return reader

    def kill(self, part: str) -> None:
        """Kill it, start it again, and note how long it took until all was whole."""
        if part == "reader":
            self.stop()
            started = time.monotonic()
            self._reader = self._start_reader()
        else:
            self.node.stop(part, signal.SIGKILL)
            before = self.ids()
            started = time.monotonic()
            self.node.start(part, *([self.node.venue] if part == "feed" else []))
            self.until_whole(before)
        self.seconds[part].append(time.monotonic() - started)

    def ids(self) -> list[int]:
        """The update id of every book."""
        view = self.node.view()
        return [view.top(number).update_id for number in range(SYMBOLS)]

    def until_whole(self, before: list[int]) -> None:
        """All books are live, with more than was there before."""
        deadline = time.monotonic() + PATIENCE
        while True:
            view = self.node.view()
            tops = [view.top(number) for number in range(SYMBOLS)]
            newer = all(top.update_id > old for top, old in zip(tops, before, strict=True))
            if newer and all(top.state is State.LIVE for top in tops):
                return
            assert time.monotonic() < deadline, (tops, before)
            time.sleep(0.005)

    def stop(self) -> None:
        """End the reader."""
        self._reader.kill()
        self._reader.wait()
        assert self._reader.stdout is not None
        self._reader.stdout.close()


def stretch() -> float:
    """How much longer than on a machine of its own everything takes now: time by CPU time, of a process that starts.

    1 unless the machine is busy. Taken before and after, when nothing of the test's own runs: so on an idle machine all
    must be whole in WHOLE_SECONDS exactly; on one that does other things too, in as much longer as that makes a process
    wait for its CPU.
    """
    before, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", "import wirebook.commands.feed, wirebook.commands.book"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = (time.monotonic() - before) / (after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime)
    return found if found > BUSY else 1.0


@pytest.mark.parametrize("kills", [15, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_at_random_moments(tmp_path: Path, kills: int) -> None:
    chance = random.Random(kills)
    stretches = [stretch()]
    arguments = ("--symbols", str(SYMBOLS), "--rate", str(RATE), "--seed", str(SEED))
    with Sim("--synthetic", *arguments) as sim, node(tmp_path, sim.venue, silence=SILENCE) as under_test:
        under_test.start("book")
        until(lambda: b"ready" in under_test.log("book"), "the book process")
        under_test.start("feed", under_test.venue)
        under_test.wait_live(SYMBOLS)
        killed = Killed(under_test)
        try:
            for _ in range(kills):
                time.sleep(chance.uniform(0, 0.6))
                killed.kill(chance.choice(["feed", "book", "reader"]))
            time.sleep(1)
        finally:
            killed.stop()
        view = under_test.view()
        symbols = [view.symbol(number) for number in range(SYMBOLS)]
    stretches.append(stretch())
    seen, broken = [], 0
    for text in killed.log.read_text().splitlines():
        try:
            seen.append(json.loads(text))
        except ValueError:  # what the killed reader was just writing
            broken += 1
    assert broken <= len(killed.seconds["reader"])
    assert not [one for one in seen if one[-1]], "torn"
    # A feed that was killed is noticed after its silence, and a book process that was after a second.
    assert max(one[-2] for one in seen) < SILENCE + 1.0 + 0.5
    lines = [Line(number, update_id, State.LIVE, *numbers) for number, update_id, *numbers, _, _ in seen]
    decimals = {symbol.number: (symbol.price_decimals, symbol.quantity_decimals) for symbol in symbols}
    right(lines, SyntheticTape(SYMBOLS, RATE, SEED), decimals)
    shown = {part: [round(one, 2) for one in sorted(seconds)] for part, seconds in killed.seconds.items()}
    print(f"\n{kills} kills; seconds until all was whole: {shown}; this machine stretches time by {max(stretches):.1f}")
    for part in ("feed", "book"):
        assert max(killed.seconds[part]) < WHOLE_SECONDS * max(stretches), part
