"""Whom the book process believes: the streams that were named, one publisher of each, and nobody beside it."""

from __future__ import annotations

import random
import time
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.engine.arbiter import Publication, Refusal
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

from .test_engine import TAKEOVER, Publisher, all_right, give

NAMES = {symbol: f"test:S{symbol}" for symbol in range(3)}


def sender(address: str, port: int = 40000) -> int:
    return int(IPv4Address(address)) << 16 | port


GOOD, ROGUE = sender("10.0.0.1"), sender("10.0.0.66")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "market"


def engine_of(path: Path, *publications: Publication, senders: tuple[str, ...] = ()) -> Engine:
    books = Books(16, Arena(4 << 20, "off"))
    wanted = publications or (Publication(1, 1, NAMES),)
    return Engine(books, MarketWriter(path, 16), history=64, publications=wanted, senders=senders)


def fed(path: Path, publisher: Publisher, who: int = GOOD, senders: tuple[str, ...] = ()) -> Engine:
    engine = engine_of(path, senders=senders)
    say(engine, who, *(publisher.inline(symbol) for symbol in publisher.symbols))
    say(engine, who, *(publisher.snapshot(symbol) for symbol in publisher.symbols))
    return engine


def say(engine: Engine, who: int, *packets: list[bytes], later: float = 0.0) -> None:
    for packet in (packet for some in packets for packet in some):
        engine.process(packet, sender=who, later=later)


def states(engine: Engine) -> set[tuple[State, int]]:
    return {(engine.books.state(symbol), engine.books.reason(symbol)) for symbol in range(3)}


LIVE = {(State.LIVE, Reason.NO_REASON)}
CONTESTED = {(State.STALE, Reason.CONTESTED)}


def test_streams_that_nobody_named_take_no_room_and_are_told_by_their_address(path: Path) -> None:
    engine = engine_of(path)
    for stream in range(2, 100):
        say(engine, ROGUE, Publisher(3, stream=stream).inline(0))
    publisher = Publisher(3)
    say(engine, GOOD, *(publisher.inline(symbol) for symbol in range(3)))
    all_right(engine, publisher)
    assert engine.faults()["unknown_stream"] == 98
    assert engine.refusals()[0] == Refusal("unknown stream", 1, 2, "10.0.0.66:40000", 1)
    assert sum(refusal.packets for refusal in engine.refusals()) == 98, "those beyond the table are counted too"


def test_a_symbol_is_its_streams_whoever_speaks_first(path: Path) -> None:
    engine = engine_of(path, Publication(1, 1, {0: "test:S0"}), Publication(1, 2, {1: "test:S1"}))
    other, publisher = Publisher(3, stream=2), Publisher(1)
    say(engine, ROGUE, other.inline(0), other.inline(2))
    assert engine.books.state(0) is State.EMPTY
    assert engine.books.state(2) is State.EMPTY, "nobody has this one"
    say(engine, GOOD, publisher.inline(0))
    all_right(engine, publisher)
    assert [refusal.kind for refusal in engine.refusals()] == ["symbol"]


@pytest.mark.parametrize("channel", Channel)
def test_a_name_that_is_not_the_symbols_is_not_taken(path: Path, channel: Channel) -> None:
    publisher = Publisher(3)
    engine, view = fed(path, publisher), MarketView(path)
    publisher.batch.define(1, "test:S0", 0, 0)
    say(engine, GOOD, publisher._packets(channel))
    assert engine.books.name(1) == "test:S1"
    assert view.number("test:S0") == 0
    assert engine.refusals() == [Refusal("name", 1, 1, "10.0.0.1:40000", 1)]


def test_without_a_configuration_a_name_has_one_symbol_and_nothing_for_a_terminal(path: Path) -> None:
    engine = Engine(Books(16, Arena(4 << 20, "off")), MarketWriter(path, 16), history=64)
    publisher = Publisher(3)
    give(engine, publisher.snapshot(0), publisher.heartbeat(), publisher.snapshot(0))
    for name in ("test:S0", "x\x1b]0;PWNED\x07", "a\nb", "\x7f"):
        publisher.batch.define(1, name, 0, 0)
        give(engine, publisher._packets())
    assert engine.books.name(0) == "test:S0"
    assert engine.books.name(1) == ""
    assert engine.counters()["foreign"] == 4


