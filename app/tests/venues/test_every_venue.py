"""What holds for every venue: right or stale, whatever is lost, repeated, swapped or garbled."""

from __future__ import annotations

import random
import re

import orjson
import pytest

from wirebook import venues
from wirebook.core.books.books import State
from wirebook.core.wire.records import Kind, Reason
from wirebook.venues.base import WantLog, WantResubscribe, WantSnapshot
from wirebook.venues.follower import BookFollower

from .exchanges import EXCHANGES, Exchange
from .support import Keeper, follow

EVENTS = 16
POSITIONS = 200

every_exchange = pytest.mark.parametrize("kind", EXCHANGES)
every_venue = pytest.mark.parametrize("name", venues.names())


@every_venue
def test_its_number_is_what_readers_know_it_by(name: str) -> None:
    assert venues.get(name).number == venues.NUMBERS[name]
    assert len(set(venues.NUMBERS.values())) == len(venues.names())


def held(exchange: Exchange, sink: Keeper) -> tuple[dict[int, int], dict[int, int]]:
    symbol = exchange.instrument.id
    return dict(sink.books.levels(symbol, Kind.BID)), dict(sink.books.levels(symbol, Kind.ASK))


def in_decimals(exchange: Exchange, subject: BookFollower) -> tuple[dict[int, int], dict[int, int]]:
    """The exchange's book in the decimals that the follower's has now: a garbled price may have had more of them."""
    was, now = exchange.instrument, subject.instruments[exchange.instrument.id]
    price = 10 ** (now.price_decimals - was.price_decimals)
    quantity = 10 ** (now.quantity_decimals - was.quantity_decimals)
    bids, asks = ({p * price: q * quantity for p, q in side.items()} for side in exchange.truth[exchange.id])
    return bids, asks


def serve(exchange: Exchange, subject: BookFollower) -> None:
    """Give the follower the snapshot it wants, as the venue does."""
    wants, subject.wants = subject.wants, []
    for want in wants:
        if isinstance(want, WantSnapshot) and subject.awaits(want.symbol):
            subject.snapshot(want.symbol, exchange.snapshot(), 1)
        elif isinstance(want, WantResubscribe) and subject.awaits(want.symbol):
            subject.message(exchange.snapshot(), 1)


def start(exchange: Exchange) -> tuple[BookFollower, Keeper]:
    """A follower whose book is live."""
    subject, sink = follow(Keeper(), exchange.instrument, venue=exchange.venue)
    if venues.get(exchange.venue).snapshots_in_band:
        subject.message(exchange.snapshot(), 1)
    serve(exchange, subject)
    subject.message(exchange.event(), 1)
    assert sink.books.state(exchange.instrument.id) is State.LIVE
    assert held(exchange, sink) == exchange.truth[exchange.id]
    return subject, sink


def test_every_venue_has_an_exchange_here() -> None:
    assert {kind.venue for kind in EXCHANGES} == set(venues.names())


@every_exchange
@pytest.mark.parametrize("fault", ["drop", "repeat", "swap"])
def test_with_any_message_lost_repeated_or_swapped_it_is_right_or_stale(kind: type[Exchange], fault: str) -> None:
    """200 markets, in each of them one event at a random place goes wrong. A live book is always a true one."""
    dice = random.Random(f"{kind.__name__} {fault}")
    went_stale = 0
    for seed in range(POSITIONS):
        exchange = kind(seed)
        subject, sink = start(exchange)
        symbol = exchange.instrument.id
        ids: dict[bytes, int] = {}
        wrong, late = dice.randrange(EVENTS - 4), b""
        for place in range(EVENTS):
            raw = exchange.event()
            ids[raw] = exchange.id
            delivered = [raw]
            if place == wrong:
                delivered = [raw, raw] if fault == "repeat" else []
                late = raw if fault == "swap" else b""
            elif late:
                delivered, late = [raw, late], b""
            for message in delivered:
                subject.message(message, 1)
                if sink.books.state(symbol) is State.LIVE:
                    told = sink.books.update_id(symbol) if exchange.numbered else ids[message]
                    assert held(exchange, sink) == exchange.truth[told]
                else:
                    went_stale += 1
            serve(exchange, subject)
        assert sink.books.state(symbol) is State.LIVE
        assert held(exchange, sink) == exchange.truth[exchange.id]
        assert subject.live == 1
    if fault == "repeat":
        assert went_stale == 0
    else:
        assert went_stale > POSITIONS // 2


@every_exchange
def test_a_first_snapshot_that_never_came_is_asked_for_once(kind: type[Exchange]) -> None:
    exchange = kind(8)
    subject, sink = follow(Keeper(), exchange.instrument, venue=exchange.venue)
    exchange.snapshot()  # lost, or not asked for yet
    for _ in range(3):
        subject.message(exchange.event(), 1)
    assert len(subject.wants) == 1
    serve(exchange, subject)
    subject.message(exchange.event(), 1)
    assert sink.books.state(exchange.instrument.id) is State.LIVE
    assert held(exchange, sink) == exchange.truth[exchange.id]


def garble(dice: random.Random, raw: bytes, other: bytes) -> bytes:
    """A message with one to four things wrong with it."""
    text = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(text) + 1)
        match dice.randrange(6):
            case 0:
                del text[place:]
            case 1:
                del text[place : place + dice.randint(1, 20)]
            case 2:
                text[place:place] = dice.choice([b'"', b"[", b"]", b"{", b"}", b",", b"0", b"-", b"e9", b"\xff"])
            case 3:
                text[place : place + 1] = bytes([dice.randrange(256)])
            case 4:
                text[place : place + 8] = other[place : place + dice.randint(1, 40)]
            case _:
                text[place:place] = b"[" * dice.choice([1, 2000])
    return bytes(text)


