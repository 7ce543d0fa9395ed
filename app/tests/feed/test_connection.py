"""A feed's connection against a venue that falls silent, hangs up, sends in parts, and counts what it is sent."""

from __future__ import annotations

import asyncio
import logging
import re
import time

import pytest
from picows import WSFrame, WSListener, WSTransport, ws_connect

from wirebook.core.books.books import State
from wirebook.core.wire.records import Kind, Reason
from wirebook.feed import connection as connections
from wirebook.feed.connection import Connection, Pace, backoff
from wirebook.venues import get
from wirebook.venues.base import Instrument

from ..venues.exchanges import BinanceSpot, BybitLinear
from .support import SYMBOL, Client, Feed, Sent, run, settle, until


def live(sent: Sent) -> bool:
    return sent.books.state(SYMBOL) == State.LIVE


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A venue that is connected to again at once."""
    monkeypatch.setattr(type(get("bybit-linear")), "connect_seconds", 0.01)


# ---- when to try again ----


def test_the_wait_doubles_with_every_attempt_up_to_a_minute() -> None:
    for attempt, shortest in enumerate((1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)):
        waits = [backoff(attempt, 1.0) for _ in range(200)]
        assert shortest <= min(waits) <= max(waits) <= 2 * shortest
    assert backoff(10_000, 5.0) <= 60.0


def test_the_wait_is_left_to_chance() -> None:
    """A fleet that lost its venue at one moment must not come back at one moment."""
    waits = [backoff(2, 1.0) for _ in range(200)]
    assert max(waits) - min(waits) > 2.0
    assert len(set(waits)) > 150


def test_attempts_of_several_connections_are_spaced() -> None:
    """The venue counts those of an address."""

    async def turns() -> list[float]:
        pace = Pace(0.1)

        async def turn() -> float:
            await pace.turn()
            return time.monotonic()

        return sorted(await asyncio.gather(*(turn() for _ in range(4))))

    times = asyncio.run(turns())
    assert times[-1] - times[0] >= 0.2


def waited(caplog: pytest.LogCaptureFixture) -> list[float]:
    """Seconds until each next attempt, as they were told."""
    found = [re.search(r"connecting again in ([\d.]+) s", message) for message in caplog.messages]
    return [float(match[1]) for match in found if match]


def test_a_connection_whose_books_were_live_begins_with_the_shortest_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(type(get("bybit-linear")), "connect_seconds", 0.1)
    caplog.set_level(logging.INFO)

    async def scene(feed: Feed) -> None:
        connection = feed.connect()
        for number in range(4):  # none of these is worth anything
            (await feed.local.client(number)).hang_up()
        client = await feed.local.client(4)
        client.send(BybitLinear(1).snapshot())
        await until(lambda: connection.follower.live == 1)
        connection.tick(time.monotonic())
        client.hang_up()
        await feed.local.client(5)

    run(scene)
    waits = waited(caplog)
    assert all(0.1 * 2**number <= wait <= 0.2 * 2**number + 0.05 for number, wait in enumerate(waits[:4]))
    assert waits[4] <= 0.25


# ---- what is sent ----

MANY = [Instrument(number, f"AB{number}USDT", 2, 3) for number in range(35)]
"""Four messages of subscriptions: ten topics each are allowed."""


def test_no_more_messages_are_sent_than_the_venue_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """One at a time, and then none for as long as it wants."""
    monkeypatch.setattr(type(get("bybit-linear")), "send_seconds", 100.0)

    async def scene(feed: Feed) -> None:
        connection = feed.connect()
        client = await feed.local.client(0)
        await until(lambda: len(client.heard) == 1)
        now = time.monotonic()
        for sent in (2, 3, 4):
            for wait in (50.0, 40.0):
                now += wait
                connection.tick(now)
            await settle(0.05)
            assert len(client.heard) == sent - 1
            now += 11.0
            connection.tick(now)
            await until(lambda count=sent: len(client.heard) == count)
        assert client.topics() == [instrument.name for instrument in MANY]

    run(scene, instruments=MANY)


def test_subscriptions_that_were_not_sent_are_not_sent_on_the_next_connection(hasty: None) -> None:
    """It has its own: each instrument is subscribed to once."""

    async def scene(feed: Feed) -> None:
        connection = feed.connect()
        first = await feed.local.client(0)
        await until(lambda: len(first.heard) == 1)
        first.hang_up()
        second = await feed.local.client(1)
        now = time.monotonic()
        for _ in range(10):
            now += 1.0
            connection.tick(now)
            await settle(0.01)
        assert second.topics() == [instrument.name for instrument in MANY]

    run(scene, instruments=MANY)


@pytest.mark.parametrize("name", ["bybit-linear", "okx", "kraken"])
def test_a_venues_own_ping_is_sent_as_often_as_it_wants(name: str) -> None:
    venue = get(name)

    async def scene(feed: Feed) -> None:
        connection = feed.connect()
        client = await feed.local.client(0)
        await until(lambda: len(client.heard) == 1)
        now = time.monotonic()
        for second in range(1, int(2.5 * venue.ping_seconds)):
            connection.tick(now + second)
        await until(lambda: client.heard.count(venue.ping or b"") == 2)
        await settle()
        assert client.heard.count(venue.ping or b"") == 2

    run(scene, name, [Instrument(SYMBOL, "BTCUSDT", 2, 3)])


@pytest.mark.parametrize("name", ["binance", "coinbase"])
def test_a_venue_without_a_ping_of_its_own_is_sent_the_protocols(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """When it is silent; and if it doesn't answer it is left."""
    monkeypatch.setattr(connections, "_PING_SECONDS", 0.1)

    async def scene(feed: Feed) -> None:
        connection = feed.connect()
        client = await feed.local.client(0)
        await until(lambda: client.pings >= 2)
        assert connection.up
        feed.local.answers_pings = False
        await client.closed.wait()
        await until(lambda: not connection.up)

    run(scene, name, [Instrument(SYMBOL, "BTCUSDT", 2, 3)])