def test_decimals_change_only_while_a_book_is_stale(path: Path) -> None:
    """Its levels are in the units of the old ones."""
    publisher = Publisher(3)
    engine = fed(path, publisher)
    publisher.batch.define(0, "test:S0", 2, 0)
    say(engine, GOOD, publisher._packets())
    assert (engine.books.state(0), engine.books.reason(0)) == (State.STALE, Reason.RESYNC)
    assert engine.books.decimals(0) == (2, 0)
    assert engine.books.state(1) is State.LIVE
    say(engine, GOOD, publisher.snapshot(0))
    all_right(engine, publisher)


@pytest.mark.parametrize(("epoch", "nonce"), [(1, 77), (2, 0), (2, 77)])
def test_while_another_may_have_come_in_its_place_nobody_is_believed(path: Path, epoch: int, nonce: int) -> None:
    publisher = Publisher(3)
    engine, view = fed(path, publisher), MarketView(path)
    rogue = Publisher(3, seed=5, epoch=epoch)
    rogue.encoder = Encoder(1, 1, epoch, nonce)
    say(engine, ROGUE, rogue.inline(0))
    assert states(engine) == CONTESTED
    say(engine, GOOD, publisher.event(0), publisher.inline(1), publisher.snapshot(2))
    say(engine, ROGUE, rogue.snapshot(0))
    assert states(engine) == CONTESTED
    assert view.top(0).reason == Reason.CONTESTED
    assert engine.refusals() == [Refusal("publisher", 1, 1, "10.0.0.66:40000", engine.counters()["refused"])]
    say(engine, GOOD, publisher.heartbeat(), later=TAKEOVER)
    engine.check_silence(later=TAKEOVER)
    say(engine, GOOD, *(publisher.snapshot(symbol) for symbol in range(3)), later=TAKEOVER)
    all_right(engine, publisher)
    assert engine.counters()["restarts"] == 0


def test_a_publisher_of_before_does_no_harm(path: Path) -> None:
    publisher = Publisher(3, epoch=5)
    engine = fed(path, publisher)
    say(engine, ROGUE, Publisher(3, seed=5, epoch=4).inline(0))
    say(engine, GOOD, publisher.event(0))
    all_right(engine, publisher)
    assert engine.counters()["refused"] == 1


def test_another_sender_with_the_same_identity_does_no_harm(path: Path) -> None:
    """It may have read epoch, nonce and sequence from the wire: its own address it can't hide."""
    publisher, rogue = Publisher(3), Publisher(3, seed=5)
    engine = fed(path, publisher)
    for _ in range(4):
        rogue.heartbeat()
    say(engine, ROGUE, rogue.inline(0), rogue.snapshot(1))
    say(engine, GOOD, publisher.event(0), publisher.event(1))
    all_right(engine, publisher)


def test_a_publisher_started_again_in_the_same_second_is_followed_after_a_silence(path: Path) -> None:
    publisher = Publisher(3)
    engine = fed(path, publisher)
    again = Publisher(3, seed=9)
    again.encoder = Encoder(1, 1, 1, nonce=5)
    say(engine, sender("10.0.0.1", 40001), again.inline(0))
    assert states(engine) == CONTESTED
    say(engine, sender("10.0.0.1", 40001), *(again.inline(symbol) for symbol in range(3)), later=TAKEOVER)
    all_right(engine, again)
    assert engine.counters()["restarts"] == 2, "of both channels"


@pytest.mark.parametrize("channel", Channel)
@pytest.mark.parametrize(("epoch", "sequence"), [(2**32 - 1, 1), (1, 2**63)])
def test_one_packet_poisons_no_channel(path: Path, channel: Channel, epoch: int, sequence: int) -> None:
    publisher = Publisher(3)
    engine = fed(path, publisher)
    header = bytearray(Publisher(1).heartbeat()[0][:40])
    header[5], header[6:8] = channel, b"\0\0"
    header[12:16], header[16:24] = epoch.to_bytes(4, "little"), sequence.to_bytes(8, "little")
    say(engine, ROGUE, [bytes(header)])
    all_right(engine, publisher)
    publisher.event(0)
    say(engine, GOOD, publisher.event(0))
    assert engine.books.state(0) is State.STALE, "a packet was lost"
    say(engine, GOOD, *(publisher.snapshot(symbol) for symbol in range(3)))
    all_right(engine, publisher)


