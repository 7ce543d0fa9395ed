"""What venues say beside their books: refusals, statuses, notices, and names for one another."""

from __future__ import annotations

import json

import pytest

from wirebook.core.books.books import State
from wirebook.venues import get
from wirebook.venues.base import Instrument, MalformedError, WantLeave, WantLog, decimals_of
from wirebook.venues.follower import BookFollower
from wirebook.venues.liveness import SUBSCRIBED_SECONDS

from .exchanges import Kraken
from .support import BTC, Keeper, event, follow, follower, snapshot


def say(subject: BookFollower, message: object) -> list[str]:
    """The lines for the log that a message causes."""
    subject.wants.clear()
    subject.message(message if isinstance(message, bytes) else json.dumps(message).encode(), 1)
    return [want.text for want in subject.wants if isinstance(want, WantLog)]


@pytest.mark.parametrize("text", ["1e-7", "1e-07", "1E-8", "", "-1", ".5", "5.", "x", None, 5])
def test_decimals_that_can_not_be_told_are_not_guessed(text: str) -> None:
    with pytest.raises(MalformedError):
        decimals_of(text)


@pytest.mark.parametrize(("text", "decimals"), [("1", 0), ("0.10", 1), ("0.0000001", 7), ("100.000", 0)])
def test_decimals_of_a_text(text: str, decimals: int) -> None:
    assert decimals_of(text) == decimals


@pytest.mark.parametrize(
    ("venue", "raw"),
    [
        ("binance", b'{"stream":"!serverShutdown","data":{"e":"serverShutdown","E":1770123456789}}'),
        ("okx", b'{"event":"notice","code":"64008","msg":"The connection will soon be closed","connId":"x"}'),
    ],
)
def test_a_notice_of_the_end_is_said_and_another_connection_is_wanted(venue: str, raw: bytes) -> None:
    subject, _ = follow(Keeper(), BTC, venue=venue)
    [line] = say(subject, raw)
    assert "will close this connection" in line
    assert WantLeave() in subject.wants
    assert subject.counters.unknown == 0


def test_refusals_are_told_apart_by_their_text() -> None:
    subject, _ = follow(Keeper(), Instrument(7, "BTC-USDT", 2, 2), venue="okx")
    causes = set()
    for text, code in (("channel:books,instId:ABC-USDT doesn't exist", "60018"), ("You have been limited", "60014")):
        [line] = say(subject, {"event": "error", "msg": text, "code": code})
        assert text in line
        causes |= {want.cause for want in subject.wants if isinstance(want, WantLog)}
    assert len(causes) == 2
    [line] = say(subject, {"event": "error", "msg": "x" * 5000 + "\n\x1b[2J", "code": "1"})
    assert len(line) < 300
    assert line.isprintable()


def status(name: str, state: str) -> dict[str, object]:
    return {
        "channel": "instrument",
        "type": "update",
        "data": {"assets": [], "pairs": [{"symbol": name, "status": state}]},
    }


def test_kraken_s_statuses_are_told_once_for_each_change_of_a_book_that_is_followed() -> None:
    exchange = Kraken(1)
    name = exchange.instrument.name
    subject, sink = follow(Keeper(), exchange.instrument, venue="kraken")
    subject.message(exchange.snapshot(), 1)
    assert say(subject, status(name, "online")) == []
    assert say(subject, status(name, "cancel_only")) == [f'{name}: its trading is "cancel_only" now']
    assert say(subject, status(name, "cancel_only")) == []
    assert say(subject, status("DOGE/USD", "maintenance")) == []
    assert subject.halts == {name: "cancel_only"}
    assert say(subject, status(name, "online")) == [f'{name}: its trading is "online" now']
    assert subject.halts == {}
    system = {"channel": "status", "type": "update", "data": [{"system": "maintenance", "version": "2.0.0"}]}
    assert say(subject, system) == ['the venue: its trading is "maintenance" now']
    assert sink.books.state(exchange.instrument.id) is State.LIVE


@pytest.mark.parametrize("data", [None, {}, [], {"pairs": None}, {"pairs": [1, {}, {"symbol": 1, "status": "x"}]}, "x"])
def test_a_status_that_can_not_be_read_costs_no_book(data: object) -> None:
    exchange = Kraken(1)
    subject, sink = follow(Keeper(), exchange.instrument, venue="kraken")
    subject.message(exchange.snapshot(), 1)
    say(subject, {"channel": "instrument", "type": "update", "data": data})
    say(subject, {"channel": "status", "type": "update", "data": data})
    assert sink.books.state(exchange.instrument.id) is State.LIVE


def test_kraken_s_statuses_are_subscribed_to() -> None:
    assert b'"instrument"' in get("kraken").subscriptions(["BTC/USD"])[-1]


def test_a_book_that_gets_no_event_after_its_subscription_is_named() -> None:
    subject, sink = follower()
    subject.snapshot(BTC.id, snapshot(100), 1)
    subject.look(0.0, 1)
    subject.wants.clear()
    subject.look(SUBSCRIBED_SECONDS - 1, 1)
    assert subject.wants == []
    subject.look(SUBSCRIBED_SECONDS + 1, 1)
    [said] = subject.wants
    assert isinstance(said, WantLog)
    assert said.text == "BTCUSDT: subscribed to, and no event of its book has come since"
    subject.message(event(101, 101), 1)
    assert sink.books.state(BTC.id) is State.LIVE


def test_an_alias_is_told_with_the_name_to_use() -> None:
    venue = get("coinbase")
    entry = {"price_increment": "0.01", "base_increment": "0.00000001"}
    body = {
        "products": [
            {"product_id": "BTC-USDC", "alias": "BTC-USD", **entry},
            {"product_id": "BTC-USD", "alias": "", **entry},
        ]
    }
    assert venue.aliases(json.dumps(body).encode()) == {"BTC-USDC": "BTC-USD"}
    assert venue.aliases(b"{") == venue.aliases(b'{"products":[1]}') == {}


def test_usd_m_is_asked_for_by_its_routed_path_first() -> None:
    assert get("binance-usdm").connect_paths() == ["/public/stream", "/stream"]
    assert get("binance").connect_paths() == get("binance-coinm").connect_paths() == ["/stream"]


def test_coinbase_gets_sixteen_products_a_connection() -> None:
    assert get("coinbase").streams_per_connection == 16