# ---- silence ----


def test_a_silent_connection_is_left_and_its_books_are_stale(hasty: None) -> None:
    async def scene(feed: Feed) -> None:
        market = BybitLinear(2)
        connection = feed.connect(silence_seconds=20.0)
        client = await feed.local.client(0)
        client.send(market.snapshot())
        await until(lambda: live(feed.sent))
        heard = time.monotonic()
        connection.tick(heard + 19.5)
        assert live(feed.sent)
        assert connection.up
        connection.tick(heard + 20.5)
        assert feed.sent.books.state(SYMBOL) is State.STALE
        assert feed.sent.books.reason(SYMBOL) == Reason.SILENCE
        await client.closed.wait()
        again = await feed.local.client(1)
        again.send(market.snapshot())
        await until(lambda: live(feed.sent))

    run(scene)


def test_every_message_is_a_sign_of_life() -> None:
    """Whatever it says: silence is counted from the last one."""

    async def scene(feed: Feed) -> None:
        market = BybitLinear(3)
        connection = feed.connect(silence_seconds=100.0)
        client = await feed.local.client(0)
        client.send(market.snapshot())
        await until(lambda: live(feed.sent))
        await settle(3.0)
        client.send(b'{"success":true,"op":"pong"}')
        await until(lambda: len(feed.recording.messages) == 2)
        connection.tick(time.monotonic() + 98.0)
        assert connection.up
        assert live(feed.sent)
        connection.tick(time.monotonic() + 101.0)
        assert not live(feed.sent)

    run(scene)


# ---- frames ----


def test_a_message_in_several_frames_is_put_together() -> None:
    async def scene(feed: Feed) -> None:
        market = BybitLinear(4)
        connection = feed.connect()
        client = await feed.local.client(0)
        whole = market.snapshot()
        client.send_in_parts(whole[:20], whole[20:90], whole[90:])
        await until(lambda: live(feed.sent))
        event = market.event()
        client.send_in_parts(event[:50], event[50:])
        client.send(market.event())
        await until(lambda: feed.sent.books.update_id(SYMBOL) == market.id)
        assert dict(feed.sent.books.levels(SYMBOL, Kind.BID)) == market.truth[market.id][0]
        assert feed.recording.messages[:2] == [whole, event]
        assert connection.follower.counters.malformed == 0

    run(scene)


