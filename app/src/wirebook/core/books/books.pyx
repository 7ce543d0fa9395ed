"""Order books of all symbols in one arena.

The levels are in `pages`. A book itself is one cache line, and a side's best levels are kept in order besides, in its
`ladder`. An update below the ladder's last rung, as most are, touches the book's line and the page's.
"""

from enum import IntEnum

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from wirebook.core.base.hints cimport unlikely
from wirebook.core.base.memory cimport Arena
from wirebook.core.base.ring cimport RING_SLOT
from wirebook.core.books.book cimport (
    BATCH_MAX, CHANGED_SPAN, DEPTH, STATE_EMPTY, STATE_LIVE, STATE_STALE, Book, BookSet, Ladder, Listener,
    book_best, key_of, owner_of, price_of,
)
from wirebook.core.books.ladder cimport ladder_make, ladder_set
from wirebook.core.books.pages cimport (
    CACHE_LINE, NO_ROOM, PACKED, REPACK, Node, Root, leaf_write, page_block, page_find, page_home, pages_below,
    pages_clear, pages_highest, pages_make, pages_set, pages_total, pages_used, popcount, prefetch_write,
)
from wirebook.core.wire.records cimport (
    ASK, BID, CLEAR, DEFINE, EVENT_END, HEARTBEAT, LIVE, NAME_BYTES, OUT_OF_SPAN, POOL_EXHAUSTED, RESYNC, SNAPSHOT,
    SPAN, STALE, SYMBOLS, Batch, Record,
)
from wirebook.errors import UserError

cdef enum:
    PREFETCH_LINES = 8192  # up to here pages stay in a second-level cache of 2 MB by themselves
    BATCH = 16           # of those who apply more at a time
    PAGE_BYTES_MIN = 8192  # a symbol: some 40 levels a side far from each other, or a book is not worth starting


class State(IntEnum):
    """What a book may be used for: only a LIVE one is the venue's book."""

    EMPTY = STATE_EMPTY
    STALE = STATE_STALE
    LIVE = STATE_LIVE


cdef void side_clear(BookSet* books, Book* book, uint32_t kind) noexcept nogil:
    pages_clear(&books.pages, owner_of(book.symbol, kind))
    book.levels[kind] = 0
    ladder_make(books, book, kind)


cdef Py_ssize_t side_levels(BookSet* books, Book* book, uint32_t kind, Py_ssize_t count,
                            int64_t* levels) noexcept nogil:
    """Up to `count` levels from the best on, as pairs of price and quantity in `levels`; returns how many."""
    cdef uint32_t owner = owner_of(book.symbol, kind)
    cdef uint64_t key
    cdef Py_ssize_t done = 0
    if count == 0 or not pages_highest(&books.pages, owner, &key, levels + 1):
        return 0
    while True:
        levels[2 * done] = price_of(key, kind)
        done += 1
        if done == count or not pages_below(&books.pages, owner, &key, levels + 2 * done + 1):
            return done


cdef Py_ssize_t side_within(BookSet* books, uint32_t symbol, uint32_t kind, Py_ssize_t most) noexcept nogil:
    """How many levels from the best on are within the side's edge, `most` at most; `most` of a side without one."""
    cdef uint32_t owner = owner_of(symbol, kind)
    cdef uint64_t edge = books.edges[owner], key
    cdef int64_t quantity
    cdef Py_ssize_t found = 0
    if edge == 0:
        return most
    if most == 0 or not pages_highest(&books.pages, owner, &key, &quantity):
        return 0
    while key >= edge:
        found += 1
        if found == most or not pages_below(&books.pages, owner, &key, &quantity):
            break
    return found


# ---- books ----------------------------------------------------------------------------------------------------------

cdef void books_listen(BookSet* books, Listener on_event, void* context, char* memory,
                       size_t memory_bytes) noexcept nogil:
    """Call `on_event` from now on, and keep DEPTH levels a side ready for it; or stop that, with NULL."""
    cdef uint32_t symbol, kind
    books.on_event = on_event
    books.context = context
    books.listener_memory = memory
    books.listener_bytes = memory_bytes
    books.depth = DEPTH if on_event != NULL else 1
    for symbol in range(books.symbols):
        for kind in range(2):
            ladder_make(books, books.books + symbol, kind)


cdef void book_clear(BookSet* books, Book* book) noexcept nogil:
    """Empty both sides and give their nodes back; the state stays."""
    side_clear(books, book, BID)
    side_clear(books, book, ASK)
    book_span(books, book, 0, 0)


