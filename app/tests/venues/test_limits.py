"""What each venue allows and promises, by its own documentation, and that we keep to it."""

from __future__ import annotations

import re
from typing import NamedTuple

import orjson
import pytest

from wirebook import venues

HOUR = 3600.0
QUIET_SECONDS = 900.0
"""A successor waits this long for the first event of a quiet book."""


class Limits(NamedTuple):
    """Of one venue; 0 or None where it names none."""

    messages_per_second: float
    """That a client may send on a connection."""
    topics: int
    """In one subscription."""
    connections_per_second: float
    """Attempts, on the average of the venue's own period."""
    cut_hours: float
    """A connection is closed at this age."""
    idle_seconds: float
    """A connection on which the client sent no ping of the venue's own is closed."""
    ping: bytes | None
    """That ping; None where the WebSocket protocol's will do."""
    spoken_seconds: float
    """Something comes at least so often, if only the answer to a ping."""
    depth: int | None
    """Levels a side, at the most that the venue has at this speed; None: all there are."""


LIMITS = {
    # binance-spot-api-docs, web-socket-streams.md: "5 incoming messages per second", "300 connections per attempt every
    # 5 minutes", "only valid for 24 hours", a ping at least every 3 minutes
    "binance": Limits(5, 1024, 1, 24, 0, None, 180, 1000),
    # developers.binance.com, derivatives, websocket-market-streams: ten messages a second, the rest as for spot
    "binance-usdm": Limits(10, 200, 1, 24, 0, None, 180, 1000),
    "binance-coinm": Limits(10, 200, 1, 24, 0, None, 180, 1000),
    # bybit-exchange.github.io/docs/v5/ws/connect: a ping every 20 s, 500 connections in 5 minutes; "Spot can input up
    # to 10 args for each subscription request"
    "bybit-spot": Limits(0, 10, 500 / 300, 0, 20, b'{"op":"ping"}', 20, 200),
    "bybit-linear": Limits(0, 200, 500 / 300, 0, 20, b'{"op":"ping"}', 20, 200),
    # okx.com/docs-v5: three connections a second, closed after 30 s without a word, "ping" is answered by "pong"
    "okx": Limits(0, 100, 3, 0, 30, b"ping", 30, None),
    # docs.kraken.com: some 150 attempts in ten minutes, closed after about a minute, a heartbeat every second
    "kraken": Limits(0, 0, 150 / 600, 0, 60, b'{"method":"ping"}', 1, 1000),
    # docs.cdp.coinbase.com, websocket-rate-limits: eight messages and connections a second; a heartbeat every second
    "coinbase": Limits(8, 0, 8, 0, 0, None, 1, None),
}

every_venue = pytest.mark.parametrize("name", venues.names())
NAMES = [f"AB{count}-USDT" for count in range(180)]


def topics(message: bytes) -> int:
    """Instruments that a message names."""
    return len(re.findall(rb"AB\d+-USDT", message, re.IGNORECASE))


def test_every_venue_is_in_the_table() -> None:
    assert set(LIMITS) == set(venues.names())


@every_venue
def test_messages_are_sent_no_faster_than_the_venue_takes_them(name: str) -> None:
    venue, limit = venues.get(name), LIMITS[name].messages_per_second
    assert venue.send_seconds > 0
    assert not limit or venue.send_seconds >= 1 / limit


@every_venue
def test_a_subscription_names_no_more_instruments_than_the_venue_takes(name: str) -> None:
    venue, limit = venues.get(name), LIMITS[name].topics
    counted = [topics(message) for message in venue.subscriptions(NAMES)]
    assert sum(counted) == len(NAMES)
    assert not limit or max(counted) <= limit


@every_venue
def test_connections_are_tried_no_faster_than_the_venue_allows(name: str) -> None:
    assert venues.get(name).connect_seconds >= 1 / LIMITS[name].connections_per_second


@pytest.mark.parametrize("name", [name for name, limits in LIMITS.items() if limits.cut_hours])
def test_a_connection_is_replaced_before_the_venue_cuts_it(name: str) -> None:
    """Early enough for a successor whose books are quiet."""
    assert 0 < venues.get(name).lifetime_seconds <= LIMITS[name].cut_hours * HOUR - QUIET_SECONDS


@every_venue
def test_a_ping_is_sent_before_the_venue_hangs_up(name: str) -> None:
    venue, limits = venues.get(name), LIMITS[name]
    assert venue.ping == limits.ping
    if limits.ping is not None:
        assert 0 < venue.ping_seconds <= limits.idle_seconds


@every_venue
def test_a_connection_is_held_for_dead_only_when_the_venue_broke_its_promise(name: str) -> None:
    venue, limits = venues.get(name), LIMITS[name]
    spoken = min(limits.spoken_seconds, venue.ping_seconds or limits.spoken_seconds)
    if name.startswith("binance"):  # its books change ten times a second; its pings are too rare to wait for
        assert venue.silence_seconds <= spoken
    else:
        assert 2 * spoken <= venue.silence_seconds <= 60


@every_venue
def test_the_deepest_book_is_asked_for(name: str) -> None:
    """A level that was never told of is missing from the book as soon as those before it are gone."""
    venue, depth = venues.get(name), LIMITS[name].depth
    if not venue.snapshots_in_band:
        assert f"limit={depth}" in venue.snapshot_path("AB1-USDT").partition("?")[2].split("&")
        return
    for message in (*venue.subscriptions(["AB1-USDT"]), venue.resubscriptions("AB1-USDT")[1]):
        if topics(message) and depth is not None:
            assert re.search(rb"(?<!\d)%d(?!\d)" % depth, message)
    if name == "kraken":  # whom it tells of 1,000 levels, it doesn't tell which ones fell out of them
        assert venue.truncate == depth


def test_coinbase_is_asked_for_heartbeats() -> None:
    """Without that channel it closes connections whose books are quiet, and a dead one isn't told from a quiet one."""
    asked = [orjson.loads(message) for message in venues.get("coinbase").subscriptions(NAMES)]
    assert [message.get("channel") for message in asked].count("heartbeats") == 1
    assert {message["type"] for message in asked} == {"subscribe"}
