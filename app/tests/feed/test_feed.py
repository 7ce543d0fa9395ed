"""A whole feed in this process, at a simulated venue whose REST fails: what it asks for and when, what it publishes."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop

from wirebook import status
from wirebook.config import parse
from wirebook.core.books.books import State
from wirebook.core.wire.records import Kind
from wirebook.errors import UserError
from wirebook.feed import rest
from wirebook.feed.handler import FeedHandler
from wirebook.sim import synthetic
from wirebook.sim.faults import Fault, Scenario
from wirebook.sim.server import Server
from wirebook.venues import get

from .support import Sent, until

INSTRUMENTS, BOOKS = "/api/v3/exchangeInfo", "/api/v3/depth"


pytestmark = pytest.mark.usefixtures("keeps_capabilities")


class Watched:
    """A feed that runs, what it sends, and its requests as (seconds, path)."""

    def __init__(self) -> None:
        self.sent = Sent()
        self.requests: list[tuple[float, str]] = []
        self.status: dict[str, Any] = {}

    def times(self, path: str) -> list[float]:
        """When that path was asked for."""
        return [at for at, asked in self.requests if asked.startswith(path)]

    def live(self, count: int) -> bool:
        return [self.sent.books.state(symbol) for symbol in range(count)] == [State.LIVE] * count


def feed(
    home: Path,
    done: Callable[[Watched], bool],
    *faults: Fault,
    symbols: int = 1,
    more: Sequence[str] = (),
    leave: int = 0,
) -> Watched:
    """Run a feed of Binance's spot until `done`. `more`: symbols that aren't there; `leave` out so many that are."""
    watched = Watched()

    async def body() -> None:
        tape = synthetic("binance", symbols, 200, 3)
        server = Server(get("binance"), tape, 1.0, False, lambda *_, **__: None, Scenario(faults))
        answer = server.exchange.rest

        def rest(target: str, books: object) -> tuple[int, bytes]:
            watched.requests.append((time.monotonic(), target))
            return answer(target, books)  # type: ignore[arg-type]

        server.exchange.rest = rest  # type: ignore[method-assign,assignment]
        port = await server.listen("127.0.0.1", 0)
        config = parse(
            {
                "memory": {"lock": False, "hugepages": "off", "arena_mb": 32},
                "market": {"path": str(home / "market")},
                "feed": [
                    {
                        "venue": "binance",
                        "websocket": f"ws://127.0.0.1:{port}",
                        "rest": f"http://127.0.0.1:{port}",
                        "symbols": [
                            {"id": n, "instrument": name} for n, name in enumerate([*tape.scales, *more][leave:])
                        ],
                    }
                ],
            }
        )
        cpus = os.sched_getaffinity(0)
        under_test = FeedHandler(config, config.feed[0], get("binance"), cpus, lambda *_: watched.sent)
        running = asyncio.ensure_future(under_test.run())
        playing = asyncio.ensure_future(server.play())
        try:
            await until(lambda: running.done() or done(watched))
            await asyncio.sleep(1.1)  # a status is written every second
            watched.status = status.read(home / "market", status.feed("binance"))
        finally:
            under_test._stop.set()
            await running
            playing.cancel()
            await server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(body())
    return watched


@pytest.fixture
def generous(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue whose budget lets any number of snapshots pass."""
    monkeypatch.setattr(type(get("binance")), "rest_limit", 1e9)


@pytest.mark.parametrize("kind", ["rest_error", "rest_limit", "rest_disconnect"])
def test_a_snapshot_that_was_refused_is_asked_for_again(tmp_path: Path, generous: None, kind: str) -> None:
    """Of three symbols the second one's: all get theirs."""
    seen = feed(tmp_path, lambda now: now.live(3), Fault(kind, at=(3,), seconds=0.0), symbols=3)
    asked = [path for _, path in seen.requests if path.startswith(BOOKS)]
    assert len(set(asked)) == 3
    assert len(asked) > 3


def test_a_slow_answer_is_waited_for(tmp_path: Path, generous: None) -> None:
    seen = feed(tmp_path, lambda now: now.live(1), Fault("rest_slow", at=(2,), seconds=0.7))
    assert len(seen.times(BOOKS)) == 1


def test_an_answer_that_takes_too_long_is_asked_for_again(
    tmp_path: Path, generous: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rest, "_TIMEOUT_SECONDS", 0.3)
    seen = feed(tmp_path, lambda now: now.live(1), Fault("rest_slow", at=(2,), seconds=2.0))
    assert len(seen.times(BOOKS)) == 2
    assert any("no snapshot of SYN0USDT: 127.0.0.1: no answer in time" in message for message in caplog.messages)


@pytest.mark.parametrize(("request_number", "path"), [(1, INSTRUMENTS), (2, BOOKS)])
def test_a_venue_that_says_how_long_to_wait_is_obeyed(
    tmp_path: Path, generous: None, request_number: int, path: str
) -> None:
    """Else it bans the address."""
    seen = feed(tmp_path, lambda now: now.live(1), Fault("rest_limit", at=(request_number,), seconds=3.0))
    refused, again = seen.times(path)[:2]
    assert again - refused >= 3.0


def test_snapshots_are_asked_for_as_the_venues_budget_allows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any two seconds two of weight 50 and what defines the instruments; the first ones are the first configured."""
    monkeypatch.setattr(type(get("binance")), "rest_limit", 1.5 * 120.0)
    monkeypatch.setattr(type(get("binance")), "rest_seconds", 2.0)
    seen = feed(tmp_path, lambda now: now.live(5), symbols=5)
    times = seen.times(BOOKS)
    assert len(times) >= 5
    assert all(times[number + 2] - times[number] >= 1.8 for number in range(len(times) - 2))
    asked = [path for _, path in seen.requests if path.startswith(BOOKS)]
    assert ["SYN0" in asked[0], "SYN1" in asked[1]] == [True, True]


def test_an_instrument_that_is_not_there_stops_nobody_else(
    tmp_path: Path, generous: None, caplog: pytest.LogCaptureFixture
) -> None:
    seen = feed(tmp_path, lambda now: now.live(2), symbols=2, more=("GONEUSDT", "HOPEUSDT"))
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [name in text for name, text in zip(("GONEUSDT", "HOPEUSDT"), said, strict=True)] == [True, True]
    assert seen.status["unknown_symbols"] == 2
    assert seen.status["starting"] == ""


def test_a_feed_without_any_instrument_is_refused(tmp_path: Path, generous: None) -> None:
    with pytest.raises(UserError, match="has no instrument GONEUSDT"):
        feed(tmp_path, lambda _: False, symbols=1, more=("GONEUSDT",), leave=1)


def test_a_ban_is_kept_to_after_a_restart(tmp_path: Path, generous: None) -> None:
    path = tmp_path / "rest-binance.json"
    path.write_text(json.dumps({"closed_until": time.time() + 2.5}))
    began = time.monotonic()
    seen = feed(tmp_path, lambda now: now.live(1))
    assert seen.requests[0][0] - began > 2.0


def test_readers_hear_every_second_that_a_feed_is_alive(tmp_path: Path) -> None:
    """`book.silence_seconds` may be as low as 1.2."""

    def heartbeats(now: Watched) -> list[int]:
        return [record[8] for record in now.sent.records if record[1] == Kind.HEARTBEAT]

    seen = feed(tmp_path, lambda now: len(heartbeats(now)) >= 4)
    spaces = [after - before for before, after in pairwise(heartbeats(seen))]
    assert 0.9e9 <= sum(spaces) / len(spaces) <= 1.5e9, spaces
