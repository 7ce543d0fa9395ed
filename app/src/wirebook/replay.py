"""`wirebook replay`: rebuild the books of a capture without a network, and count what went well and what didn't.

The same follower and the same books as in the live engine. Where the capture holds tickers (best bid and ask with an
update id), each book is compared with the ticker of the very same id, price and quantity of both sides.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path

from wirebook import capture
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.wire.records import Batch
from wirebook.venues.base import Instrument, Ticker, UnrepresentableError, Venue, WantLog, parts, scaled
from wirebook.venues.follower import BookFollower
from wirebook.venues.learn import learn

_BATCH_RECORDS = 1 << 17
_ARENA_BYTES = 256 << 20
_REMEMBERED = 4096
"""Ids for which a book waits for its ticker or a ticker for its book; they are some messages apart at most."""

Top = tuple[int | None, int | None, int | None, int | None]


@dataclass(frozen=True)
class Report:
    """What `wirebook replay --json` prints."""

    messages: int
    """Lines of the capture."""
    updates: int
    """Incremental events applied."""
    snapshots: int
    gaps: int
    resyncs: int
    checksum_ok: int
    checksum_bad: int
    bbo_equal: int
    """Events after which the best bid and ask, price and quantity, were those of the ticker with the same id."""
    bbo_differ: int
    crossed: int
    """Events after which a live book's best bid was not below its best ask."""
    deletes_of_absent: int


class _Pairs:
    """Compares what two sources say about the same id, whichever comes first."""

    def __init__(self) -> None:
        self.equal = 0
        self.differ = 0
        self._waiting: tuple[OrderedDict[tuple[int, int], Top], ...] = (OrderedDict(), OrderedDict())

    def say(self, source: int, key: tuple[int, int], top: Top) -> None:
        other = self._waiting[1 - source].pop(key, None)
        if other is not None:
            self.equal += other == top
            self.differ += other != top
            return
        mine = self._waiting[source]
        mine[key] = top
        if len(mine) > _REMEMBERED:
            mine.popitem(last=False)


class _Sink:
    """Applies every event at once and notes the best prices after it."""

    def __init__(self, books: Books, pairs: _Pairs) -> None:
        self.batch = Batch(_BATCH_RECORDS)
        self._books = books
        self._pairs = pairs

    def commit(self, symbol: int, /) -> None:
        books = self._books
        books.apply(self.batch)
        self.batch.clear()
        if books.state(symbol) == State.LIVE:
            self._pairs.say(0, (symbol, books.update_id(symbol)), books.top(symbol))


def replay(venue: Venue, path: Path) -> tuple[Report, list[str]]:
    """Replay a capture; the report, and the lines a follower would have logged. Raises UserError for a bad capture."""
    learned = learn(venue, path)
    instruments = {
        name: Instrument(number, name, *scale) for number, (name, scale) in enumerate(learned.scales.items())
    }
    books = Books(len(instruments), Arena(_ARENA_BYTES, "off"))
    pairs = _Pairs()
    follower = BookFollower(venue, list(instruments.values()), _Sink(books, pairs))
    follower.connected()
    for receive_ns, raw in capture.read(path):
        follower.message(raw, receive_ns)
        for part in parts(venue.decode(raw)):
            if isinstance(part, Ticker) and part.instrument in instruments:
                instrument = instruments[part.instrument]
                pairs.say(1, (instrument.id, part.last), _ticker_top(part, instrument))
    counters, built = follower.counters, books.counters()
    report = Report(
        messages=counters.messages,
        updates=counters.updates,
        snapshots=counters.snapshots,
        gaps=counters.gaps,
        resyncs=counters.resyncs,
        checksum_ok=counters.checksum_ok,
        checksum_bad=counters.checksum_bad,
        bbo_equal=pairs.equal,
        bbo_differ=pairs.differ,
        crossed=built["crossed"],
        deletes_of_absent=built["deletes_of_absent"],
    )
    return report, [want.text for want in follower.wants if isinstance(want, WantLog)]


def _ticker_top(ticker: Ticker, instrument: Instrument) -> Top:
    """The ticker in the book's integers; a number that doesn't fit them differs from any book."""
    try:
        return (
            scaled(ticker.bid[0], instrument.price_decimals),
            scaled(ticker.bid[1], instrument.quantity_decimals),
            scaled(ticker.ask[0], instrument.price_decimals),
            scaled(ticker.ask[1], instrument.quantity_decimals),
        )
    except UnrepresentableError:
        return (None, None, None, None)


def table(report: Report) -> str:
    """The report for a person, a line per figure."""
    rows = asdict(report)
    width = max(map(len, rows))
    return "\n".join(f"{name.replace('_', ' '):{width}}  {value:>12,}" for name, value in rows.items())
