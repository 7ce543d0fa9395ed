"""The follower of every venue: one state machine; what differs between venues is their `Venue` and its rule.

A book is IDLE without a connection. With one it is AWAITING a snapshot. Where the snapshot is fetched by REST, events
are buffered meanwhile, and the book that it makes is UNCHAINED until an event continues it: only that proves the two
fit. Where the snapshot comes in the stream, events before it say nothing, and the book is LIVE with it. An event that
doesn't continue the book, a level that can't be held, a wrong checksum: AWAITING again, for that symbol only.

A follower does no input or output. It is told what came (`connected`, `message`, `snapshot`, `disconnected`) and that
time goes by (`look`), appends records to its sink's batch, and leaves in `wants` what must be done about it; sockets,
clocks and retries live in `wirebook.feed`. The message that just continues a live book, nearly every one, is taken by
`wirebook.core.decode.chain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from wirebook.core.decode.chain import ChainFollower, Phase
from wirebook.core.decode.sequence import Verdict, may_follow
from wirebook.core.wire.records import Flag, Kind, Reason
from wirebook.venues.base import (
    UNNUMBERED,
    Counters,
    Depth,
    Instrument,
    Leaving,
    MalformedError,
    Part,
    Refused,
    Several,
    Sink,
    Snapshot,
    Status,
    Subscribed,
    Unknown,
    UnrepresentableError,
    Venue,
    Want,
    WantDefine,
    WantLeave,
    WantLog,
    WantResubscribe,
    WantSnapshot,
    scaled,
)
from wirebook.venues.checksum import TextBook
from wirebook.venues.fields import cut
from wirebook.venues.liveness import SUBSCRIBED_SECONDS, Marked, doubts
from wirebook.venues.rescale import Level, fitting, unfit
from wirebook.venues.span import COUNT_SECONDS, RENEW_SECONDS, Span, told

_MOST_BUFFERED = 10_000
"""Messages held for one symbol while its snapshot is awaited, 16 minutes at 100 ms. Beyond it buffering starts anew."""

_MOST_SEARCHED = 32
"""Unreadable messages between two looks that are searched for the books' names."""

_MARKS = 3
"""Records beside the levels: two before a snapshot's, one after any."""

_Row = tuple[Kind, int, int]
"""Side, price, quantity: a level in the instrument's integers."""


class _Track(Marked):
    """One instrument's place in its sequence, and what else there is to know until it is live."""

    texts: TextBook | None
    """The book as the venue spelled it, while the venue sends checksums."""

    def __init__(self, instrument: Instrument, depth: int | None) -> None:
        super().__init__(instrument.id)
        self.instrument = instrument
        self.depth = depth
        """Levels a side that the venue keeps us told of, where it leaves the truncation to us."""
        self.asked = False
        """The snapshot has been asked for, by more than the subscription."""
        self.broken = False
        """It was live and lost its chain: becoming live again is a resync."""
        self.buffer: list[tuple[bytes, int]] = []
        """(message, receive time) since the subscription, while there is no snapshot."""
        self.span: Span | None = None
        """Of its snapshot; None when both sides are known whole."""
        self.count_due = 0.0
        """When to count again how much of it is left, time.monotonic."""
        self.renew_due = 0.0
        """When another snapshot may be asked for because of it."""
        self.asked_at = 0
        """The book's id when a snapshot was asked for that is to replace it."""
        self.renewal: Snapshot | None = None
        """That snapshot, while the book's events haven't come as far."""
        self.unfit: list[Level] = []
        """Levels of events that the instrument's decimals don't hold: the next snapshot's have to."""
        self.refused = b""
        """The last event that broke the chain. It is buffered for the next snapshot, but not for the one after: an
        event with an absurd id would keep the book stale for ever."""


class _Event(NamedTuple):
    """What the follower needs of an event, whichever decoder it came from."""

    first: int
    last: int
    previous: int | None
    exchange_ns: int
    raw: bytes
    receive_ns: int


