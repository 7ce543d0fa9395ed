"""Ticks and lots that are other than defined, from the start or all of a sudden."""

from __future__ import annotations

from decimal import Decimal

import pytest

from wirebook import venues
from wirebook.core.books.books import State
from wirebook.core.wire.records import Kind
from wirebook.venues.base import Instrument, MalformedError, Scale, WantDefine
from wirebook.venues.follower import BookFollower
from wirebook.venues.rescale import fitting, unfit

from .exchanges import EXCHANGES, Exchange, Kraken
from .support import Keeper, event, follow, snapshot
from .test_every_venue import serve

every_exchange = pytest.mark.parametrize("kind", EXCHANGES)
SYMBOL = 7
X = Instrument(SYMBOL, "X", 2, 3)


@pytest.mark.parametrize(
    ("levels", "scale"),
    [
        ([], Scale(2, 3)),
        ([("1.5", "1")], Scale(2, 3)),
        ([("1.50000000", "1.00000000")], Scale(2, 3)),
        ([("1.505", "1")], Scale(3, 3)),
        ([("0.00000001", "0.00001")], Scale(8, 5)),
        ([("1", "92233720368547758.07"), ("2", "1.5")], Scale(2, 2)),
        ([("1", "922337203685477.5807"), ("2", "1.5")], Scale(2, 4)),
        ([("1", "9223372036854775807.00"), ("2", "3")], Scale(2, 0)),
        ([("1", "9223372036854775808")], None),
        ([("1", "9223372036854775807"), ("2", "0.1")], None),
        ([("0.0000000000000000001", "1")], None),
        ([("1", "123456789012.12345678")], None),
        ([("1", "123456789012.00000000"), ("2", "0.12345678")], None),
        ([("1", "123456789012.00000000"), ("2", "0.1234567")], Scale(2, 7)),
    ],
)
def test_decimals_that_hold_all_levels(levels: list[tuple[str, str]], scale: Scale | None) -> None:
    assert fitting(X, levels) == scale


def test_what_is_no_number_is_malformed() -> None:
    for wrong in ("1e-7", "-1", "", "x"):
        with pytest.raises(MalformedError):
            fitting(X, [(wrong, "1")])


def test_some_levels_that_do_not_fit_are_kept() -> None:
    levels = [("1.001", "1")] * 500 + [("1.00", "1")]
    assert unfit(X, levels) == [("1.001", "1")] * 100
    assert unfit(X, [("1", "1.0001"), ("2", "2")]) == [("1", "1.0001")]
    assert unfit(X, [(".5", "1.0001"), ("1", "x"), ("1e-7", "1")]) == []


def test_an_event_that_has_both_what_does_not_fit_and_what_is_no_number_is_survived() -> None:
    subject, _ = follow(Keeper(), Instrument(SYMBOL, "BTCUSDT", 1, 3))
    subject.message(event(101, 101), 1)
    subject.snapshot(SYMBOL, snapshot(100, "100.0:1.0", "101.0:1.0"), 1)
    subject.message(event(102, 102, "100.55:1.0 .5:1.0"), 1)
    assert subject.awaits(SYMBOL)


def right(exchange: Exchange, subject: BookFollower, sink: Keeper, last: int | None = None) -> bool:
    """The live book is the market's, by the decimals that readers were told."""
    symbol = exchange.instrument.id
    defined = subject.instruments[symbol]
    ticks, lots = (Decimal(1).scaleb(-decimals) for decimals in defined[2:])
    held = tuple(
        {price * ticks: quantity * lots for price, quantity in sink.books.levels(symbol, side)}
        for side in (Kind.BID, Kind.ASK)
    )
    told = last or (sink.books.update_id(symbol) if exchange.numbered else exchange.id)
    true = tuple(
        {Decimal(price).scaleb(-2): Decimal(quantity).scaleb(-3) for price, quantity in side.items()}
        for side in exchange.truth[told]
    )
    assert sink.books.decimals(symbol) in (defined[2:], (0, 0))  # (0, 0): it was never defined anew
    return held == true


@every_exchange
@pytest.mark.parametrize("coarser", [(1, 3), (2, 1), (0, 0)])
def test_a_definition_that_is_too_coarse_is_mended_by_the_first_snapshot(
    kind: type[Exchange], coarser: tuple[int, int]
) -> None:
    exchange = kind(3)
    subject, sink = follow(
        Keeper(), exchange.instrument._replace(price_decimals=coarser[0], quantity_decimals=coarser[1]),
        venue=exchange.venue,
    )  # fmt: skip
    if venues.get(exchange.venue).snapshots_in_band:
        subject.message(exchange.snapshot(), 1)
    serve_quietly(exchange, subject)
    lost = 0
    for _ in range(50):
        subject.message(exchange.event(), 1)
        serve_quietly(exchange, subject)
        if sink.books.state(SYMBOL) is State.LIVE:
            assert right(exchange, subject, sink)
        else:
            lost += 1
    assert sink.books.state(SYMBOL) is State.LIVE
    assert lost < 5
    assert subject.instruments[SYMBOL][2:] == (2, 3)
    assert sink.books.decimals(SYMBOL) == (2, 3)