def test_a_message_in_frames_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch, hasty: None) -> None:
    monkeypatch.setattr(type(get("bybit-linear")), "most_bytes", 4096)

    async def scene(feed: Feed) -> None:
        market = BybitLinear(4)
        connection = feed.connect()
        client = await feed.local.client(0)
        client.send(market.snapshot())
        await until(lambda: live(feed.sent))
        client.send_in_parts(b"{", *[b" " * 1000] * 5, whole=False)
        await until(lambda: not live(feed.sent))
        assert feed.sent.books.reason(SYMBOL) == Reason.UNREADABLE
        (await feed.local.client(1)).send(market.snapshot())
        await until(lambda: live(feed.sent))
        assert connection.connects == 2

    run(scene)


def test_half_a_message_is_forgotten_with_its_connection(hasty: None) -> None:
    async def scene(feed: Feed) -> None:
        market = BybitLinear(5)
        connection = feed.connect()
        client = await feed.local.client(0)
        whole = market.snapshot()
        client.send_in_parts(whole[:20], whole[20:90], whole=False)
        await settle()
        client.hang_up()
        again = await feed.local.client(1)
        again.send(market.snapshot())
        await until(lambda: live(feed.sent))
        assert connection.follower.counters.malformed == 0

    run(scene)


class Ghost(WSListener):
    """Another WebSocket, whose frames are given to a connection as if an older one's were still coming in."""

    def __init__(self, haunted: Connection) -> None:
        self._haunted = haunted
        self.frames = 0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.frames += 1
        self._haunted.on_ws_frame(transport, frame)


def test_frames_of_an_older_connection_are_not_taken() -> None:
    """What the kernel had received is still handed out after we hung up; by then the book may be another one's."""

    async def scene(feed: Feed) -> None:
        market = BybitLinear(6)
        connection = feed.connect()
        client = await feed.local.client(0)
        client.send(market.snapshot(), market.event())
        await until(lambda: feed.sent.books.update_id(SYMBOL) == market.id)
        ghost = Ghost(connection)
        _, _ = await ws_connect(lambda: ghost, feed.setting.url)
        old = await feed.local.client(1)
        before = dict(feed.sent.books.levels(SYMBOL, Kind.BID))
        old.send(BybitLinear(7).snapshot(), b"{")
        await until(lambda: ghost.frames == 2)
        assert dict(feed.sent.books.levels(SYMBOL, Kind.BID)) == before
        assert connection.follower.counters.malformed == 0
        client.send(market.event())
        await until(lambda: feed.sent.books.update_id(SYMBOL) == market.id)
        assert live(feed.sent)
        assert connection.follower.counters.gaps == 0
        old.hang_up()

    run(scene)


# ---- what becomes of the books ----


@pytest.mark.parametrize("how", ["hangs up", "is cut", "says goodbye"])
def test_books_are_stale_as_soon_as_the_connection_is_lost(hasty: None, how: str) -> None:
    async def scene(feed: Feed) -> None:
        market = BybitLinear(8)
        feed.connect()
        client = await feed.local.client(0)
        client.send(market.snapshot())
        await until(lambda: live(feed.sent))
        end(client, how)
        await until(lambda: feed.sent.books.state(SYMBOL) == State.STALE)
        assert feed.sent.books.reason(SYMBOL) == Reason.DISCONNECTED

    run(scene)


def end(client: Client, how: str) -> None:
    if how == "hangs up":
        client.hang_up()
    elif how == "is cut":
        client.send_in_parts(b'{"topic"', b"", whole=False)
        client.transport.underlying_transport.abort()
    else:
        client.transport.send_close()


def test_a_venue_with_snapshots_by_rest_is_asked_for_them() -> None:
    async def scene(feed: Feed) -> None:
        market = BinanceSpot(9)
        connection = feed.connect()
        client = await feed.local.client(0)
        await until(lambda: feed.fetched == [SYMBOL])
        body = market.snapshot()
        client.send(market.event())
        await until(lambda: len(feed.recording.messages) == 1)
        connection.snapshot(SYMBOL, body)
        assert live(feed.sent)
        assert dict(feed.sent.books.levels(SYMBOL, Kind.BID)) == market.truth[market.id][0]
        assert feed.recording.messages[1].startswith(b'{"symbol":"BTCUSDT",'), "the answer doesn't say whose it is"

    run(scene, "binance", [BinanceSpot.instrument])