@every_exchange
def test_ten_thousand_garbled_messages_are_survived_and_counted(kind: type[Exchange]) -> None:
    exchange = kind(3)
    subject, sink = start(exchange)
    dice = random.Random(11)
    strange = [
        b"", b"null", b"[]", b"{}", b"0", b'""', b'{"a":' * 3000, b"[" * 100_000, b'{"data":{}}', b"\x00" * 9, b"pong",
        b'{"channel":"book","type":"update","data":[{}]}', b'{"event":"error","msg":7}', b'{"method":[]}', b'{"e":{}}',
    ]  # fmt: skip
    before = subject.counters.messages
    for count in range(10_000):
        raw = exchange.event() if count % 50 else exchange.snapshot()
        message = dice.choice(strange) if count % 20 == 0 else garble(dice, raw, exchange.snapshot())
        subject.message(message, 1)
        assert subject.counters.messages == before + 1
        if WantSnapshot(exchange.instrument.id) in subject.wants and count % 2:
            subject.wants.clear()
            subject.snapshot(exchange.instrument.id, garble(dice, exchange.snapshot(), raw), 1)
        serve(exchange, subject)
        del sink.records[:]
        before = subject.counters.messages
    assert subject.counters.malformed > 5_000
    subject.disconnected(Reason.DISCONNECTED, 1)
    subject.connected()
    if venues.get(exchange.venue).snapshots_in_band:
        subject.message(exchange.snapshot(), 1)
    serve(exchange, subject)
    subject.message(exchange.event(), 1)
    assert sink.books.state(exchange.instrument.id) is State.LIVE
    assert held(exchange, sink) == in_decimals(exchange, subject)


NEVER_SEEN = {
    "binance": b'{"stream":"x@moon","data":{"e":"moonPhase"}}',
    "bybit": b'{"topic":"moon.full","data":{}}',
    "okx": b'{"arg":{"channel":"moon"},"data":[]}',
    "kraken": b'{"channel":"moon","data":[]}',
    "coinbase": b'{"channel":"moon","sequence_num":%d,"events":[]}',
}


@every_exchange
def test_what_is_new_is_told_by_one_cause_counted_and_ignored(kind: type[Exchange]) -> None:
    exchange = kind(5)
    subject, sink = start(exchange)
    before = list(sink.records)
    raw = NEVER_SEEN[exchange.venue.split("-")[0]]
    for count in range(3):
        subject.message(raw % (exchange.id + 1 + count) if b"%d" in raw else raw, 1)
    said = [want for want in subject.wants if isinstance(want, WantLog)]
    assert subject.counters.unknown == 3
    assert len({want.cause for want in said}) == 1
    assert "moon" in said[0].text
    assert sink.records == before
    assert subject.live == 1


@every_exchange
def test_another_instrument_is_told_by_one_cause_and_ignored(kind: type[Exchange]) -> None:
    exchange, name = kind(6), kind.instrument.name.encode()
    subject, _ = start(exchange)
    for _ in range(2):
        raw = exchange.event().replace(b'"' + name, b'"X' + name)
        subject.message(raw, 1)
    said = [want for want in subject.wants if isinstance(want, WantLog)]
    assert subject.counters.unknown == 2
    assert len({want.cause for want in said}) == 1
    assert "were not asked for" in said[0].text


@every_exchange
def test_a_level_that_can_not_be_held_exactly_makes_it_stale(kind: type[Exchange]) -> None:
    exchange = kind(7)
    exchange.sides = ({10**19 + 1: 5}, {10**19 + 2: 7})
    exchange.note()
    subject, sink = follow(Keeper(), exchange.instrument, venue=exchange.venue)
    subject.wants.append(WantResubscribe(exchange.instrument.id))
    for _ in range(3):
        serve(exchange, subject)
        subject.message(exchange.event(), 1)
    assert sink.books.state(exchange.instrument.id) is not State.LIVE
    assert subject.counters.unrepresentable
    assert subject.awaits(exchange.instrument.id)


@every_venue
def test_every_instrument_is_subscribed_to_in_messages_that_the_venue_takes(name: str) -> None:
    venue = venues.get(name)
    names = [f"AB{count}-USDT" for count in range(min(450, venue.streams_per_connection))]
    messages = venue.subscriptions(names)
    said = [word.upper() for message in messages for word in re.findall(r"AB\d+-USDT", message.decode(), re.IGNORECASE)]
    assert said == names
    for message in messages:
        orjson.loads(message)
        assert len(message) < 16_384


@every_venue
def test_a_snapshot_can_be_had_one_way(name: str) -> None:
    venue = venues.get(name)
    if venue.snapshots_in_band:
        leave, enter = venue.resubscriptions("AB-USDT")
        assert b"unsubscribe" in leave
        assert b"unsubscribe" not in enter
        assert b"AB-USDT" in leave
        assert b"AB-USDT" in enter
        with pytest.raises(LookupError):
            venue.snapshot_path("AB-USDT")
    else:
        assert "AB-USDT" in venue.snapshot_path("AB-USDT")
        with pytest.raises(LookupError):
            venue.resubscriptions("AB-USDT")


def test_numbers_and_names_are_the_venues_own() -> None:
    known = [venues.get(name) for name in venues.names()]
    assert [venue.name for venue in known] == list(venues.names())
    assert len({venue.number for venue in known}) == len(known)