cdef void book_span(BookSet* books, Book* book, uint64_t bid_edge, uint64_t ask_edge) noexcept nogil:
    books.edges[owner_of(book.symbol, BID)] = bid_edge
    books.edges[owner_of(book.symbol, ASK)] = ask_edge
    book.changed |= CHANGED_SPAN


cdef void book_measure(BookSet* books, Book* book) noexcept nogil:
    """Look whether the first levels of each side are within its edge. Beyond it may be others that nobody told."""
    cdef uint32_t kind, owner
    book.beyond = 0
    for kind in range(2):
        owner = owner_of(book.symbol, kind)
        # An unused rung is 0, so a side of fewer levels is beyond any edge.
        book.beyond |= <uint8_t> ((books.ladders[owner].keys[books.depth - 1] < books.edges[owner]) << kind)


cdef void book_stale(BookSet* books, Book* book, uint8_t reason) noexcept nogil:
    """The book must not be used from here on. Its levels stay until a snapshot clears them."""
    book.state = STATE_STALE
    book.reason = reason
    if books.on_event != NULL:
        books.on_event(books.context, book, NULL)


cdef void exhausted(BookSet* books, Book* book) noexcept nogil:
    # A book with a lost level is no book: its nodes serve the others better.
    books.counters.pool_exhausted += 1
    book_clear(books, book)
    book_stale(books, book, POOL_EXHAUSTED)


cdef void control(BookSet* books, Book* book, const Record* record, const char* tail) noexcept nogil:
    """Everything but a level."""
    if record.kind == CLEAR:
        book_clear(books, book)
        book.update_id = record.update_id
        book.exchange_ns = record.exchange_ns
        book.receive_ns = record.receive_ns
        book_stale(books, book, RESYNC)
    elif record.kind == LIVE:
        if book.reason == POOL_EXHAUSTED:
            return
        book.update_id = record.update_id
        book.exchange_ns = record.exchange_ns
        book.receive_ns = record.receive_ns
        book.state = STATE_LIVE
        book.reason = 0
        book_measure(books, book)
        if books.on_event != NULL:
            books.on_event(books.context, book, tail)
    elif record.kind == SPAN:
        book_span(books, book, key_of(record.price, BID) if record.aux & 1 else 0,
                  key_of(record.quantity, ASK) if record.aux & 2 else 0)
        book_measure(books, book)
    elif record.kind == STALE:
        book_stale(books, book, <uint8_t> record.aux)
    elif record.kind == DEFINE:
        book.price_decimals = record.aux & 0xFF
        book.quantity_decimals = record.aux >> 8
        memcpy(books.names + NAME_BYTES * <size_t> record.symbol, &record.update_id, NAME_BYTES)
    elif record.kind != HEARTBEAT:
        books.counters.unknown_kind += 1


cdef void event_end(BookSet* books, Book* book, const char* tail) noexcept nogil:
    """The end of an event of a book that is watched."""
    cdef int64_t bid, ask, quantity
    cdef bint crossed
    if book.state != STATE_LIVE:
        return
    crossed = (book_best(books, book, BID, &bid, &quantity) & book_best(books, book, ASK, &ask, &quantity)) \
        and bid >= ask
    books.counters.crossed += crossed
    book.watch = crossed or books.on_event != NULL
    if unlikely(book.changed != 0) or books.on_event == NULL:
        book_measure(books, book)
    if books.on_event != NULL:
        books.on_event(books.context, book, tail)


cdef bint reshape(BookSet* books, Book* book, const Record* record, uint64_t key) noexcept nogil:
    """An update that is more than one place in a leaf; False: there is no room for it."""
    cdef int grown = pages_set(&books.pages, owner_of(record.symbol, record.kind), key, record.quantity)
    if unlikely(grown == NO_ROOM):
        exhausted(books, book)
        return False
    book.levels[record.kind] += <uint32_t> grown
    books.counters.deletes_of_absent += grown == 0 and record.quantity == 0
    return True


cdef inline bint update(BookSet* books, Book* book, const Record* record, uint64_t key, Node* leaf) noexcept nogil:
    """Set or remove a level of the leaf's page; False: there is no room for it."""
    cdef uint32_t owner = owner_of(record.symbol, record.kind)
    cdef uint64_t bits, after, bit = key & 63, had, has = record.quantity != 0
    cdef int held
    leaf = page_find(&books.pages, leaf, owner, key & ~<uint64_t> 63)
    if unlikely(leaf.owner == 0):
        return reshape(books, book, record, key)
    bits = leaf.bits
    had = bits >> bit & 1
    held = popcount(bits)
    after = bits & ~(<uint64_t> 1 << bit) | has << bit
    if leaf.block != 0:
        if unlikely((had > has) & (held == REPACK + 1)):
            return reshape(books, book, record, key)
        leaf.bits = after
        page_block(&books.pages, leaf.block)[bit] = record.quantity
    else:
        if unlikely(((had < has) & (held == PACKED)) | (record.quantity >> 32 != 0)):
            return reshape(books, book, record, key)
        leaf_write(leaf, <unsigned> bit, had, has, after, record.quantity)
    book.levels[record.kind] += <uint32_t> (has - had)
    books.counters.deletes_of_absent += (had | has) ^ 1
    return True


