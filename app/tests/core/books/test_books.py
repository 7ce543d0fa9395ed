"""Books against a plain Python model: every level, whatever the order, the distance or the sign of the prices."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirebook.core.base.memory import Arena, page_faults
from wirebook.core.books.books import Books, State
from wirebook.core.wire.records import Batch, Flag, Kind, Reason
from wirebook.errors import UserError

Level = tuple[int, int, int]  # kind, price, quantity


class Model:
    """What a book is, in the fewest words."""

    def __init__(self) -> None:
        self.sides: dict[int, dict[int, int]] = {Kind.BID: {}, Kind.ASK: {}}
        self.update_id = 0

    def set(self, kind: int, price: int, quantity: int, update_id: int) -> None:
        if update_id < self.update_id:
            return
        self.update_id = update_id
        if quantity:
            self.sides[kind][price] = quantity
        else:
            self.sides[kind].pop(price, None)

    def levels(self, kind: int) -> list[tuple[int, int]]:
        return sorted(self.sides[kind].items(), reverse=kind == Kind.BID)


def apply(books: Books, levels: Iterable[Level], symbol: int = 0) -> None:
    batch = Batch(1)
    for update_id, (kind, price, quantity) in enumerate(levels, 1):
        batch.clear()
        batch.append(symbol, kind, Flag.EVENT_END, update_id=update_id, price=price, quantity=quantity)
        books.apply(batch)


def same(books: Books, model: Model, symbol: int = 0) -> None:
    for kind in (Kind.BID, Kind.ASK):
        assert books.levels(symbol, kind) == model.levels(kind)
    assert books.count(symbol) == (len(model.sides[Kind.BID]), len(model.sides[Kind.ASK]))
    bid, ask = model.levels(Kind.BID)[:1], model.levels(Kind.ASK)[:1]
    assert books.top(symbol) == (*(bid[0] if bid else (None, None)), *(ask[0] if ask else (None, None)))


@pytest.fixture(scope="module")
def arena_books() -> Books:
    return Books(4, Arena(8 << 20, "off"))


near = st.integers(-200, 200)
far = st.integers(-(2**63), 2**63 - 1)
edges = st.sampled_from([0, -1, 1, 63, 64, 4095, 4096, 2**62, -(2**62), 2**63 - 1, -(2**63)])
level = st.tuples(
    st.sampled_from([Kind.BID, Kind.ASK]),
    near | near | far | edges,
    st.just(0) | st.integers(1, 5) | st.sampled_from([2**32 - 1, 2**32, 2**63 - 1]),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(level, max_size=120))
def test_any_updates_equal_the_model(arena_books: Books, levels: list[Level]) -> None:
    books, model = arena_books, Model()
    clear = Batch(1)
    clear.append(0, Kind.CLEAR)
    books.apply(clear)
    assert books.counters()["nodes_used"] == 0, "a cleared book gives back every line"
    for update_id, (kind, price, quantity) in enumerate(levels, 1):
        model.set(kind, price, quantity, update_id)
    apply(books, levels)
    same(books, model)


def test_a_page_of_large_and_small_quantities_that_fills_and_empties() -> None:
    # Packed lines hold 32 bits a quantity and ten levels: everything else, and the way there and back.
    books, model = Books(1, Arena(2 << 20, "off")), Model()
    chance = random.Random(7)
    for update_id in range(1, 20_001):
        removal = update_id // 500 % 2 == 0 and chance.random() < 0.7
        large = [2**32 - 1, 2**32, 2**63 - 1] if update_id % 3 == 0 else []
        quantity = 0 if removal else chance.choice([1, 2, 3, *large])
        price = chance.randrange(64)
        model.set(Kind.BID, price, quantity, update_id)
        batch = Batch(1)
        batch.append(0, Kind.BID, Flag.EVENT_END, 0, update_id, price, quantity)
        books.apply(batch)
        if update_id % 50 == 0:
            same(books, model)


@pytest.mark.parametrize(
    ("spread", "updates"),
    [
        (40, 25_000),
        (3_000, 25_000),
        (200_000, 25_000),
        (2**40, 25_000),
        pytest.param(3_000, 1_000_000, marks=pytest.mark.slow),
        pytest.param(200_000, 1_000_000, marks=pytest.mark.slow),
    ],
)
def test_random_walk_with_reordered_and_repeated_updates(spread: int, updates: int) -> None:
    chance = random.Random(spread)
    books, models = Books(3, Arena(128 << 20, "off")), [Model() for _ in range(3)]
    batch = Batch(16)
    ids = [1, 1, 1]
    middle = 10_000_000
    for _ in range(updates):
        symbol = chance.randrange(3)
        ids[symbol] += 1
        middle += chance.randrange(-3, 4)
        update_id = ids[symbol] - (chance.random() < 0.05) * chance.randrange(1, 4)
        kind = chance.choice([Kind.BID, Kind.ASK])
        price = middle + int(chance.gauss(0, spread))
        quantity = chance.choice([0, 0, 1, 2, 3])
        for _ in range(1 + (chance.random() < 0.05)):
            batch.append(symbol, kind, Flag.EVENT_END, update_id=update_id, price=price, quantity=quantity)
            models[symbol].set(kind, price, quantity, update_id)
            if len(batch) == batch.capacity:
                books.apply(batch)
                batch.clear()
    books.apply(batch)
    for symbol, model in enumerate(models):
        same(books, model, symbol)
    assert books.counters()["out_of_order"] > updates // 50


def test_ten_thousand_levels_a_side_and_back_to_none() -> None:
    books, model = Books(1, Arena(32 << 20, "off")), Model()
    chance = random.Random(1)
    levels = [(kind, chance.randrange(14_000_000), 1 + n) for n in range(10_000) for kind in (Kind.BID, Kind.ASK)]
    apply(books, levels)
    for update_id, entry in enumerate(levels, 1):
        model.set(*entry, update_id)
    same(books, model)
    removals = [(kind, price, 0) for kind in (Kind.BID, Kind.ASK) for price in model.sides[kind]]
    chance.shuffle(removals)
    batch = Batch(1)
    for kind, price, quantity in removals:
        batch.clear()
        batch.append(0, kind, update_id=10**6, price=price, quantity=quantity)
        books.apply(batch)
    assert books.top(0) == (None, None, None, None)
    assert books.counters()["nodes_used"] == 0


def test_pages_that_empty_and_fill_again_until_their_turn_to_go_has_come() -> None:
    # So small an arena that leaves found empty are taken out of their trees all the time.
    books, models = Books(2, Arena(2 << 20, "off")), [Model(), Model()]
    chance = random.Random(5)
    batch = Batch(16)
    for update_id in range(1, 200_001):
        symbol, kind, price = chance.randrange(2), chance.randrange(2), chance.randrange(3_000) * 997
        quantity = chance.choice([0, 0, 7])
        batch.append(symbol, kind, Flag.EVENT_END, 0, update_id, price, quantity)
        models[symbol].set(kind, price, quantity, update_id)
        if len(batch) == batch.capacity:
            books.apply(batch)
            batch.clear()
    for symbol, model in enumerate(models):
        same(books, model, symbol)


@pytest.mark.parametrize("quantity", [1, 2**40])
def test_a_pool_full_of_empty_leaves_is_not_dry(quantity: int) -> None:
    books = Books(1, Arena(2 << 20, "off"))
    batch = Batch(2)
    for price in range(0, 200_000 * 64, 64):
        batch.clear()
        batch.append(0, Kind.BID, 0, 0, 1, price, quantity)
        batch.append(0, Kind.BID, Flag.EVENT_END, 0, 1, price - 64, 0)
        books.apply(batch)
    assert books.count(0) == (1, 0)
    assert books.counters()["pool_exhausted"] == 0


def test_large_quantities_take_blocks_until_there_are_none() -> None:
    books = Books(2, Arena(2 << 20, "off"))
    batch = Batch(1)
    held = 0
    while not books.counters()["pool_exhausted"]:
        batch.clear()
        batch.append(0, Kind.ASK, Flag.EVENT_END, 0, 1, held * 64, 2**32)
        books.apply(batch)
        held += 1
    assert held > 900
    assert (books.state(0), books.reason(0)) == (State.STALE, Reason.POOL_EXHAUSTED)
    assert books.counters()["nodes_used"] == 0
    for price in range(2_000):
        batch.clear()
        batch.append(1, Kind.ASK, Flag.EVENT_END, 0, 1, price * 64, 2**32 - 1)
        books.apply(batch)
    assert books.count(1) == (0, 2_000)


def control(books: Books, *records: tuple[int, int, int, int, int]) -> None:
    """Each record: kind, aux, update_id, price, quantity."""
    batch = Batch(len(records))
    for kind, aux, update_id, price, quantity in records:
        batch.append(0, kind, Flag.EVENT_END, aux, update_id, price, quantity)
    books.apply(batch)


def test_states() -> None:
    books = Books(1, Arena(2 << 20, "off"))
    assert books.state(0) is State.EMPTY
    control(books, (Kind.CLEAR, 0, 7, 0, 0), (Kind.BID, 0, 7, 100, 1))
    assert (books.state(0), books.reason(0)) == (State.STALE, Reason.RESYNC)
    control(books, (Kind.LIVE, 0, 7, 0, 0))
    assert (books.state(0), books.reason(0), books.update_id(0)) == (State.LIVE, 0, 7)
    control(books, (Kind.STALE, Reason.CHECKSUM, 0, 0, 0))
    assert (books.state(0), books.reason(0)) == (State.STALE, Reason.CHECKSUM)
    assert books.top(0) == (100, 1, None, None)
    control(books, (Kind.CLEAR, 0, 3, 0, 0))
    assert (books.top(0), books.update_id(0)) == ((None, None, None, None), 3)


def test_crossed_books_are_counted_and_kept_as_they_are() -> None:
    books = Books(1, Arena(2 << 20, "off"))
    control(books, (Kind.LIVE, 0, 1, 0, 0), (Kind.BID, 0, 2, 101, 5), (Kind.ASK, 0, 3, 101, 6))
    assert books.counters()["crossed"] == 1
    assert books.top(0) == (101, 5, 101, 6)


def test_deletes_of_absent_levels_unknown_symbols_and_kinds_are_counted() -> None:
    books = Books(1, Arena(2 << 20, "off"))
    control(books, (Kind.BID, 0, 1, 5, 0), (Kind.BID, 0, 2, 5, 1), (Kind.BID, 0, 3, 2**50, 0), (99, 0, 4, 0, 0))
    batch = Batch(2)
    batch.append(1, Kind.BID, price=1, quantity=1)
    batch.append(2**32 - 1, Kind.ASK, price=1, quantity=1)
    books.apply(batch)
    counters = books.counters()
    assert (counters["deletes_of_absent"], counters["unknown_symbol"], counters["unknown_kind"]) == (2, 2, 1)
    assert books.top(0) == (5, 1, None, None)


def test_a_dry_pool_marks_the_book_stale_until_a_snapshot_fits() -> None:
    books = Books(2, Arena(2 << 20, "off"))
    batch = Batch(1)
    price = 0
    while not books.counters()["pool_exhausted"]:
        batch.clear()
        batch.append(0, Kind.BID, update_id=1, price=price, quantity=1)
        books.apply(batch)
        price += 4096
    assert price > 4096 * 10_000
    assert (books.state(0), books.reason(0)) == (State.STALE, Reason.POOL_EXHAUSTED)
    assert books.counters()["nodes_used"] == 0, "its lines serve the other books"
    control(books, (Kind.BID, 0, 2, 1, 1), (Kind.LIVE, 0, 2, 0, 0))
    assert books.state(0) is State.STALE
    assert books.count(0) == (0, 0)
    control(books, (Kind.CLEAR, 0, 3, 0, 0), (Kind.BID, 0, 3, 1, 1), (Kind.LIVE, 0, 3, 0, 0))
    assert (books.state(0), books.top(0)) == (State.LIVE, (1, 1, None, None))


def test_definitions() -> None:
    books = Books(1, Arena(2 << 20, "off"))
    batch = Batch(1)
    batch.define(0, "binance:BTCUSDT", 2, 5)
    books.apply(batch)
    assert (books.name(0), books.decimals(0)) == ("binance:BTCUSDT", (2, 5))


def test_what_does_not_fit_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"2 MB has no room for 2048 books: raise memory\.arena_mb"):
        Books(2048, Arena(2 << 20, "off"))
    with pytest.raises(UserError, match=r"1 to 2048 symbols, not 2049"):
        Books(2049)


def test_no_page_fault_in_the_steady_state() -> None:
    books = Books(2048, Arena(64 << 20))
    chance = random.Random(3)
    batches = []
    for number in range(300):
        batch = Batch(256)
        for _ in range(256):
            batch.append(
                chance.randrange(2048),
                chance.randrange(2),
                Flag.EVENT_END,
                0,
                number,
                chance.randrange(5000),
                chance.randrange(3),
            )
        batches.append(batch)
    books.apply(batches[0])
    without = []
    for part in (batches[1:100], batches[100:200], batches[200:]):
        before = page_faults()
        for batch in part:
            books.apply(batch)
        without.append(page_faults() == before)
    # Memory that isn't locked may be taken away once. What the books do would show in each part.
    assert any(without)
    assert books.counters()["updates"] > 60_000