class BookFollower(ChainFollower):
    """Keeps the books of one connection in sequence, by the rule of its venue.

    Every method is to be called from one thread. `message` is the steady state's; it never raises for bad input.
    """

    sink: Sink

    def __init__(self, venue: Venue, instruments: Sequence[Instrument], sink: Sink) -> None:
        self._tracks = {instrument.id: _Track(instrument, venue.truncate) for instrument in instruments}
        super().__init__(venue.rule, [self._tracks[one.id] for one in instruments], venue.scanner(instruments), sink)
        self.instruments = {instrument.id: instrument for instrument in instruments}
        self.wants: list[Want] = []
        """What is to be done; the caller takes them out."""
        self.live = 0
        """How many books are whole and in sequence."""
        self._venue = venue
        self._counters = Counters()
        self._by_name = {instrument.name: self._tracks[instrument.id] for instrument in instruments}
        self.halts: dict[str | None, str] = {}
        """Instruments whose trading isn't as usual, and what the venue calls that; None is all of the venue."""
        self._renewed: list[_Track] = []
        """Those whose next snapshot is there."""
        self._buffered = 0
        """Events that were kept for a snapshot."""
        self._unreadable = 0
        """Messages since the last look."""
        self._next: int | None = None
        """The number of the connection's next message, where the venue numbers them."""

    @property
    def usable(self) -> int:
        """How many events and snapshots of books could be used until now, or are kept for a snapshot to come."""
        return self.updates + self._counters.snapshots + self._buffered

    @property
    def counters(self) -> Counters:
        """What was seen until now."""
        return replace(self._counters, messages=self.messages, updates=self.updates)

    # ---- what the connection tells ----

    def connected(self) -> None:
        """Await every instrument's snapshot: subscribing brings it, or it is asked for."""
        self._next = None
        for track in self._tracks.values():
            track.phase = Phase.AWAITING
            track.asked = False
            if not self._venue.snapshots_in_band:
                self._ask(track)

    def disconnected(self, reason: int, receive_ns: int) -> None:
        """Mark every book stale; nothing is kept of the lost connection's sequence."""
        for track in self._tracks.values():
            self._leave(track, reason, receive_ns)
            track.phase = Phase.IDLE
            track.buffer.clear()

    def awaits(self, symbol: int) -> bool:
        """Whether a snapshot of this symbol id is still of use."""
        track = self._tracks[symbol]
        return track.phase == Phase.AWAITING or (track.kept is not None and track.renewal is None)

    def renew(self, symbol: int) -> None:
        """A snapshot was asked for that is to replace this symbol id's book, if it is live."""
        track = self._tracks[symbol]
        if track.phase == Phase.LIVE:
            track.kept, track.renewal, track.asked_at = [], None, track.at

    def settle(self, receive_ns: int) -> None:
        """Replace the books whose new snapshot is there, and whose events have come as far."""
        for track in [track for track in self._renewed if track.renewal is None or track.at > track.renewal.last]:
            self._renewed.remove(track)
            if track.renewal is not None:
                self._replace(track, track.renewal, receive_ns)

    def look(self, now: float, receive_ns: int) -> None:
        """Resync the books that have nothing to show for being live at `now`, time.monotonic: `liveness` says when.

        To be called some times a second.
        """
        self._unreadable = 0
        for chain, reason, text in doubts(self._tracks.values(), now, self._venue.book_seconds):
            track = self._tracks[chain.symbol]
            name = track.instrument.name
            self._say(f"{reason.name} {name}", f"{name}: {text}: its book is stale until a new snapshot")
            self._counters.doubted += 1
            self._lose(track, reason, receive_ns)
        for track in self._tracks.values():
            if track.phase == Phase.LIVE:
                self._look_at_crossing(track, now, receive_ns)
            else:
                track.crossed_since = None
                self._look_for_an_event(track, now)
        if self._renewed:
            self.settle(receive_ns)
        if self._venue.snapshot_levels is not None:
            for track in self._tracks.values():
                if track.span is not None and now >= track.renew_due and track.phase == Phase.LIVE:
                    self._look_at_span(track, track.span, now)

    def _look_at_crossing(self, track: _Track, now: float, receive_ns: int) -> None:
        """A book that stays crossed is stale, and asked for once more: it may be one level that is wrong.

        If the venue says the same again it is followed as it is, and live as soon as it isn't crossed any more.
        """
        symbol, books, name = track.instrument.id, self.sink.books, track.instrument.name
        crossed = books.crossed(symbol)
        seconds = track.crosses(crossed, now)
        if track.crossed:
            # What waits to be sent isn't in the books yet.
            if not crossed and not self.sink.batch:
                track.crossed = False
                self.live += 1
                books.snapshot(symbol, self.sink.batch, stale=True)
                self.sink.commit(symbol)
        elif seconds > self._venue.crossed_seconds:
            self._counters.crossed += 1
            self._say(f"crossed {name}", f"{name}: crossed or locked for {seconds:.1f} s: its book is stale")
            self._lose(track, Reason.CROSSED, receive_ns)
            track.crossed = True

    def _look_for_an_event(self, track: _Track, now: float) -> None:
        """Name a book that was subscribed to, and has a snapshot, but gets no event."""
        if track.phase == Phase.UNCHAINED and track.pulse is not None and now - track.pulse.at > SUBSCRIBED_SECONDS:
            name = track.instrument.name
            self._say(f"no event {name}", f"{name}: subscribed to, and no event of its book has come since")

    def _look_at_span(self, track: _Track, span: Span, now: float) -> None:
        """Ask for another snapshot before the price comes to the edge of the last one."""
        if track.kept is not None:
            if len(track.kept) > _MOST_BUFFERED:
                self._forget_renewal(track)
            return
        symbol, books = track.instrument.id, self.sink.books
        bid, _, ask, _ = books.top(symbol)
        if now < track.count_due and not span.has_moved(bid, ask):
            return
        track.count_due = now + COUNT_SECONDS
        if span.nears(*books.within(symbol, max(span.least_bids, span.least_asks))):
            track.renew_due = now + RENEW_SECONDS
            self.renew(symbol)
            self.wants.append(WantSnapshot(symbol, renewal=True))

    def snapshot(self, symbol: int, body: bytes, receive_ns: int) -> None:
        """Apply a REST snapshot, then the buffered events that continue it."""
        track = self._tracks[symbol]
        if not self.awaits(symbol):
            return  # the connection went away meanwhile, or the snapshot was not asked for
        try:
            message = self._venue.decode(body)
            if not isinstance(message, Snapshot):
                raise MalformedError(f"not a snapshot: {cut(body)}")
        except MalformedError as error:
            self._counters.malformed += 1
            self._say(
                f"snapshot {symbol}", f"{track.instrument.name}: the snapshot can't be used ({error}); asking again"
            )
            if track.phase == Phase.AWAITING:
                self._ask(track)
            else:
                self._forget_renewal(track)
            return
        self._apply_snapshot(track, message, receive_ns)

    def unreadable(self, what: str, raw: bytes, receive_ns: int) -> None:
        """Something came that is no text: counted and treated as a message that can't be decoded."""
        self.messages += 1
        self._malformed(MalformedError(what), raw, receive_ns)

    # ---- what a message says ----

    def other(self, raw: bytes, receive_ns: int) -> None:
        """Apply, buffer or drop one message; whatever is wrong with it is counted, and logged once per cause."""
        batch, scanner = self.sink.batch, self.scanner
        mark = len(batch)
        if scanner is not None and scanner.scan(raw, batch, receive_ns):
            event = _Event(scanner.first, scanner.last, scanner.previous, scanner.exchange_ns, raw, receive_ns)
            track = self._tracks[scanner.symbol]
            if self._fits(track, event, mark):
                track.texts = None  # no scanner takes a message with a checksum: there is nothing to check any more
                self._advance(track, event)
            return
        try:
            message = self._venue.decode(raw)
        except MalformedError as error:
            self._malformed(error, raw, receive_ns)
            return
        if not isinstance(message, Several):
            self._part(message, raw, receive_ns)
        elif message.number is None or self._follows(message.number, receive_ns):
            for part in message.parts:
                self._part(part, raw, receive_ns)

    def _part(self, part: Part, raw: bytes, receive_ns: int) -> None:
        if isinstance(part, Depth):
            self._depth(part, raw, receive_ns)
        elif isinstance(part, Snapshot):
            track = self._only() if part.instrument is None else self._known(part.instrument)
            if track is not None:
                self._apply_snapshot(track, part, receive_ns)
        elif isinstance(part, Subscribed):
            track = self._by_name.get(part.instrument)
            if track is not None:
                track.depth = part.depth
        elif isinstance(part, Refused):
            self._counters.refused += 1
            self._say(f"refused {cut(part.text)}", f"the venue refused a request: {cut(part.text)}")
        elif isinstance(part, Leaving):
            self._say(
                f"leaving {part.text}", f"the venue will close this connection: {part.text}; making its successor"
            )
            self.wants.append(WantLeave())
        elif isinstance(part, Status):
            self._status(part)
        elif isinstance(part, Unknown):
            self._counters.unknown += 1
            self._say(f"unknown {part.kind}", f"an unknown kind of message is counted and ignored: {cut(raw)}")
            self._unread(raw)

    def _status(self, status: Status) -> None:
        """Say that an instrument's trading has changed, and keep what isn't as usual."""
        name = status.instrument
        if name is not None and name not in self._by_name:
            return
        before = self.halts.get(name)
        if (status.normal and before is None) or before == status.state:
            return
        if status.normal:
            del self.halts[name]
        else:
            self.halts[name] = status.state
        self._say(f"status {name} {status.state}", f'{name or "the venue"}: its trading is "{status.state}" now')

    def _malformed(self, error: MalformedError, raw: bytes, receive_ns: int) -> None:
        self._counters.malformed += 1
        self._say("malformed", f"a message that can't be decoded ({error}) is counted and ignored: {cut(raw)}")
        if not self._venue.numbered:
            # It may have been any book's event, and no number of a later one will show that it is missing.
            self._lose_all(Reason.UNREADABLE, receive_ns)
        else:
            self._unread(raw)

    def _unread(self, raw: bytes) -> None:
        """The message may have been the event of each book that it names, or of any if it names none."""
        self._unreadable += 1
        live = [track for track in self._tracks.values() if track.phase == Phase.LIVE]
        # To look for many names in each of very many messages would take all the time that there is.
        named = self._unreadable <= _MOST_SEARCHED and [each for each in live if each.instrument.name.encode() in raw]
        for track in named or live:
            track.unread = track.events

    def _known(self, name: str) -> _Track | None:
        track = self._by_name.get(name)
        if track is None:
            self._counters.unknown += 1
            self._say(f"instrument {name}", f"events of {name} were not asked for and are ignored")
        return track

    def _only(self) -> _Track | None:
        """Of whom a snapshot is that doesn't name its instrument: a REST answer in a capture."""
        if len(self._tracks) == 1:
            return next(iter(self._tracks.values()))
        self._counters.unknown += 1
        self._say("snapshot", "a snapshot that doesn't name its instrument can't be used with several instruments")
        return None

    # ---- sequence ----

    def _follows(self, number: int, receive_ns: int) -> bool:
        """Judge a message by its number on the connection; a gap makes every book of the connection suspect."""
        expected, self._next = self._next, number + 1
        if expected is None or number == expected:
            return True
        if number == expected - 1:
            self._next = expected
            self._counters.repeats += 1
            return False
        if self.live:
            self._counters.gaps += 1
            self._say("number", f"gap: message {number} came where {expected} was due; every book is resynced")
        self._lose_all(Reason.GAP, receive_ns)
        # One from before can't be of use any more; a later one may hold a whole snapshot.
        return number > expected

    def _fits(self, track: _Track, event: _Event, mark: int) -> bool:
        """Judge an event by the venue's rule, whose records may be in the batch from `mark` on.

        If it isn't to be applied now, they are taken out, and all that is to be done about the event is done.
        """
        verdict = Verdict.BREAK
        if track.phase == Phase.UNCHAINED or track.phase == Phase.LIVE:
            chained = track.phase == Phase.LIVE
            verdict = self._venue.rule.judge(track.at, chained, event.first, event.last, event.previous)
            if verdict is Verdict.APPLY and (event.last == UNNUMBERED or may_follow(track.at, event.last)):
                return True
        self.sink.batch.truncate(mark)
        if verdict is Verdict.REPEAT:
            self._counters.repeats += 1
            track.repeated = track.events
            return False
        again = False
        if track.phase == Phase.UNCHAINED or track.phase == Phase.LIVE:
            # One that jumps is of no use to any snapshot.
            again = track.refused == event.raw or verdict is Verdict.APPLY
            track.refused = event.raw
            self._broken(track, event)
        if track.phase != Phase.AWAITING:
            return False
        if self._venue.snapshots_in_band:
            if not track.asked:  # subscribing should have brought the snapshot before any event: it was lost
                self._ask(track)
        elif not again:
            if len(track.buffer) >= _MOST_BUFFERED:
                track.buffer.clear()
            track.buffer.append((event.raw, event.receive_ns))
            self._buffered += 1
        return False

    def _depth(self, message: Depth, raw: bytes, receive_ns: int) -> None:
        """The slow path of a depth event: the same records as the scanner's, or an error that says why not."""
        track = self._known(message.instrument)
        if track is None:
            return
        event = _Event(message.first, message.last, message.previous, message.exchange_ns, raw, receive_ns)
        if not self._fits(track, event, len(self.sink.batch)):
            return
        event = event._replace(last=_id(message, track))
        try:
            rows = self._rows(track.instrument, message)
        except (MalformedError, UnrepresentableError) as error:
            if isinstance(error, UnrepresentableError):
                track.unfit = unfit(track.instrument, (*message.bids, *message.asks))
            self._refuse(track, error, receive_ns)
            return
        if message.checksum is not None and track.texts is not None:
            if not self._checked(track, track.texts, message, rows, receive_ns):
                return
        elif message.last == UNNUMBERED:
            self._broken(track, event)  # neither an id nor a checksum says that it continues the book
            return
        else:
            track.texts = None
        self._append(track, rows, Flag(0), event.last, event.exchange_ns, receive_ns)
        if not rows:
            self._whole(track, Flag(0), event.last, event.exchange_ns, receive_ns)
        self._advance(track, event)

    def _advance(self, track: _Track, event: _Event) -> None:
        """The event continues the book; if it is the first one, it proves the snapshot right."""
        track.at = event.last
        track.events += 1
        self.updates += 1
        if track.kept is not None:
            track.kept.append((event.raw, event.receive_ns))
        if track.phase == Phase.UNCHAINED:
            self._enter(track, Flag(0), event.last, event.exchange_ns, event.receive_ns)
        self.sink.commit(track.instrument.id)

    def _apply_snapshot(self, track: _Track, snapshot: Snapshot, receive_ns: int) -> None:
        """Replace the book. One in the stream always does; one by REST only if it has been asked for."""
        in_band = self._venue.snapshots_in_band
        if not in_band and track.kept is not None and track.phase == Phase.LIVE:
            self._renew(track, snapshot, receive_ns)
            return
        if track.phase == Phase.IDLE or (not in_band and track.phase != Phase.AWAITING):
            return
        last = _id(snapshot, track)
        try:
            rows = self._rescaled(track, snapshot, receive_ns)
        except (MalformedError, UnrepresentableError) as error:
            self._refuse(track, error, receive_ns)
            return
        track.texts = None
        if snapshot.checksum is not None:
            track.texts = TextBook()
            if not self._checked(track, track.texts, snapshot, rows, receive_ns):
                return
        self._begin_book(track, rows, last, snapshot.exchange_ns, receive_ns)
        if in_band:
            self._enter(track, Flag.SNAPSHOT, last, snapshot.exchange_ns, receive_ns)
        else:
            track.phase = Phase.UNCHAINED
        self.sink.commit(track.instrument.id)
        buffered, track.buffer = track.buffer, []
        for raw, buffered_ns in buffered:
            self.other(raw, buffered_ns)

    def _begin_book(self, track: _Track, rows: list[_Row], last: int, exchange_ns: int, receive_ns: int) -> None:
        """Append a snapshot's records, all but the last, and note how far it tells of the book."""
        append, symbol = self.sink.batch.append, track.instrument.id
        append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, last, 0, 0, exchange_ns, receive_ns)
        bids, asks = ([price for side, price, _ in rows if side == kind] for kind in (Kind.BID, Kind.ASK))
        track.crossed = track.crossed and bool(bids and asks) and max(bids) >= min(asks)
        span = told(bids, asks, self._venue.snapshot_levels)
        track.span = None if span.whole else span
        if not span.whole:
            edges = (span.bid_edge is not None) | (span.ask_edge is not None) << 1
            at = span.bid_edge or 0, span.ask_edge or 0
            append(symbol, Kind.SPAN, Flag.SNAPSHOT, edges, last, *at, exchange_ns, receive_ns)
        self._append(track, rows, Flag.SNAPSHOT, last, exchange_ns, receive_ns)
        self._counters.snapshots += 1
        track.at = last

    # ---- a live book's next snapshot ----

    def _renew(self, track: _Track, snapshot: Snapshot, receive_ns: int) -> None:
        """The snapshot that is to replace a live book: at once, or when an event is there that it doesn't hold."""
        if snapshot.last < track.asked_at:
            self._counters.old_snapshots += 1  # a cache's: the events after it weren't kept
            self._forget_renewal(track)
            return
        track.renewal = snapshot
        self._renewed.append(track)
        self.settle(receive_ns)

    def _replace(self, track: _Track, snapshot: Snapshot, receive_ns: int) -> None:
        """Make the book anew from the snapshot and from the events that were kept since it was asked for."""
        kept = track.kept or []
        self._forget_renewal(track)
        try:
            rows = self._rows(track.instrument, snapshot)
        except (MalformedError, UnrepresentableError) as error:
            self._refuse(track, error, receive_ns)
            return
        self._counters.renewals += 1
        self.live -= not track.crossed
        track.phase = Phase.UNCHAINED
        self._begin_book(track, rows, snapshot.last, snapshot.exchange_ns, receive_ns)
        self.sink.commit(track.instrument.id)
        for raw, kept_ns in kept:
            self.other(raw, kept_ns)

    def _forget_renewal(self, track: _Track) -> None:
        track.kept = track.renewal = None

    # ---- other decimals ----

    def _rescaled(self, track: _Track, snapshot: Snapshot, receive_ns: int) -> list[_Row]:
        """The snapshot's levels in integers, of other decimals where these don't hold them. Raises as `_rows` does."""
        if not track.unfit:
            try:
                return self._rows(track.instrument, snapshot)
            except UnrepresentableError:
                pass
        scale = fitting(track.instrument, [*snapshot.bids, *snapshot.asks, *track.unfit])
        if scale is not None and scale != track.instrument[2:]:
            self._redefine(track, track.instrument._replace(**scale._asdict()), receive_ns)
        if scale is not None:
            track.unfit = []
        return self._rows(track.instrument, snapshot)

    def _redefine(self, track: _Track, instrument: Instrument, receive_ns: int) -> None:
        """Readers are told of other decimals while the book is stale, just before its levels come in them."""
        self._leave(track, Reason.RESYNC, receive_ns)
        track.phase = Phase.AWAITING
        track.instrument = instrument
        self.instruments[instrument.id] = instrument
        self.scanner = self._venue.scanner(list(self.instruments.values()))
        name = f"{self._venue.name}:{instrument.name}"
        self.sink.batch.define(instrument.id, name, instrument.price_decimals, instrument.quantity_decimals)
        self.wants.append(WantDefine(instrument))
        self._say(
            f"scale {instrument.name}",
            f"{instrument.name}: the venue's prices or quantities have other decimals than defined:"
            f" {instrument.price_decimals} and {instrument.quantity_decimals} from now on",
        )

    # ---- states ----

    def _enter(self, track: _Track, flags: Flag, last: int, exchange_ns: int, receive_ns: int) -> None:
        """The book is whole and in sequence; live, unless it was crossed for too long and is so still."""
        if track.crossed:  # its CLEAR has made it stale for another reason
            self._stale(track, Reason.CROSSED, receive_ns)
        else:
            self.live += track.phase != Phase.LIVE
            self._whole(track, flags, last, exchange_ns, receive_ns)
        track.phase = Phase.LIVE
        if track.broken:
            track.broken = False
            self._counters.resyncs += 1

    def _leave(self, track: _Track, reason: int, receive_ns: int) -> None:
        """Readers are told that the book is stale, if they have one."""
        if track.phase in (Phase.LIVE, Phase.UNCHAINED):
            self.live -= track.phase == Phase.LIVE and not track.crossed
            self._forget_renewal(track)
            self._stale(track, reason, receive_ns)
            self.sink.commit(track.instrument.id)

    def _stale(self, track: _Track, reason: int, receive_ns: int) -> None:
        self.sink.batch.append(track.instrument.id, Kind.STALE, Flag.EVENT_END, reason, track.at, 0, 0, 0, receive_ns)

    def _lose(self, track: _Track, reason: int, receive_ns: int) -> None:
        """The book can't be continued: stale at once, and a new snapshot, for this symbol only."""
        track.broken = track.broken or track.phase == Phase.LIVE
        self._leave(track, reason, receive_ns)
        track.phase = Phase.AWAITING
        self._ask(track)

    def _ask(self, track: _Track) -> None:
        track.asked = True
        symbol = track.instrument.id
        self.wants.append(WantResubscribe(symbol) if self._venue.snapshots_in_band else WantSnapshot(symbol))

    def _lose_all(self, reason: int, receive_ns: int) -> None:
        for track in self._tracks.values():
            if track.phase == Phase.LIVE:
                self._lose(track, reason, receive_ns)

    def _broken(self, track: _Track, event: _Event) -> None:
        """The event doesn't continue the book."""
        if track.phase == Phase.LIVE:
            self._counters.gaps += 1
            if event.previous is not None:
                what = f"continues {event.previous}"
            else:
                what = "has none" if event.first == UNNUMBERED else f"begins at {event.first}"
            name = track.instrument.name
            self._say(f"gap {name}", f"{name}: gap after id {track.at}, the next event {what}: resync")
        else:
            self._counters.old_snapshots += 1
        self._lose(track, Reason.GAP, event.receive_ns)

    def _refuse(self, track: _Track, error: MalformedError | UnrepresentableError, receive_ns: int) -> None:
        """A level that can't be held exactly would make the book wrong: it is stale until a new snapshot."""
        if isinstance(error, UnrepresentableError):
            self._counters.unrepresentable += 1
        else:
            self._counters.malformed += 1
        name = track.instrument.name
        self._say(
            f"level {name}", f"{name}: a level can't be held exactly ({error}); its book is stale until a new snapshot"
        )
        self._lose(track, Reason.GAP, receive_ns)

    # ---- records ----

    def _rows(self, instrument: Instrument, message: Depth | Snapshot) -> list[_Row]:
        """The message's levels in integers. Raises MalformedError and UnrepresentableError."""
        price_decimals, quantity_decimals = instrument.price_decimals, instrument.quantity_decimals
        rows = [
            (kind, scaled(price, price_decimals), scaled(quantity, quantity_decimals))
            for kind, side in ((Kind.BID, message.bids), (Kind.ASK, message.asks))
            for price, quantity in side
        ]
        batch = self.sink.batch
        most = len(rows) if self._venue.truncate is None else 2 * len(rows)  # each new level may push another one out
        if most > batch.capacity - len(batch) - _MARKS:
            raise UnrepresentableError(f"{len(rows)} levels in one message are more than {batch.capacity} records")
        return rows

    def _checked(
        self, track: _Track, texts: TextBook, message: Depth | Snapshot, rows: list[_Row], receive_ns: int
    ) -> bool:
        """Whether the book has the message's checksum after it; if not, it is lost. Truncation adds to `rows`."""
        for (kind, price, quantity), text in zip(rows, (*message.bids, *message.asks), strict=True):
            texts.side(kind).set(price, quantity, (text[0], text[1]))
        if track.depth is not None:
            for kind in (Kind.BID, Kind.ASK):
                rows += [(kind, price, 0) for price in texts.side(kind).truncate(track.depth)]
        if self._venue.checksum(texts) == message.checksum:
            self._counters.checksum_ok += 1
            return True
        self._counters.checksum_bad += 1
        name = track.instrument.name
        self._say(f"checksum {name}", f"{name}: wrong checksum after message {track.at + 1}: resync")
        self._lose(track, Reason.CHECKSUM, receive_ns)
        return False

    def _append(
        self, track: _Track, rows: list[_Row], flags: Flag, last: int, exchange_ns: int, receive_ns: int
    ) -> None:
        """Levels as records; the last one of an incremental event ends it."""
        append, symbol = self.sink.batch.append, track.instrument.id
        for left, (kind, price, quantity) in enumerate(rows, start=1 - len(rows)):
            end = flags or (Flag.EVENT_END if left == 0 else 0)
            append(symbol, kind, end, 0, last, price, quantity, exchange_ns, receive_ns)

    def _whole(self, track: _Track, flags: Flag, last: int, exchange_ns: int, receive_ns: int) -> None:
        self.sink.batch.append(
            track.instrument.id, Kind.LIVE, flags | Flag.EVENT_END, 0, last, 0, 0, exchange_ns, receive_ns
        )

    def _say(self, cause: str, text: str) -> None:
        self.wants.append(WantLog(cause, text))


def _id(message: Depth | Snapshot, track: _Track) -> int:
    """The book's update id after a message.

    Where the venue has none it is the venue's time in ns: that goes on from one connection to the next.
    """
    return max(track.at + 1, message.exchange_ns) if message.last == UNNUMBERED else message.last
