"""How books become whole, and when they no longer are: never wrong and LIVE at once.

Each snapshot says up to which incremental packet it holds the publisher's updates. From the first incremental packet of
a gapless run on, records of symbols that have no whole book are kept in the history. A snapshot becomes a LIVE book
when the run covers everything after it, with the kept records that are newer applied on top. Otherwise the next cycle
of the snapshot channel will do.
"""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from wirebook.core.base.memory cimport Arena
from wirebook.core.books.book cimport STATE_LIVE, Book, is_live
from wirebook.core.books.books cimport book_measure, book_stale, books_apply
from wirebook.core.engine.arbiter cimport BY_NAME, BY_SYMBOL, Arbiter
from wirebook.core.engine.publisher cimport Publisher
from wirebook.core.engine.streams cimport Source
from wirebook.core.wire.packet cimport Header
from wirebook.core.wire.records cimport (
    ASK, CLEAR, DEFINE, EVENT_END, HEARTBEAT, LIVE, NAME_BYTES, NO_REASON, POOL_EXHAUSTED, RESYNC, SPAN, STALE, SYMBOLS,
    Record,
)


def memory_bytes(uint32_t history):
    """What a Recovery takes of its arena."""
    return SYMBOLS * (1 + sizeof(Follow) + NAME_BYTES) + history * sizeof(Kept)


