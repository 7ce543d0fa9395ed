"""`wirebook replay`: rebuild the books of a capture without a network, and count what went well and what didn't.

The same follower and the same books as in the live engine. Where the capture holds tickers (best bid and ask with an
update id), each book is compared with the ticker of the very same id, price and quantity of both sides.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections import Counter, OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path

from wirebook import traffic, venues
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books, State
from wirebook.core.wire.records import Batch, Reason
from wirebook.traffic import Mark
from wirebook.venues.base import (
    Counters,
    Ignored,
    Instrument,
    MalformedError,
    Message,
    Several,
    Snapshot,
    Ticker,
    UnrepresentableError,
    Venue,
    WantLog,
    WantSnapshot,
    parts,
    scaled,
)
from wirebook.venues.follower import BookFollower
from wirebook.venues.learn import learn

_BATCH_RECORDS = 1 << 17
_ARENA_BYTES = 256 << 20
_REMEMBERED = 4096
"""How many ids may wait: a book for its ticker, a ticker for its book. They are a few messages apart at most."""

Top = tuple[int | None, int | None, int | None, int | None]


@dataclass(frozen=True)
class Report:
    """What `wirebook replay --json` prints."""

    messages: int
    """Lines of the capture that a venue sent."""
    malformed: int
    """Messages that couldn't be read; they are skipped, as the live feed does."""
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
    out_of_span: int
    """Events after which the book was not to be used, since its best levels reached beyond what its snapshot told. A
    ticker that differs there is no difference: nobody could be wrong about it."""
    crossed: int
    """Events after which a live book's best bid was not below its best ask."""
    deletes_of_absent: int


class _Pairs:
    """Compares what two sources say about the same id, whichever comes first."""

    def __init__(self) -> None:
        self.equal = 0
        self.differ = 0
        self._waiting: tuple[OrderedDict[tuple[int, int], tuple[Top, bool]], ...] = (OrderedDict(), OrderedDict())

    def say(self, source: int, key: tuple[int, int], top: Top, *, sure: bool = True) -> None:
        """`sure` says that the two have to be equal."""
        other = self._waiting[1 - source].pop(key, None)
        if other is not None:
            self.equal += other[0] == top
            self.differ += other[0] != top and sure and other[1]
            return
        mine = self._waiting[source]
        mine[key] = top, sure
        if len(mine) > _REMEMBERED:
            mine.popitem(last=False)


class _Sink:
    """Applies every event at once and notes the best prices after it."""

    def __init__(self, books: Books, pairs: _Pairs) -> None:
        self.batch = Batch(_BATCH_RECORDS)
        self.books = books
        self.out_of_span = 0
        self._pairs = pairs

    def commit(self, symbol: int, /) -> None:
        books = self.books
        books.apply(self.batch)
        self.batch.clear()
        live = books.state(symbol) == State.LIVE
        beyond = books.reason(symbol) == Reason.OUT_OF_SPAN
        self.out_of_span += beyond
        if live or beyond:
            self._pairs.say(0, (symbol, books.update_id(symbol)), books.top(symbol), sure=live)