cdef inline void apply(BookSet* books, const Record* record, const char* tail, Node* leaf) noexcept nogil:
    cdef Book* book
    cdef uint64_t key = key_of(record.price, record.kind)
    if unlikely(record.symbol >= books.symbols):
        books.counters.unknown_symbol += 1
        return
    book = books.books + record.symbol
    if unlikely(record.kind > ASK):
        control(books, book, record, tail)
        return
    if unlikely(record.update_id < book.update_id):
        books.counters.out_of_order += 1
        return
    if unlikely(book.reason == POOL_EXHAUSTED):
        return
    book.update_id = record.update_id
    book.exchange_ns = record.exchange_ns
    book.receive_ns = record.receive_ns
    books.counters.updates += 1
    if unlikely(not update(books, book, record, key, leaf)):
        return
    if unlikely(key >= book.floor[record.kind]):
        ladder_set(books, book, record.kind, key, record.quantity)
    books.counters.events += record.flags & EVENT_END
    if unlikely(record.flags & book.watch & EVENT_END):
        event_end(books, book, tail)


cdef inline const Record* record_at(const char* records, Py_ssize_t stride, Py_ssize_t index) noexcept nogil:
    return <const Record*> (records + index * stride)


cdef inline void run(BookSet* books, const char* records, Py_ssize_t stride, Py_ssize_t count) noexcept nogil:
    """Apply up to BATCH_MAX records, `stride` bytes apart.

    With `prefetch` their cache lines are asked for in two passes, each for all of them: what a record tells by itself
    (the book's line, the page's), then what those tell (a spread leaf's block, the ladder).
    """
    cdef Node* leaves[BATCH_MAX]
    cdef const Record* record
    cdef Node* leaf
    cdef Ladder* ladder
    cdef char* memory
    cdef uint64_t key
    cdef uint32_t owner
    cdef Py_ssize_t index
    cdef bint ahead = books.prefetch and books.pages.used > PREFETCH_LINES
    for index in range(count):
        record = record_at(records, stride, index)
        owner = owner_of(record.symbol, record.kind)
        leaf = page_home(&books.pages, owner, key_of(record.price, record.kind) & ~<uint64_t> 63)
        leaves[index] = leaf
        if books.prefetch:
            prefetch_write(leaf)
        if ahead:
            # A symbol out of range asks for nonsense, which does no harm.
            prefetch_write(books.books + record.symbol)
    if ahead:
        for index in range(count):
            record = record_at(records, stride, index)
            if unlikely(record.symbol >= books.symbols):
                continue
            key = key_of(record.price, record.kind)
            owner = owner_of(record.symbol, record.kind)
            leaf = page_find(&books.pages, leaves[index], owner, key & ~<uint64_t> 63)
            leaves[index] = leaf
            prefetch_write(&page_block(&books.pages, leaf.block)[key & 63] if leaf.block != 0 else <int64_t*> leaf)
            if books.listener_memory != NULL:
                if record.flags & EVENT_END:
                    memory = books.listener_memory + record.symbol * books.listener_bytes
                    prefetch_write(memory)
                    prefetch_write(memory + CACHE_LINE)
                if key >= books.books[record.symbol].floor[record.kind & 1]:
                    ladder = books.ladders + owner
                    prefetch_write(&ladder.keys[0])
                    prefetch_write(&ladder.keys[8])
                    prefetch_write(&ladder.quantities[0])
                    prefetch_write(&ladder.quantities[8])
    for index in range(count):
        record = record_at(records, stride, index)
        apply(books, record, <const char*> (record + 1) if stride == RING_SLOT else NULL, leaves[index])


cdef void books_apply(BookSet* books, const Record* records, Py_ssize_t count) noexcept nogil:
    """Apply records in their order."""
    cdef Py_ssize_t part
    books.counters.records += count
    while count > 0:
        part = min(count, <Py_ssize_t> BATCH)
        run(books, <const char*> records, sizeof(Record), part)
        records += part
        count -= part


