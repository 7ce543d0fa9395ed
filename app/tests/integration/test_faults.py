"""A venue at which everything goes wrong: no book is ever wrong and live, and all are right in the end."""

import asyncio
import gc
import itertools
import os
import random
from pathlib import Path
from typing import Any

import pytest
import uvloop

from wirebook.config import parse
from wirebook.core.books.books import Books, State
from wirebook.feed.handler import FeedHandler
from wirebook.feed.publisher import Nowhere
from wirebook.sim import synthetic
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.server import Server
from wirebook.sim.tape import CaptureTape
from wirebook.venues import get
from wirebook.venues.base import Depth, scaled

from .support import Sim, history, in_order, node, tops, until

PERIODIC = ("drop", "duplicate", "swap", "truncate", "garble")


@pytest.mark.parametrize("venue", ["binance", "bybit-linear", "okx", "coinbase"])
def test_spoilt_messages_never_make_a_live_book_wrong(tmp_path: Path, venue: str) -> None:
    """Every fault a message can have, again and again; REST fails too, where it is needed."""
    scenario = tmp_path / "faults.toml"
    entries = [f'kind = "{kind}"\nat = [{150 + 60 * place}]' for place, kind in enumerate(PERIODIC)]
    entries += ['kind = "rest_error"\nat = [3]', 'kind = "rest_limit"\nat = [5]\nseconds = 1']
    entries += ['kind = "rest_disconnect"\nat = [4]']
    entries += ['kind = "rest_slow"\nat = [2]\nseconds = 1', 'kind = "cut"\nat = [460]']
    scenario.write_text("".join(f"[[fault]]\n{entry}\n" for entry in entries))
    with (
        Sim("--venue", venue, "--synthetic", "--rate", "100", "--seed", "4", "--faults", str(scenario)) as sim,
        node(tmp_path, sim.venue) as under_test,
    ):
        under_test.start_both()
        until(lambda: b"disconnected from" in under_test.log("feed"), "the last fault")
        connected = under_test.log("feed").count(b"connected to")
        until(lambda: under_test.log("feed").count(b"connected to") > connected, "another connection")
        under_test.wait_live(1)
        seen = len(under_test.lines())
        until(lambda: len(under_test.lines()) > seen + 100, "events after all that")
        symbol = under_test.view().symbol(0)
    tape = synthetic(venue, 1, 100, 4)
    ((_, start),) = tape.snapshots.items()
    market = (item.message for item in tape.play() if isinstance(item.message, Depth))
    published = tops(under_test.lines(), 0, (symbol.price_decimals, symbol.quantity_decimals))
    in_order(published, history(ReferenceBook(start), market))
    assert b"Traceback" not in under_test.log("feed")


def test_a_wrong_checksum_makes_its_book_stale_and_is_mended(tmp_path: Path) -> None:
    scenario = tmp_path / "faults.toml"
    scenario.write_text('[[fault]]\nkind = "checksum"\nat = [100]\n')
    with (
        Sim("--venue", "kraken", "--synthetic", "--rate", "100", "--faults", str(scenario)) as sim,
        node(tmp_path, sim.venue) as under_test,
    ):
        under_test.start_both()
        until(lambda: State.STALE in [line.state for line in under_test.lines()[50:]], "a stale book")
        under_test.wait_live(1)
    states = [state for state, _ in itertools.groupby(line.state for line in under_test.lines())]
    assert states[-3:] == [State.LIVE, State.STALE, State.LIVE]


@pytest.mark.usefixtures("keeps_capabilities")
def test_thirty_disconnects_at_random_points_of_a_replay(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spot_capture: Path
) -> None:
    """In one process, with a venue that allows a connection every hundredth of a second.

    At the end every level is the venue's, and memory has not grown since the tenth.
    """
    venue = get("binance")
    monkeypatch.setattr(type(venue), "connect_seconds", 0.01)
    monkeypatch.setattr(type(venue), "rest_limit", 1e9)
    monkeypatch.setattr("wirebook.feed.resyncs._LONGEST_SECONDS", 0.1)  # the tape runs thirty times too fast
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(followed(tmp_path, CaptureTape(venue, spot_capture)))
    assert seen["connects"] == 31
    assert seen["state"] == State.LIVE
    assert seen["wrong"] == []
    assert seen["levels"] > 1000
    assert seen["grown_kb"] < 8192


async def followed(home: Path, tape: CaptureTape) -> dict[str, Any]:
    """Play the tape to a feed in this process; what is to be seen after its end."""
    server = Server(get("binance"), tape, 30, False, lambda *_, **__: None)
    port = await server.listen("127.0.0.1", 0)
    (name,) = tape.scales
    config = parse(
        {
            "memory": {"lock": False, "hugepages": "off", "arena_mb": 32},
            "market": {"path": str(home / "market")},
            "feed": [
                {
                    "venue": "binance",
                    "websocket": f"ws://127.0.0.1:{port}",
                    "rest": f"http://127.0.0.1:{port}",
                    "symbols": [{"id": 0, "instrument": name}],
                }
            ],
        }
    )
    feed = FeedHandler(config, config.feed[0], get("binance"), os.sched_getaffinity(0), Nowhere)
    running = asyncio.ensure_future(feed.run())
    playing = asyncio.ensure_future(server.play())
    dice, early_kb = random.Random(30), 0
    for number in range(30):
        while not server.clients or feed._followed[0].connection.connects <= number:
            await asyncio.sleep(0.002)
        await asyncio.sleep(dice.uniform(0.0, 0.2))  # at times before its books are live
        for client in tuple(server.clients):
            if dice.random() < 0.5:
                client.reset()
            else:
                client.cut(b"{}" * 100)
        if number == 10:
            early_kb = resident_kb()
    assert not playing.done()
    await playing
    followed = feed._followed[0]
    published: Books = followed._publisher.books
    levels, wrong = 0, []
    venue_rows = [dict(side) for side in server.books[name].levels(1 << 20)]
    decimals = followed.connection.follower.instruments[0]
    for _ in range(100):  # the last messages are on their way
        if published.update_id(0) == server.books[name].last:
            break
        await asyncio.sleep(0.02)
    for side, rows in enumerate(venue_rows):
        theirs = {
            scaled(price, decimals.price_decimals): scaled(quantity, decimals.quantity_decimals)
            for price, quantity in rows.items()
        }
        for price, quantity in published.levels(0, side):
            levels += 1
            if theirs.get(price) != quantity:
                wrong.append((side, price, quantity))
    seen = {
        "connects": followed.connection.connects,
        "state": published.state(0),
        "levels": levels,
        "wrong": wrong,
        "grown_kb": resident_kb() - early_kb,
    }
    feed._stop.set()
    await running
    await server.close()
    return seen


def resident_kb() -> int:
    """Memory of this process that is in RAM."""
    gc.collect()
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0])
