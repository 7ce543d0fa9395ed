"""The simulated venue's REST over a socket: what a scenario does to its answers."""

from __future__ import annotations

import asyncio
import http.client
import time
from typing import NamedTuple

import orjson
import pytest
import uvloop

from wirebook.sim import synthetic
from wirebook.sim.faults import Fault, Scenario
from wirebook.sim.server import Server
from wirebook.venues import get, names


class Answer(NamedTuple):
    status: int
    body: bytes
    retry_after: str | None
    seconds: float


def ask(venue: str, count: int, *faults: Fault) -> list[Answer]:
    """So many requests for the instruments, one after another, as a client sees them."""

    def request(port: int, path: str) -> Answer:
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return Answer(answer.status, body, answer.headers["Retry-After"], time.monotonic() - began)

    async def run() -> list[Answer]:
        tape = synthetic(venue, 1, 100, 1)
        server = Server(get(venue), tape, 1.0, False, lambda *_, **__: None, Scenario(faults))
        port = await server.listen("127.0.0.1", 0)
        (path,) = get(venue).instruments_paths(list(tape.scales))
        try:
            return [await asyncio.to_thread(request, port, path) for _ in range(count)]
        finally:
            await server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


@pytest.mark.parametrize("venue", names())
def test_a_slow_answer_is_the_right_one_late(venue: str) -> None:
    slow, quick = ask(venue, 2, Fault("rest_slow", at=(1,), seconds=0.5))
    assert (slow.status, quick.status) == (200, 200)
    assert get(venue).instruments(slow.body) == get(venue).instruments(quick.body) != {}
    assert slow.seconds >= 0.5
    assert quick.seconds < slow.seconds


def test_a_refusal_can_be_slow_too() -> None:
    limit = Fault("rest_limit", at=(1,), seconds=7.0)
    (slow,) = ask("binance", 1, limit, Fault("rest_slow", at=(1,), seconds=0.3))
    assert (slow.status, slow.retry_after) == (429, "7")
    assert slow.seconds >= 0.3


@pytest.mark.parametrize(("kind", "status"), [("rest_error", 503), ("rest_limit", 429)])
def test_a_refusal_comes_when_it_is_due(kind: str, status: int) -> None:
    answers = ask("binance", 3, Fault(kind, at=(2,), seconds=1.5))
    assert [answer.status for answer in answers] == [200, status, 200]
    assert answers[1].retry_after == ("2" if kind == "rest_limit" else None)
    assert orjson.loads(answers[1].body)["code"] < 0
