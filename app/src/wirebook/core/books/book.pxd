"""A book's layout: a cache line for each, its best levels, and what all of a set share.

The reasons for it are in docs/hot-path.md.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t

from wirebook.core.books.pages cimport Pages

cdef enum:
    STATE_EMPTY = 0
    STATE_STALE = 1
    STATE_LIVE = 2
    BATCH_MAX = 64  # updates whose lines can be asked for before the first of them is applied
    DEPTH = 10      # levels a side that the market cache shows
    CHANGED_SPAN = 4  # bit of `changed` beside those of the sides
    RUNGS = 16      # that are kept in order for it: more, so that one that goes seldom means a search for the next

# All that an update needs of its book, unless it is among the best levels: one cache line. [0] is the bids', [1] the
# asks'.
cdef struct Book:
    uint64_t update_id
    uint64_t exchange_ns
    uint64_t receive_ns
    uint64_t floor[2]      # key of the last rung; 0 when all levels are rungs
    uint32_t levels[2]
    uint8_t rungs[2]
    uint8_t changed        # bit 0, 1: one of the first levels changed since the last event that was told; 2: the span
    uint8_t watch          # the end of an event has to be looked at: somebody listens, the best changed, or is crossed
    uint8_t state
    uint8_t reason
    uint8_t price_decimals
    uint8_t quantity_decimals
    uint32_t symbol
    uint8_t beyond         # bit 0, 1: one of the first levels of this side is worse than its edge, or isn't there
    uint8_t doubt          # Reason why a LIVE book isn't to be believed, by what is known of its source; 0: none

# The best levels of a side, the best first. Unused rungs are 0.
cdef struct Ladder:
    uint64_t keys[RUNGS]
    int64_t quantities[RUNGS]

cdef struct Counters:
    uint64_t records
    uint64_t updates
    uint64_t events
    uint64_t deletes_of_absent
    uint64_t out_of_order
    uint64_t crossed
    uint64_t pool_exhausted
    uint64_t unknown_symbol
    uint64_t unknown_kind

# `tail` is what lies behind the record that ended the event, in its slot; NULL when it isn't in one, or something else
# changed the state.
ctypedef void (*Listener)(void* context, Book* book, const char* tail) noexcept nogil

cdef struct BookSet:
    Book* books
    Ladder* ladders        # by owner
    uint64_t* edges        # by owner: key of the worst level that the snapshot told; 0: all of the side is known
    char* names            # NAME_BYTES a symbol, zero padded
    uint32_t symbols
    bint prefetch
    uint32_t depth         # levels a side that are always in the ladder, if there are as many
    Pages pages
    Counters counters
    Listener on_event      # called when a book is whole again after an event, or changed its state; or NULL
    void* context
    char* listener_memory  # that `on_event` writes, `listener_bytes` a symbol, to be asked for ahead; or NULL
    size_t listener_bytes


cdef inline uint64_t key_of(int64_t price, uint32_t kind) noexcept nogil:
    # Flipping the sign bit makes signed order unsigned; flipping all the others as well turns it round, for asks.
    return <uint64_t> price ^ (<uint64_t> INT64_MIN ^ (0 - <uint64_t> (kind & 1)))


cdef inline int64_t price_of(uint64_t key, uint32_t kind) noexcept nogil:
    return <int64_t> (key ^ (<uint64_t> INT64_MIN ^ (0 - <uint64_t> (kind & 1))))


cdef inline bint is_live(const Book* book) noexcept nogil:
    """Whether the book may be used."""
    return book.state == STATE_LIVE and (book.beyond | book.doubt) == 0


cdef inline uint32_t owner_of(uint32_t symbol, uint32_t kind) noexcept nogil:
    return symbol * 2 + (kind & 1) + 1  # 0 says "nobody's"


cdef inline bint book_best(BookSet* books, Book* book, uint32_t kind, int64_t* price, int64_t* quantity) noexcept nogil:
    """Best price and quantity of a side; False, and zeros, when it is empty."""
    cdef Ladder* ladder = books.ladders + owner_of(book.symbol, kind)
    cdef bint found = book.rungs[kind] != 0
    price[0] = price_of(ladder.keys[0], kind) if found else 0
    quantity[0] = ladder.quantities[0] if found else 0
    return found
