"""Packets that are right, with records that are not, behind the parser: arbitration, books, ladders, market cache."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine, memory_bytes
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind

SYMBOLS = 24
_BOOKS_BYTES = 2 << 20
_LEFT_BYTES = 1_700_000
"""Of those not given to the books: with so little that their pool is exhausted now and then, and has to be swept."""
_HISTORY = 256
_LOOK_EVERY = 1000
_LIFE = 20_000
"""Packets until everything begins anew: a price at the end of its range can leave a book with nothing to do."""
_EDGES = 0, -1, 1, 63, 64, 4095, 4096, 2**32 - 1, 2**32, 2**62, -(2**62), 2**63 - 1, -(2**63)
_KINDS = *([Kind.BID, Kind.ASK] * 100), *Kind, Kind.LIVE, Kind.LIVE, 8, 255
_NAMES = "venue:A", "", "\0", "\xff" * 40, "venue:" + "X" * 34


class _Publisher:
    """A feed that has lost its mind, and still numbers its packets."""

    def __init__(self, dice: random.Random, stream: int, epoch: int) -> None:
        self._dice = dice
        self._stream, self._epoch = stream, epoch
        self._encoder = Encoder(1, stream, epoch)
        self._update_id = 1
        self._batch = Batch(29)
        # Each publisher has its own symbols; the last ones both speak of.
        self._first = 0 if stream == 1 else SYMBOLS // 2 - 2

    def _price(self) -> int:
        """Most are near each other, as in a book."""
        dice = self._dice
        match dice.randrange(12):
            case 0:
                return dice.choice(_EDGES)
            case 1:
                return dice.getrandbits(64) - (1 << 63)
            case 2:
                return dice.randrange(1 << 20)
            case _:
                return dice.randrange(400)

    def _record(self) -> None:
        dice = self._dice
        symbol = self._first + dice.randrange(SYMBOLS // 2 + 2)
        kind: int = dice.choice(_KINDS)
        if dice.random() < 0.002:
            symbol = dice.choice([SYMBOLS, 2047, 2048, 2**32 - 1])
        if kind == Kind.DEFINE and dice.random() < 0.5:
            self._batch.append(symbol, kind, 0, dice.getrandbits(16), *(dice.getrandbits(60) for _ in range(5)))
            return
        if dice.random() < 0.3:
            self._update_id += dice.choice([1, 1, 1, 2, 1000])
        update_id = self._update_id if dice.random() > 0.001 else dice.choice([0, self._update_id - 1, 2**64 - 1])
        quantity = dice.choice([0, 0, 1, 5, dice.choice(_EDGES), dice.getrandbits(40)])
        self._batch.append(symbol, kind, dice.choice([0, 0, Flag.EVENT_END, 255]), dice.getrandbits(16), update_id,
                           self._price(), quantity, dice.getrandbits(63), dice.getrandbits(63))  # fmt: skip

    def _snapshot(self) -> None:
        symbol = self._first + self._dice.randrange(SYMBOLS // 2 + 2)
        self._batch.append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, self._update_id)
        for _ in range(self._dice.randrange(26)):
            self._batch.append(symbol, self._dice.randrange(2), Flag.SNAPSHOT, 0, self._update_id, self._price(),
                               self._dice.randrange(1, 9))  # fmt: skip
        self._batch.append(symbol, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, self._update_id)

    def packet(self) -> bytes:
        """The next one, of either channel; now and then it has been started anew, or has skipped some."""
        dice, batch = self._dice, self._batch
        batch.clear()
        if dice.random() < 0.001:
            self._epoch += 1
            self._encoder = Encoder(1, self._stream, self._epoch)
        channel = Channel.INCREMENTAL_CHANNEL if dice.random() < 0.8 else Channel.SNAPSHOT_CHANNEL
        if dice.random() < (0.02 if channel == Channel.INCREMENTAL_CHANNEL else 0.9):
            self._snapshot()
        else:
            for _ in range(dice.randint(1, 29)):
                self._record()
        (made,) = self._encoder.encode(batch, channel)
        return made


def _check(engine: Engine, view: MarketView) -> None:
    """Each book holds as many levels as it says, in order; what readers see is in order too."""
    for symbol in range(SYMBOLS):
        bids, asks = engine.books.levels(symbol, Kind.BID), engine.books.levels(symbol, Kind.ASK)
        _, shown_bids, shown_asks = view.depth(symbol)
        assert engine.books.count(symbol) == (len(bids), len(asks))
        assert engine.books.top(symbol) == (*(bids[0] if bids else (None,) * 2), *(asks[0] if asks else (None,) * 2))
        for levels in (bids, shown_bids):
            assert all(better[0] > worse[0] for better, worse in pairwise(levels))
        for levels in (asks, shown_asks):
            assert all(better[0] < worse[0] for better, worse in pairwise(levels))
        view.symbol(symbol)


def apply(dice: random.Random, count: int) -> Iterator[Counter[str]]:
    """Give `count` packets to engines, on two lines that lose, repeat and reorder; yields what became of them so far.

    Raises AssertionError when a book contradicts itself.
    """
    found: Counter[str] = Counter()
    left = count
    while left:
        life = min(left, _LIFE)
        found += _live(dice, life)
        left -= life
        yield found


def _live(dice: random.Random, count: int) -> Counter[str]:
    publishers = [_Publisher(dice, stream, 1_700_000_000) for stream in (1, 2)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market"
        books = Books(SYMBOLS, Arena(_BOOKS_BYTES, "off"), leave=_LEFT_BYTES)
        engine = Engine(books, MarketWriter(path, SYMBOLS), arena=Arena(memory_bytes(_HISTORY), "off"),
                        history=_HISTORY, lines=2, gap_timeout=0, batch=dice.randint(1, 64), takeover=0)  # fmt: skip
        view = MarketView(path)
        late: list[tuple[bytes, int]] = []
        for number in range(1, count + 1):
            made = dice.choice(publishers).packet()
            for line in range(2):
                if dice.random() < 0.95:
                    engine.process(made, line)
                elif dice.random() < 0.5:
                    late.append((made, line))
            if late and dice.random() < 0.05:
                engine.process(*late.pop(dice.randrange(len(late))))
            if dice.random() < 0.01:
                engine.check_holes()
            if number % _LOOK_EVERY == 0:
                _check(engine, view)
        counted = Counter(engine.counters())
        faults = sum(engine.faults().values())
    assert faults == 0, "a packet was made wrong"
    del counted["nodes_total"], counted["nodes_used"]
    return Counter({name: value for name, value in counted.items() if "line_" not in name} | {"given": count})