def test_an_epoch_far_ahead_is_nobodys(path: Path) -> None:
    engine = engine_of(path)
    say(engine, ROGUE, Publisher(3, epoch=int(time.time()) + 3700).inline(0))
    assert engine.refusals() == [Refusal("epoch", 1, 1, "10.0.0.66:40000", 1)]
    publisher = Publisher(3, epoch=int(time.time()) + 3500)
    say(engine, GOOD, *(publisher.inline(symbol) for symbol in range(3)))
    all_right(engine, publisher)


def test_who_is_not_listed_is_not_heard(path: Path) -> None:
    publisher = Publisher(3)
    engine = engine_of(path, senders=("10.0.0.1", "10.0.0.2"))
    say(engine, ROGUE, Publisher(3, seed=5, epoch=9).inline(0))
    assert engine.books.state(0) is State.EMPTY
    say(engine, GOOD, *(publisher.inline(symbol) for symbol in range(3)))
    all_right(engine, publisher)
    assert engine.refusals() == [Refusal("sender", 1, 1, "10.0.0.66:40000", 1)]


@pytest.mark.parametrize("contest", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_no_mixture_of_rogues_makes_a_live_book_that_is_not_the_good_ones(path: Path, seed: int, contest: bool) -> None:
    """Ten of them beside the good one, each with valid packets of any stream, epoch, sequence, channel and symbol.

    Those that don't pretend to have come in its place leave its books LIVE.
    """
    epochs, nonces = ([0, 1, 1, 2, 2**31], [0, 0, 1, 7]) if contest else ([0, 1], [0])
    dice, good, now = random.Random(seed), Publisher(3, seed), 0.0
    engine = fed(path, good)
    rogues = [sender(f"10.0.0.{100 + number}", dice.choice([40000, 40000 + number])) for number in range(10)]
    batch = Batch(29)
    live = 0
    for _ in range(3000):
        now += 0.001
        if dice.random() < 0.7:
            batch.clear()
            for _ in range(dice.randint(0, 6)):
                kind = dice.choice([*Kind])
                symbol = dice.choice([0, 0, 1, 2, 3, 15, 16, 2**32 - 1])
                if kind is Kind.DEFINE:
                    batch.define(symbol, dice.choice(["test:S0", "test:S1", "x:Y"]), dice.randrange(9), 0)
                else:
                    update_id = dice.choice([0, 100_000, 100_005, 2**63])
                    flags, aux = dice.choice([0, Flag.EVENT_END]), dice.randrange(12)
                    batch.append(symbol, kind, flags, aux, update_id, dice.randrange(100), dice.randrange(5))
            encoder = Encoder(1, dice.choice([1, 1, 1, 2]), dice.choice(epochs), dice.choice(nonces))
            for packet in encoder.encode(batch, dice.randrange(2)):
                wild = bytearray(packet)
                wild[16:24] = dice.choice([1, 2, 5, 10, 2**40, 2**64 - 1]).to_bytes(8, "little")
                engine.process(bytes(wild), sender=dice.choice(rogues), later=now)
        symbol = dice.randrange(3)
        say(engine, GOOD, good.event(symbol) if dice.random() < 0.9 else good.snapshot(symbol), later=now)
        for symbol in range(3):
            if engine.books.state(symbol) is State.LIVE:
                live += 1
                held = dict(engine.books.levels(symbol, Kind.BID)), dict(engine.books.levels(symbol, Kind.ASK))
                assert held == good.was[symbol, engine.books.update_id(symbol)]
                assert engine.books.name(symbol) == NAMES[symbol]
    assert contest or live > 8000
    for _ in range(4):
        now += 0.4
        say(engine, GOOD, good.heartbeat(), *(good.snapshot(symbol) for symbol in range(3)), later=now)
        engine.check_silence(later=now)
    say(engine, GOOD, *(good.snapshot(symbol) for symbol in range(3)), later=now)
    all_right(engine, good)