cdef void books_apply_slots(BookSet* books, const char* slots, Py_ssize_t count) noexcept nogil:
    """The same for up to BATCH_MAX records in slots of a ring. A listener gets what lies behind a record there."""
    books.counters.records += count
    run(books, slots, RING_SLOT, count)


cdef void append_side(BookSet* books, Book* book, uint8_t kind, Batch batch, int64_t* levels) noexcept:
    cdef Py_ssize_t count = side_levels(books, book, kind, book.levels[kind], levels), index
    for index in range(count):
        batch.add(book.symbol, kind, SNAPSHOT, 0, book.update_id, levels[2 * index], levels[2 * index + 1],
                  book.exchange_ns, book.receive_ns)


cdef void append_span(Batch batch, Book* book, bid, ask):
    cdef int edges = (bid is not None) | (ask is not None) << 1
    batch.add(book.symbol, SPAN, SNAPSHOT, edges, book.update_id, bid or 0, ask or 0, book.exchange_ns, book.receive_ns)


cdef class Books:
    """The books of `symbols` symbols, all memory taken from `arena` (64 MB of it by default) at construction.

    Headers, best levels, edges and names take 664 bytes a symbol; the rest of the arena, but for `leave` bytes, becomes
    the common pool of nodes and blocks. A level takes between 9 and some 130 bytes of it, by how densely the book is
    filled around it; one of 2 ** 32 units or more, up to 640.
    """

    def __cinit__(self, uint32_t symbols=2048, Arena arena=None, bint prefetch=True, size_t leave=0):
        cdef size_t side = sizeof(Ladder) + sizeof(uint64_t) + sizeof(Root)
        cdef size_t fixed = symbols * (sizeof(Book) + 2 * side + NAME_BYTES) + 1024
        assert sizeof(Book) == CACHE_LINE and sizeof(Node) == CACHE_LINE
        if not 0 < symbols <= SYMBOLS:
            raise UserError(f"a node has 1 to {SYMBOLS} symbols, not {symbols}: lower book.symbols or add a node")
        self.arena = Arena(64 << 20) if arena is None else arena
        if self.arena.free < fixed + symbols * <size_t> PAGE_BYTES_MIN + leave:
            raise UserError(
                f"an arena of {self.arena.size >> 20} MB has no room for {symbols} books: "
                "raise memory.arena_mb, or lower book.symbols"
            )
        self.set.books = <Book*> self.arena.take(symbols * sizeof(Book))
        self.set.ladders = <Ladder*> self.arena.take((2 * symbols + 1) * sizeof(Ladder))
        self.set.edges = <uint64_t*> self.arena.take((2 * symbols + 1) * sizeof(uint64_t))
        self.set.names = <char*> self.arena.take(symbols * NAME_BYTES)
        pages_make(&self.set.pages, self.arena, leave, symbols)
        self.set.symbols = symbols
        self.set.prefetch = prefetch
        for symbol in range(symbols):
            self.set.books[<uint32_t> symbol].symbol = symbol
        books_listen(&self.set, NULL, NULL, NULL, 0)

    cdef Book* book(self, uint32_t symbol) except NULL:
        if symbol >= self.set.symbols:
            raise IndexError(f"there is no symbol {symbol}: the books have {self.set.symbols}")
        return self.set.books + symbol

    def apply(self, Batch batch):
        """Apply a batch's records in their order."""
        with nogil:
            books_apply(&self.set, batch.data, batch.size)

    def top(self, uint32_t symbol):
        """(bid price, bid quantity, ask price, ask quantity); None twice for a side that is empty."""
        cdef Book* book = self.book(symbol)
        cdef int64_t bid, bid_quantity, ask, ask_quantity
        cdef bint has_bid = book_best(&self.set, book, BID, &bid, &bid_quantity)
        cdef bint has_ask = book_best(&self.set, book, ASK, &ask, &ask_quantity)
        return (
            bid if has_bid else None, bid_quantity if has_bid else None,
            ask if has_ask else None, ask_quantity if has_ask else None,
        )

    def levels(self, uint32_t symbol, int side, Py_ssize_t count=-1):
        """Up to `count` (price, quantity) of a side (Kind.BID or Kind.ASK) from the best on; all of them by default."""
        cdef Book* book = self.book(symbol)
        cdef uint32_t kind = BID if side == BID else ASK
        cdef Py_ssize_t wanted = book.levels[kind] if count < 0 else min(count, <Py_ssize_t> book.levels[kind])
        cdef int64_t* found = <int64_t*> calloc(2 * wanted + 1, sizeof(int64_t))
        if found == NULL:
            raise MemoryError
        try:
            wanted = side_levels(&self.set, book, kind, wanted, found)
            return [(found[2 * index], found[2 * index + 1]) for index in range(wanted)]
        finally:
            free(found)

    def snapshot(self, uint32_t symbol, Batch batch, bint stale=False):
        """Append a LIVE book to `batch` as the records that make it: CLEAR, SPAN if a side has an edge, levels, LIVE.

        Of any other nothing is appended, unless `stale` asks for it: then it is one to be LIVE again. OverflowError
        when the batch has no room for them; then nothing was appended.
        """
        cdef Book* book = self.book(symbol)
        cdef int64_t* found
        if book.state != STATE_LIVE and not stale:
            return
        span = self.span(symbol)
        bounded = span != (None, None)
        if batch.size + book.levels[<int> BID] + book.levels[<int> ASK] + 2 + bounded > batch.capacity:
            raise OverflowError(f"the batch has no room for {book.levels[<int> BID] + book.levels[<int> ASK]} levels")
        found = <int64_t*> calloc(2 * max(book.levels[<int> BID], book.levels[<int> ASK]) + 1, sizeof(int64_t))
        if found == NULL:
            raise MemoryError
        batch.add(symbol, CLEAR, SNAPSHOT, 0, book.update_id, 0, 0, book.exchange_ns, book.receive_ns)
        if bounded:
            append_span(batch, book, span[0], span[1])
        append_side(&self.set, book, BID, batch, found)
        append_side(&self.set, book, ASK, batch, found)
        batch.add(symbol, LIVE, SNAPSHOT | EVENT_END, 0, book.update_id, 0, 0, book.exchange_ns, book.receive_ns)
        free(found)

    def count(self, uint32_t symbol):
        """How many levels the book holds: (bids, asks)."""
        cdef Book* book = self.book(symbol)
        return book.levels[<int> BID], book.levels[<int> ASK]

    def span(self, uint32_t symbol):
        """The prices of the worst bid and the worst ask that the snapshot told: (bid, ask).

        None for a side of which all is known, or that has no more levels than it shows.
        """
        cdef uint64_t bid, ask
        self.book(symbol)
        bid, ask = self.set.edges[owner_of(symbol, BID)], self.set.edges[owner_of(symbol, ASK)]
        return price_of(bid, BID) if bid else None, price_of(ask, ASK) if ask else None

    def within(self, uint32_t symbol, Py_ssize_t most):
        """How many levels of each side are certain to be the best: (bids, asks), `most` at most.

        Behind them, others may be missing. A side of which all is known has `most`.
        """
        self.book(symbol)
        return side_within(&self.set, symbol, BID, most), side_within(&self.set, symbol, ASK, most)

    def crossed(self, uint32_t symbol):
        """Whether the best bid isn't below the best ask."""
        cdef Book* book = self.book(symbol)
        cdef int64_t bid, ask, quantity
        return (book_best(&self.set, book, BID, &bid, &quantity) & book_best(&self.set, book, ASK, &ask, &quantity)) \
            and bid >= ask

    def state(self, uint32_t symbol):
        """The book's State: one whose first levels aren't known any more is STALE."""
        cdef Book* book = self.book(symbol)
        if book.state == STATE_LIVE and self.doubt_of(book):
            return State.STALE
        return State(book.state)

    def reason(self, uint32_t symbol):
        """Why the book is STALE, as a number of `records.Reason`; 0 when it isn't."""
        cdef Book* book = self.book(symbol)
        return self.doubt_of(book) if book.state == STATE_LIVE else book.reason

    cdef uint8_t doubt_of(self, Book* book):
        """Why a LIVE book isn't one. Without a listener, `beyond` is about the best level alone."""
        if book.doubt:
            return book.doubt
        return OUT_OF_SPAN if min(self.within(book.symbol, DEPTH)) < DEPTH else 0

    def update_id(self, uint32_t symbol):
        """The venue's update id after the last event applied."""
        return self.book(symbol).update_id

    def decimals(self, uint32_t symbol):
        """(price decimals, quantity decimals), from the symbol's DEFINE."""
        cdef Book* book = self.book(symbol)
        return book.price_decimals, book.quantity_decimals

    def name(self, uint32_t symbol):
        """`venue:INSTRUMENT` of the symbol's DEFINE; empty before it came."""
        self.book(symbol)
        cdef char* name = self.set.names + NAME_BYTES * <size_t> symbol
        return name[:NAME_BYTES].rstrip(b"\0").decode("utf-8", "replace")

    def counters(self):
        """What happened since the start, and how many of the pool's nodes of 64 bytes are in use; a block is 8."""
        return {
            **self.set.counters,
            "nodes_total": pages_total(&self.set.pages),
            "nodes_used": pages_used(&self.set.pages),
        }