def test_a_connection_that_was_stopped_stays_away(hasty: None) -> None:
    async def scene(feed: Feed) -> None:
        connection = feed.connect()
        client = await feed.local.client(0)
        client.send(BybitLinear(1).snapshot())
        await until(lambda: live(feed.sent))
        connection.stop()
        await client.closed.wait()
        assert feed.sent.books.reason(SYMBOL) == Reason.STOPPED
        await settle(0.2)
        assert len(feed.local.clients) == 1

    run(scene)


def test_a_restart_throws_away_and_begins_anew(hasty: None) -> None:
    async def scene(feed: Feed) -> None:
        market = BybitLinear(1)
        connection = feed.connect()
        client = await feed.local.client(0)
        client.send(market.snapshot())
        await until(lambda: live(feed.sent))
        connection.restart(Reason.TOO_SLOW)
        assert feed.sent.books.reason(SYMBOL) == Reason.TOO_SLOW
        await client.closed.wait()
        again = await feed.local.client(1)
        again.send(market.snapshot())
        await until(lambda: live(feed.sent))

    run(scene)


def test_what_waited_while_the_process_stood_still_is_thrown_away(hasty: None) -> None:
    async def scene(feed: Feed) -> None:
        market = BybitLinear(1)
        connection = feed.connect(pause_seconds=0.3)
        client = await feed.local.client(0)
        client.send(market.snapshot())
        while not live(feed.sent):
            connection.tick(time.monotonic())
            await settle(0.01)
        before = dict(feed.sent.books.levels(SYMBOL, Kind.BID))
        client.send(market.event())
        time.sleep(0.5)  # the process, and its loop with it, stands still
        await client.closed.wait()
        assert feed.sent.books.reason(SYMBOL) == Reason.TOO_SLOW
        assert dict(feed.sent.books.levels(SYMBOL, Kind.BID)) == before
        again = await feed.local.client(1)
        again.send(market.snapshot())
        await until(lambda: live(feed.sent))

    run(scene)


# ---- paths ----


def test_a_path_that_brings_nothing_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch, hasty: None) -> None:
    monkeypatch.setattr(type(get("bybit-linear")), "connect_paths", lambda _self: ["/new", "/old"])
    paths: list[str] = []

    async def scene(feed: Feed) -> None:
        feed.local.asked = paths.append
        market = BybitLinear(4)
        connection = feed.connect(quiet_seconds=0.3)
        await feed.local.client(0)
        now = time.monotonic()
        while connection.connects < 2:
            connection.tick(now := now + 0.1)
            await settle(0.01)
        (await feed.local.client(1)).send(market.snapshot())
        await until(lambda: live(feed.sent))
        assert paths == ["/new", "/old"]
        connection.restart(Reason.SILENCE)
        await until(lambda: len(paths) == 3)
        assert paths[2] == "/old"

    run(scene)


def test_a_path_that_the_venue_refuses_is_followed_by_the_next(monkeypatch: pytest.MonkeyPatch, hasty: None) -> None:
    monkeypatch.setattr(type(get("bybit-linear")), "connect_paths", lambda _self: ["/gone", "/old"])

    async def scene(feed: Feed) -> None:
        feed.local.refused = "/gone"
        feed.connect()
        (await feed.local.client(0)).send(BybitLinear(4).snapshot())
        await until(lambda: live(feed.sent))

    run(scene)


def test_what_a_venue_says_of_its_end_marks_the_connection() -> None:
    async def scene(feed: Feed) -> None:
        connection = feed.connect()
        client = await feed.local.client(0)
        assert not connection.leaving
        client.send(b'{"event":"notice","code":"64008","msg":"soon closed","connId":"x"}')
        await until(lambda: connection.leaving)
        client.hang_up()
        await until(lambda: connection.connects == 2)
        assert not connection.leaving

    run(scene, "okx", [Instrument(SYMBOL, "BTC-USDT", 2, 3)])