def serve_quietly(exchange: Exchange, subject: BookFollower) -> None:
    """As `serve`, but whatever is to be done beside snapshots is left."""
    others = [want for want in subject.wants if isinstance(want, WantDefine)]
    serve(exchange, subject)
    subject.wants += others


def test_readers_are_told_of_other_decimals_while_the_book_is_stale_and_before_its_levels() -> None:
    subject, sink = follow(Keeper(), Instrument(SYMBOL, "BTCUSDT", 1, 3))
    subject.message(event(101, 101), 1)
    subject.snapshot(SYMBOL, snapshot(100, "100.0:1.0", "101.0:1.0"), 1)
    subject.message(event(102, 102), 1)
    assert sink.books.state(SYMBOL) is State.LIVE
    del sink.records[:]
    subject.message(event(103, 103, "100.55:1.0"), 1)
    assert sink.books.state(SYMBOL) is State.STALE
    subject.snapshot(SYMBOL, snapshot(103, "100.55:1.0", "101.0:1.0"), 1)
    subject.message(event(104, 104), 1)
    assert [Kind(record[1]) for record in sink.records[:6]] == [
        Kind.STALE, Kind.DEFINE, Kind.CLEAR, Kind.BID, Kind.ASK, Kind.LIVE,
    ]  # fmt: skip
    assert sink.books.decimals(SYMBOL) == (2, 3)
    assert sink.books.name(SYMBOL) == "binance:BTCUSDT"
    assert sink.books.top(SYMBOL) == (10055, 1000, 10100, 1000)
    assert WantDefine(Instrument(SYMBOL, "BTCUSDT", 2, 3)) in subject.wants
    subject.message(event(105, 105, "100.56:1.0"), 1)  # the fast decoder knows the new decimals
    assert sink.books.top(SYMBOL)[0] == 10056


def test_what_an_event_needs_is_held_by_the_next_snapshot_though_that_has_no_such_level() -> None:
    subject, sink = follow(Keeper(), Instrument(SYMBOL, "BTCUSDT", 1, 3))
    subject.message(event(101, 101), 1)
    subject.snapshot(SYMBOL, snapshot(100, "100.0:1.0", "101.0:1.0"), 1)
    subject.message(event(102, 102, "100.55:1.0"), 1)
    subject.snapshot(SYMBOL, snapshot(102, "100.0:1.0", "101.0:1.0"), 1)
    subject.message(event(103, 103, "100.56:1.0"), 1)
    assert sink.books.state(SYMBOL) is State.LIVE
    assert subject.counters.unrepresentable == 1


def test_a_live_book_that_gets_a_finer_snapshot_is_stale_before_its_decimals_change() -> None:
    exchange = next(kind for kind in EXCHANGES if kind.venue == "bybit-linear")(4)
    fine, exchange.sides = exchange.sides, ({9000: 1000}, {10100: 2000})
    subject, sink = follow(Keeper(), exchange.instrument._replace(price_decimals=0), venue=exchange.venue)
    subject.message(exchange.snapshot(), 1)
    assert sink.books.state(SYMBOL) is State.LIVE
    del sink.records[:]
    exchange.sides = fine
    subject.message(exchange.snapshot(), 1)
    told = [Kind(record[1]) for record in sink.records]
    assert told[:3] == [Kind.STALE, Kind.DEFINE, Kind.CLEAR]
    assert sink.books.state(SYMBOL) is State.LIVE
    assert subject.live == 1


def test_a_kraken_quantity_beyond_63_bits_of_the_defined_decimals() -> None:
    exchange = Kraken(1)
    exchange.sides = ({9000: 123_456_789_012_500}, {10000: 7})
    subject, sink = follow(Keeper(), exchange.instrument._replace(quantity_decimals=8), venue="kraken")
    subject.message(exchange.snapshot(), 1)
    assert sink.books.state(SYMBOL) is State.LIVE
    assert subject.instruments[SYMBOL].quantity_decimals == 7
    assert sink.books.top(SYMBOL)[1] == 1_234_567_890_125_000_000


def test_what_no_decimals_hold_exactly_is_stale_and_said() -> None:
    subject, sink = follow(Keeper(), Instrument(SYMBOL, "BTCUSDT", 2, 8))
    subject.message(event(101, 101), 1)
    subject.snapshot(SYMBOL, snapshot(100, "100.00:123456789012.12345678"), 1)
    assert sink.books.state(SYMBOL) is State.EMPTY
    assert subject.counters.unrepresentable == 1
    assert subject.awaits(SYMBOL)
