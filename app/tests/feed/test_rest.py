"""REST against a server that answers whatever bytes a test wants, as slowly as it wants."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from socket import create_server, socket

import pytest
import uvloop

from wirebook import venues
from wirebook.feed import rest as module
from wirebook.feed.definitions import Definitions
from wirebook.feed.quota import Quota
from wirebook.feed.rest import Rest, RestError
from wirebook.feed.tls import client_context
from wirebook.venues.base import MalformedError, Scale

Answer = Callable[[socket, bytes], None]
"""Given the connection and the request's target."""


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    """A server that takes a connection after the other; its base URL."""
    listening = create_server(("127.0.0.1", 0))
    ended = False

    def serve() -> None:
        while True:
            connection, _ = listening.accept()
            if ended:
                connection.close()
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket) -> None:
        with connection:
            head = b""
            try:
                while True:
                    while b"\r\n\r\n" not in head:
                        chunk = connection.recv(4096)
                        if not chunk:
                            return
                        head += chunk
                    one, _, head = head.partition(b"\r\n\r\n")
                    answer(connection, one.split()[1])
            except OSError:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    port = listening.getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        ended = True
        with socket() as last:
            last.connect(("127.0.0.1", port))
        thread.join(5)
        listening.close()


def with_rest(test: Callable[[Rest], Awaitable[None]], answer: Answer, venue: str = "binance") -> None:
    with serving(answer) as url, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def body() -> None:
            subject = venues.get(venue)
            await test(Rest(url, client_context(""), subject, Quota(1e9, 60.0), os.sched_getaffinity(0)))

        runner.run(body())


def said(status: int, body: bytes, *headers: bytes) -> bytes:
    head = [b"HTTP/1.1 %d Words" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def every(*answers: bytes) -> Answer:
    left = list(answers)

    def answer(connection: socket, _target: bytes) -> None:
        connection.sendall(left.pop(0) if len(left) > 1 else left[0])

    return answer


def test_answers_come_over_one_connection() -> None:
    connections: list[socket] = []

    def answer(connection: socket, target: bytes) -> None:
        connections.append(connection)
        connection.sendall(said(200, target))

    async def test(rest: Rest) -> None:
        for number in range(5):
            assert await rest.get(f"/{number}") == b"/%d" % number

    with_rest(test, answer)
    assert len(set(connections)) == 1


def test_a_connection_that_the_server_closed_while_it_was_idle_is_made_anew() -> None:
    def answer(connection: socket, target: bytes) -> None:
        connection.sendall(said(200, target))
        connection.close()

    async def test(rest: Rest) -> None:
        assert await rest.get("/1") == b"/1"
        await asyncio.sleep(0.05)
        assert await rest.get("/2") == b"/2"

    with_rest(test, answer)


def drops(connection: socket, _target: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.02)


def endless_head(connection: socket, _target: bytes) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.02)


def endless_chunks(connection: socket, _target: bytes) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"1\r\n \r\n")
        time.sleep(0.02)


@pytest.mark.parametrize("answer", [drops, endless_head, endless_chunks])
def test_an_answer_in_drops_has_a_deadline(monkeypatch: pytest.MonkeyPatch, answer: Answer) -> None:
    monkeypatch.setattr(module, "_DEADLINE_SECONDS", 0.3)

    async def test(rest: Rest) -> None:
        for _ in range(2):
            began = time.monotonic()
            with pytest.raises(RestError, match="wasn't whole"):
                await rest.get("/")
            assert time.monotonic() - began < 2.0
        await asyncio.sleep(0.2)
        assert not [thread for thread in threading.enumerate() if thread.name == "rest"]

    with_rest(test, answer)


def test_who_waits_for_an_answer_can_be_stopped_at_once() -> None:
    async def test(rest: Rest) -> None:
        asking = asyncio.ensure_future(rest.get("/"))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert time.monotonic() - began < 0.2
        await asyncio.sleep(0.2)
        assert not [thread for thread in threading.enumerate() if thread.name == "rest"]

    with_rest(test, drops)