cdef class Recovery:
    """Follows the sources of the books that `publisher` shows; up to `history` records are kept in `arena`.

    A symbol belongs to the stream that `publications` (see `Arbiter`) have it in; without them, to the first that
    speaks of it. Its incrementals are applied as they come while its gate
    is open, and else come here. Whoever calls has applied all that came before.
    """

    def __cinit__(self, Publisher publisher not None, Arbiter arbiter not None, Arena arena not None,
                  uint32_t history, publications=None):
        assert sizeof(Kept) == 64
        self.books = publisher.books
        self.publisher = publisher
        self.arena = arena
        self.gates = <uint8_t*> arena.take(SYMBOLS)
        self.follows = <Follow*> arena.take(SYMBOLS * sizeof(Follow))
        self.history = <Kept*> arena.take(history * sizeof(Kept))
        self.history_size = history
        publisher.gates = self.gates
        self.arbiter = arbiter
        if publications is not None:
            self.names = <char*> arena.take(SYMBOLS * NAME_BYTES)
            for publication in publications:
                self._expect(publication)

    def _expect(self, publication):
        cdef uint32_t symbol, place
        cdef Source* source = self.arbiter.find_source(publication.venue, publication.stream, &place)
        cdef bytes encoded
        for number, name in publication.names.items():
            encoded = name.encode()
            if len(encoded) > NAME_BYTES:
                raise ValueError(f"{name} takes {len(encoded)} bytes, and there are {<int> NAME_BYTES}")
            symbol = number
            if symbol < self.books.set.symbols:
                self.follows[symbol].owner = source.gate
                memcpy(self.names + NAME_BYTES * <size_t> symbol, <const char*> encoded, len(encoded))

    cdef void special(self, Source* source, const Header* header, const Record* record) noexcept nogil:
        """An incremental record that is more, or less, than a level of a book in order."""
        cdef uint8_t gate = source.gate
        cdef uint32_t symbol = record.symbol
        if record.kind == HEARTBEAT:
            return
        if symbol >= self.books.set.symbols or record.kind > SPAN:
            books_apply(&self.books.set, record, 1)  # counts it
            return
        if not self.claim(source, symbol):
            return
        if record.kind <= ASK:
            self.keep(record, header.sequence)
        elif record.kind == CLEAR:
            if source.contested:
                self.follows[symbol].first_kept = 0
                self.follows[symbol].marked = header.sequence
                return
            # The publisher's own snapshot, in line with its incrementals, needs no other.
            self.gates[symbol] = gate
            self.follows[symbol].first_kept = 0
            if source.rebuilding == <int32_t> symbol:
                source.rebuilding = -1
            books_apply(&self.books.set, record, 1)
        elif record.kind == LIVE or record.kind == SPAN:
            # Without its CLEAR, because we came in between, it says nothing.
            if self.gates[symbol] == gate:
                books_apply(&self.books.set, record, 1)
        elif record.kind == STALE:
            self.gates[symbol] = 0
            self.follows[symbol].first_kept = 0
            self.follows[symbol].marked = header.sequence
            self.stale_marks += 1
            books_apply(&self.books.set, record, 1)
        else:
            self.define(source, record)

    cdef bint claim(self, Source* source, uint32_t symbol) noexcept nogil:
        """Whether a symbol belongs to this source; what others say of it is counted and ignored."""
        cdef uint32_t owner = source.gate
        if self.follows[symbol].owner == owner:
            return True
        if self.follows[symbol].owner == 0 and self.names == NULL:
            self.follows[symbol].owner = owner
            self.books.set.books[symbol].doubt = source.doubt
            return True
        self.refuse(source, BY_SYMBOL)
        return False

    cdef void refuse(self, Source* source, uint8_t kind) noexcept nogil:
        self.foreign += 1
        self.arbiter.refuse(kind, source.venue, source.stream, source.channels[0].lines[0].sender)

    cdef void define(self, Source* source, const Record* record) noexcept nogil:
        """Take a symbol's name and decimals, if the name is its own.

        A LIVE book whose decimals change is no longer what it was: its levels are in other units.
        """
        cdef Book* book = self.books.set.books + record.symbol
        if not self.name_fits(record):
            self.refuse(source, BY_NAME)
            return
        if book.state == STATE_LIVE and self.redefined(record):
            self.part(record.symbol, RESYNC)
            self.follows[record.symbol].marked = source.last
        books_apply(&self.books.set, record, 1)
        self.publisher.market.define(&self.books.set, book)

    cdef bint name_fits(self, const Record* record) noexcept nogil:
        """Whether a DEFINE's name is what the configuration says; without one, fit to be printed and nobody else's."""
        cdef const char* name = <const char*> &record.update_id
        cdef const char* known = self.books.set.names
        cdef uint32_t symbol
        cdef int index
        if self.names != NULL:
            return memcmp(self.names + NAME_BYTES * <size_t> record.symbol, name, NAME_BYTES) == 0
        if memcmp(known + NAME_BYTES * <size_t> record.symbol, name, NAME_BYTES) == 0:
            return True
        for index in range(NAME_BYTES):
            if name[index] == 0x7F or 0 < <uint8_t> name[index] < 0x20:
                return False
        for symbol in range(self.books.set.symbols):
            if memcmp(known + NAME_BYTES * <size_t> symbol, name, NAME_BYTES) == 0:
                return False
        return True

    cdef void part(self, uint32_t symbol, uint8_t reason) noexcept nogil:
        """A book is not whole any more: only a snapshot of what follows helps."""
        cdef Book* book = self.books.set.books + symbol
        self.gates[symbol] = 0
        self.follows[symbol].first_kept = 0
        if book.state == STATE_LIVE:
            self.stale_marks += 1
            book_stale(&self.books.set, book, reason)

    cdef void keep(self, const Record* record, uint64_t sequence) noexcept nogil:
        """Append to the symbol's list in the history, forgetting what is oldest there."""
        cdef uint32_t slot = self.history_next + 1
        cdef Kept* kept = self.history + self.history_next
        cdef Follow* follow = self.follows + kept.record.symbol
        if follow.first_kept == slot:
            follow.first_kept = kept.next
            follow.forgotten = kept.sequence
        follow = self.follows + record.symbol
        kept.record = record[0]
        kept.sequence = sequence
        kept.next = 0
        if follow.first_kept == 0:
            follow.first_kept = slot
        else:
            self.history[follow.last_kept - 1].next = slot
        follow.last_kept = slot
        self.history_next = slot if slot < self.history_size else 0

    cdef void lose(self, Source* source, uint8_t reason) noexcept nogil:
        """Incrementals were lost, the publisher began anew, or it is in doubt: no book of this source is whole."""
        cdef uint32_t owner = source.gate
        cdef uint32_t symbol
        source.rebuilding = -1
        for symbol in range(self.books.set.symbols):
            if self.follows[symbol].owner == owner:
                self.part(symbol, reason)
                self.follows[symbol].forgotten = 0
                self.follows[symbol].marked = 0

    cdef void snapshots(self, Source* source, const Header* header, const Record* records) noexcept nogil:
        cdef const Record* record
        cdef Follow* follow
        cdef uint64_t holds
        cdef Py_ssize_t index
        if source.contested:
            return
        for index in range(header.count):
            record = records + index
            if record.symbol >= self.books.set.symbols or not self.claim(source, record.symbol):
                continue
            if record.kind == DEFINE:
                # The decimals of a book that goes on are those of its incrementals: they were told there, just before
                # its levels. A snapshot may have been sent earlier.
                if self.gates[record.symbol] != 0 and self.redefined(record):
                    continue
                self.define(source, record)
            elif record.kind == CLEAR:
                source.rebuilding = -1
                if self.gates[record.symbol] != 0:
                    continue
                follow = self.follows + record.symbol
                holds = <uint64_t> record.price
                if holds + 1 < source.whole_from or holds < follow.forgotten or holds < follow.marked:
                    continue
                source.rebuilding = <int32_t> record.symbol
                source.snapshot_holds = holds
                # Readers keep what they have, and why it is stale, until there is something better.
                self.publisher.quiet = True
                books_apply(&self.books.set, record, 1)
                self.publisher.quiet = False
            elif source.rebuilding == <int32_t> record.symbol:
                if record.kind <= ASK or record.kind == SPAN:
                    books_apply(&self.books.set, record, 1)
                elif record.kind == LIVE:
                    self.rebuilt(source, record)

    cdef bint redefined(self, const Record* record) noexcept nogil:
        """Whether a DEFINE says something else than an earlier one of its symbol."""
        cdef Book* book = self.books.set.books + record.symbol
        cdef const char* name = self.books.set.names + NAME_BYTES * <size_t> record.symbol
        return name[0] != 0 and record.aux != (book.price_decimals | <uint32_t> book.quantity_decimals << 8)

    cdef void rebuilt(self, Source* source, const Record* record) noexcept nogil:
        """The whole snapshot is there: apply what is newer, and the book is LIVE."""
        cdef Book* book = self.books.set.books + record.symbol
        cdef Follow* follow = self.follows + record.symbol
        cdef Kept* kept
        cdef uint32_t slot = follow.first_kept
        cdef bint whole = True
        source.rebuilding = -1
        # Meanwhile the history may have lost a record that the snapshot lacks; or the snapshot has overtaken
        # incrementals that are still to come, and would be applied twice.
        if source.snapshot_holds < follow.forgotten or source.snapshot_holds < follow.marked \
                or source.snapshot_holds > source.last:
            return
        while slot != 0:
            kept = self.history + slot - 1
            if kept.sequence > source.snapshot_holds:
                books_apply(&self.books.set, &kept.record, 1)
                whole = kept.record.flags & EVENT_END
            slot = kept.next
        if book.reason == POOL_EXHAUSTED:
            return
        follow.first_kept = 0
        self.gates[record.symbol] = source.gate
        self.recoveries += 1
        book.state = STATE_LIVE
        book.reason = 0
        book_measure(&self.books.set, book)
        if whole:  # else the rest of the event is to come, and its end will publish the book
            self.publisher.show(book)

    cdef void doubt(self, Source* source, uint8_t reason) noexcept nogil:
        """Publish the LIVE books of a source as STALE because of what it does; as they are, with NO_REASON."""
        cdef uint32_t owner = source.gate
        cdef uint32_t symbol
        cdef Book* book
        source.doubt = reason
        for symbol in range(self.books.set.symbols):
            if self.follows[symbol].owner == owner:
                book = self.books.set.books + symbol
                self.stale_marks += book.doubt == NO_REASON and is_live(book)
                book.doubt = reason
                if book.state == STATE_LIVE:
                    self.publisher.show(book)