class _Connections:
    """The followers of a recording, one for each connection that it marks; without marks, a single one."""

    def __init__(self, venue: Venue, instruments: list[Instrument], sink: _Sink, books: Books) -> None:
        self.notes: dict[str, str] = {}
        """The first line of each cause that the followers would have logged."""
        self._venue = venue
        self._instruments = instruments
        self._sink = sink
        self._books = books
        self._made: list[BookFollower] = []
        self._up: dict[int, BookFollower] = {}
        self._begun: set[int] = set()
        """Connections whose beginning was recorded, so it is known what they follow."""
        self._current = 0
        self._marked = False
        self._kept: dict[int, bytes] = {}
        """Symbol id → a REST snapshot that came while the book was live and not yet known to be broken."""

    def mark(self, mark: Mark, now_ns: int) -> None:
        """What happened to a connection."""
        self._current = mark.connection
        self._marked = True
        if mark.kind == "connected":
            names = set(mark.details.get("symbols", ()))
            for number, follower in list(self._up.items()):
                if number == mark.connection or any(one.name in names for one in follower.instruments.values()):
                    self._end(number, now_ns)
            self._begin(mark.connection, [one for one in self._instruments if one.name in names])
            self._begun.add(mark.connection)
        elif mark.kind == "disconnected":
            self._end(mark.connection, now_ns)
        elif mark.kind == "request":
            for symbol, instrument in self._follower().instruments.items():
                if instrument.name == mark.details.get("symbol"):
                    self._follower().renew(symbol)
        elif mark.kind == "binary":
            self._follower().unreadable("a binary frame", b"", now_ns)

    def message(self, raw: bytes, message: Message, receive_ns: int) -> None:
        """A message, and what was decoded of it."""
        if not self._marked and isinstance(message, Several) and message.number == 0 and self._current in self._up:
            # from before there were marks: where messages are numbered, the first one says that a connection is new
            self._end(self._current, receive_ns)
        follower = self._follower()
        if isinstance(message, Snapshot) and not self._venue.snapshots_in_band:
            self._keep(follower, message, raw)
        follower.message(raw, receive_ns)
        follower.settle(receive_ns)
        if follower.wants:
            self._serve(follower, receive_ns)

    def counters(self) -> Counters:
        """The sums of all followers."""
        total: Counter[str] = Counter()
        for follower in self._made:
            total.update(asdict(follower.counters))
        return Counters(**total)

    def _follower(self) -> BookFollower:
        """The present connection's follower. If its beginning wasn't recorded, it may follow what no other does."""
        if self._current not in self._up:
            others = {symbol for number in self._begun & self._up.keys() for symbol in self._up[number].instruments}
            self._begin(self._current, [one for one in self._instruments if one.id not in others])
        return self._up[self._current]

    def _begin(self, number: int, instruments: list[Instrument]) -> None:
        follower = BookFollower(self._venue, instruments, self._sink)
        self._up[number] = follower
        self._made.append(follower)
        follower.connected()

    def _end(self, number: int, now_ns: int) -> None:
        follower = self._up.pop(number, None)
        if follower is not None:
            follower.disconnected(Reason.DISCONNECTED, now_ns)
            self._serve(follower, now_ns)

    def _keep(self, follower: BookFollower, snapshot: Snapshot, raw: bytes) -> None:
        """Without marks, a snapshot may come before the event that shows what it was asked for."""
        only = self._instruments[0].name if len(self._instruments) == 1 else None
        for symbol, instrument in follower.instruments.items():
            if (
                instrument.name == (snapshot.instrument or only)
                and not follower.awaits(symbol)
                and snapshot.last > self._books.update_id(symbol)
            ):
                self._kept[symbol] = raw

    def _serve(self, follower: BookFollower, receive_ns: int) -> None:
        wants, follower.wants = follower.wants, []
        for want in wants:
            if isinstance(want, WantLog):
                self.notes.setdefault(want.cause, want.text)
            elif isinstance(want, WantSnapshot) and want.symbol in self._kept:
                follower.snapshot(want.symbol, self._kept.pop(want.symbol), receive_ns)


def main(options: argparse.Namespace) -> int:
    """Print the report on the capture that the command line names."""
    report, notes = replay(venues.get(options.venue), options.capture)
    for note in notes:
        logging.getLogger(__name__).warning("%s", note)
    print(json.dumps(asdict(report)) if options.json else table(report))
    return 0


def replay(venue: Venue, path: Path) -> tuple[Report, list[str]]:
    """Replay a capture; the report, and the lines a follower would have logged. Raises UserError for a bad capture."""
    learned = learn(venue, path)
    instruments = {
        name: Instrument(number, name, *scale) for number, (name, scale) in enumerate(learned.scales.items())
    }
    books = Books(len(instruments), Arena(_ARENA_BYTES, "off"))
    pairs = _Pairs()
    sink = _Sink(books, pairs)
    connections = _Connections(venue, list(instruments.values()), sink, books)
    for receive_ns, raw in traffic.entries(path):
        mark = traffic.mark_of(raw)
        if mark is not None:
            connections.mark(mark, receive_ns)
            continue
        try:
            message = venue.decode(raw)
        except MalformedError:
            message = Ignored()  # the follower counts it
        connections.message(raw, message, receive_ns)
        for part in parts(message):
            if isinstance(part, Ticker) and part.instrument in instruments:
                instrument = instruments[part.instrument]
                pairs.say(1, (instrument.id, part.last), _ticker_top(part, instrument))
    counters, built = connections.counters(), books.counters()
    report = Report(
        messages=counters.messages,
        malformed=counters.malformed,
        updates=counters.updates,
        snapshots=counters.snapshots,
        gaps=counters.gaps,
        resyncs=counters.resyncs,
        checksum_ok=counters.checksum_ok,
        checksum_bad=counters.checksum_bad,
        bbo_equal=pairs.equal,
        bbo_differ=pairs.differ,
        out_of_span=sink.out_of_span,
        crossed=built["crossed"],
        deletes_of_absent=built["deletes_of_absent"],
    )
    return report, list(connections.notes.values())


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