def test_an_answer_that_is_too_large_is_none() -> None:
    def answer(connection: socket, _target: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while True:
            connection.sendall(b" " * (1 << 20))

    async def test(rest: Rest) -> None:
        with pytest.raises(RestError, match="larger than 16 MB"):
            await rest.get("/")

    with_rest(test, answer)


def test_a_refusal_closes_the_way_for_all_requests() -> None:
    async def test(rest: Rest) -> None:
        with pytest.raises(RestError) as caught:
            await rest.get("/1")
        assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
        began = time.monotonic()
        assert await rest.get("/2") == b"{}"
        assert time.monotonic() - began > 0.9

    with_rest(test, every(said(429, b"{}", b"Retry-After: 1"), said(200, b"{}")))


def test_what_the_venue_counts_is_heard() -> None:
    async def test(rest: Rest) -> None:
        rest.quota.budget = 4000.0
        await rest.get("/1")
        assert rest.quota.wait(50.0) > 0

    with_rest(test, every(said(200, b"{}", b"X-MBX-USED-WEIGHT-1M: 3980")))


def test_an_answer_can_not_forge_the_log() -> None:
    async def test(rest: Rest) -> None:
        with pytest.raises(RestError) as caught:
            await rest.get("/")
        text = str(caught.value)
        assert "\n" not in text
        assert "\x1b" not in text
        assert "everything is fine" in text

    with_rest(test, every(said(500, b"x\nERROR wirebook: everything is fine\x1b[2J\x1b]0;X\x07")))


STATUSES = [
    100,
    199,
    200,
    200,
    200,
    204,
    206,
    301,
    302,
    304,
    400,
    403,
    404,
    418,
    429,
    451,
    500,
    502,
    503,
    0,
    999,
    10**6,
]
HEADERS = [
    b"Retry-After: 0", b"Retry-After: \xb2", b"Retry-After: Thu, 01 Jan 1970 00:00:00 GMT", b"Retry-After: GMT",
    b"Retry-After: \xff", b"Content-Length: -1", b"Content-Length: " + b"9" * 5000, b"Content-Length: x",
    b"Content-Length: 1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Encoding: gzip",
    b"Connection: close", b"Connection: keep-alive", b"X-MBX-USED-WEIGHT-1M: \xb2", b"X-MBX-USED-WEIGHT-1M: -1",
    b"X-MBX-USED-WEIGHT-1M: " + b"9" * 400, b"Location: http://127.0.0.1:1/", b"\xff\xfe: \x00", b"no colon",
    b" folded", b"X: " + b"y" * 70_000, *[b"X%d: y" % number for number in range(120)],
]  # fmt: skip
BODIES = [
    b"", b"{}", b"[]", b"null", b"0", b'"x"', b"<html>503</html>", b"[" * 100_000, b"\xff\xfe", b'{"symbols":[]}',
    b'{"symbols":[{"symbol":1}]}', b'{"symbols":{"a":1}}', b'{"symbols":null}', b'{"code":-1121,"msg":"Invalid"}',
    b'{"result":{"XBTUSD":{"wsname":7,"pair_decimals":"x","lot_decimals":1e308}}}', b'{"result":[]}',
    b'{"error":["EGeneral:Too many requests"]}', b'{"retCode":10006}', b'{"retCode":[],"result":{"list":[{}]}}',
    b'{"retCode":0,"result":{"list":[{"symbol":"A","lotSizeFilter":{"qtyStep":"1e-7"},"priceFilter":{"tickSize":"-"}}]}}',
    b'{"code":"0","data":[{"instId":[],"tickSz":"","lotSz":null}]}', b'{"code":{}}', b'{"products":[1,2]}',
    b'{"products":[{"product_id":"A","price_increment":"0.1","base_increment":"0.' + b"0" * 30 + b'1"}]}',
    b'{"symbols":[{"symbol":"A","baseAssetPrecision":1e400,"filters":[]}]}', b'{"lastUpdateId":1,"bids":[],"asks":[]}',
    b'{"symbols":[{"symbol":"A","baseAssetPrecision":99999999999,"filters":[{"filterType":"PRICE_FILTER","tickSize":"1"},'
    b'{"filterType":"LOT_SIZE","stepSize":"1"}]}]}',
]  # fmt: skip


def strange(dice: random.Random) -> bytes:
    """An answer of a random status, random headers and a random body, now and then cut off or no HTTP at all."""
    if dice.random() < 0.1:
        return dice.choice(
            [b"\r\n\r\n", b"HTTP/9.9 \xb2\xb2\r\n\r\n", b"SSH-2.0-x\r\n", b"\x00" * 100, b"HTTP/1.1\r\n\r\n"]
        )
    body = dice.choice(BODIES)
    if dice.random() < 0.3:
        body = bytes(dice.choice([letter, dice.randrange(256)]) for letter in body[:300])
    head = [b"HTTP/1.1 %d OK" % dice.choice(STATUSES)]
    head += [dice.choice(HEADERS) for _ in range(dice.choice([0, 1, 2, 3, 130]))]
    if dice.random() < 0.8:
        head.append(b"Content-Length: %d" % len(body))
    whole = b"\r\n".join(head) + b"\r\n\r\n" + body
    return whole[: dice.randrange(len(whole))] if dice.random() < 0.1 else whole


def test_no_answer_makes_a_traceback(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Random status, headers and bodies, of which each venue's definitions and snapshots are read."""
    monkeypatch.setattr(module, "_TIMEOUT_SECONDS", 1.0)
    monkeypatch.setattr(module, "_DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr("wirebook.feed.refusals.wait", lambda *_: 0.0)
    dice = random.Random(12)
    known = [venues.get(name) for name in venues.names()]
    failures: list[str] = []
    read = 0

    def answer(connection: socket, _target: bytes) -> None:
        connection.sendall(strange(dice))
        connection.close()

    async def test(rest: Rest) -> None:
        nonlocal read
        rest.quota.told = lambda _used: None  # type: ignore[method-assign]
        for _ in range(600):
            try:
                body = await rest.get("/")
            except RestError as error:
                failures.append(str(error))
                continue
            for venue in known:
                with suppress(MalformedError):
                    assert all(isinstance(scale, Scale) for scale in venue.instruments(body).values())
                with suppress(MalformedError):
                    venue.decode(body)
            read += 1

    with_rest(test, answer)
    assert read > 50
    assert [text for text in failures if not text.isprintable()] == []
    assert not [record for record in caplog.records if record.exc_info]


def info(*names: str) -> bytes:
    filters = (
        '[{"filterType":"PRICE_FILTER","tickSize":"0.01000000"},{"filterType":"LOT_SIZE","stepSize":"0.00100000"}]'
    )
    entries = ",".join(f'{{"symbol":"{name}","baseAssetPrecision":8,"filters":{filters}}}' for name in names)
    return f'{{"symbols":[{entries}]}}'.encode()


def definitions(names: Sequence[str], answer: Answer) -> tuple[Definitions, list[RestError]]:
    """Ask until everything is known; what failed meanwhile."""
    failures: list[RestError] = []
    made: list[Definitions] = []

    async def test(rest: Rest) -> None:
        made.append(Definitions(venues.get("binance"), rest, names))
        while True:
            try:
                await made[0].read()
                return
            except RestError as error:
                failures.append(error)

    with_rest(test, answer)
    return made[0], failures


def venue_with(*there: str, refuse: Callable[[int], bytes | None] = lambda _: None) -> Answer:
    """Binance: a list with an unknown name is refused as a whole. `refuse` may answer the request of a number."""
    number = 0

    def answer(connection: socket, target: bytes) -> None:
        nonlocal number
        number += 1
        refused = refuse(number)
        asked = [name for name in target.decode().replace("%22", '"').split('"') if name.isalnum()]
        if refused is None and not set(asked) <= set(there):
            refused = said(400, b'{"code":-1121,"msg":"Invalid symbol."}')
        connection.sendall(refused or said(200, info(*asked)))

    return answer


def test_unknown_names_are_found_and_the_others_are_defined() -> None:
    names = [f"S{number}USDT" for number in range(250)]
    there = [name for name in names if name not in ("S7USDT", "S120USDT", "S121USDT")]
    found, failures = definitions(names, venue_with(*there))
    assert found.unknown == ["S7USDT", "S120USDT", "S121USDT"]
    assert list(found.scales) == there
    assert failures == []


def test_a_limit_while_an_unknown_name_is_searched_is_waited_for_and_the_search_goes_on() -> None:
    limit = said(429, b'{"code":-1003,"msg":"Too many requests"}', b"Retry-After: 1")
    answer = venue_with("AUSDT", "BUSDT", refuse=lambda number: limit if number == 2 else None)
    began = time.monotonic()
    found, failures = definitions(["AUSDT", "BUSDT", "CUSDT"], answer)
    assert found.unknown == ["CUSDT"]
    assert [error.status for error in failures] == [429]
    assert time.monotonic() - began >= 1.0


def test_a_refusal_that_is_not_about_a_name_and_passes_costs_no_name() -> None:
    once = said(400, b'{"code":-1100,"msg":"Illegal characters found in parameter"}')
    found, _ = definitions(["AUSDT", "BUSDT"], venue_with("AUSDT", "BUSDT", refuse=lambda n: once if n == 1 else None))
    assert found.unknown == []
