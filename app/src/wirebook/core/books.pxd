"""Books of one process: a header per symbol and a radix tree of cache lines per side, all in one arena.

The layout and the reasons for it are in docs/hot-path.md.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t

from wirebook.core.memory cimport Arena
from wirebook.core.records cimport NAME_BYTES, Record

cdef enum:
    STATE_EMPTY = 0
    STATE_STALE = 1
    STATE_LIVE = 2
    BATCH_MAX = 64  # updates whose lines can be asked for before the first of them is applied
    DEPTH = 10  # levels a side that `depth_changed` watches, and that the market cache shows

cdef struct Side:
    uint64_t prefix        # what all keys of the tree have above their lowest 6 * (height + 1) bits
    uint64_t best          # highest key; a removed one while best_known is 0
    int64_t best_quantity
    uint64_t depth_floor   # key of the DEPTH-th best level when depth was last read, 0 when there were fewer
    uint32_t root          # reference of the topmost line, 0: no level
    uint32_t levels
    uint8_t height         # inner nodes above a leaf
    uint8_t best_known
    uint8_t depth_changed  # a level at or above depth_floor was touched
    uint8_t flip           # 1 for asks: keys run downwards, so that the best key is the highest on both sides

# Two cache lines: what an update of a bid needs is in the first, of an ask in the second (and the first for the id).
cdef struct Book:
    Side bid
    uint64_t update_id
    uint8_t state
    uint8_t reason
    uint8_t price_decimals
    uint8_t quantity_decimals
    uint32_t symbol
    Side ask
    uint64_t exchange_ns
    uint64_t receive_ns

cdef inline uint64_t side_key(Side* side, int64_t price) noexcept nogil:
    # Flipping the sign bit makes signed order unsigned; flipping all the others as well turns it round.
    return <uint64_t> price ^ (<uint64_t> INT64_MIN ^ (0 - <uint64_t> side.flip))

cdef struct Pool:
    char* lines
    uint32_t free_line     # head of the list of given back lines, 0: none
    uint32_t free_lines
    uint32_t fresh         # lines from here on were never used
    uint32_t total

cdef struct Entry:
    uint64_t page          # the key without its lowest 6 bits
    uint32_t owner         # side of a symbol, 0: the entry is free
    uint32_t leaf          # its reference

cdef struct Pair:
    Entry entries[2]

cdef struct Grave:
    uint64_t page
    uint32_t owner
    uint32_t padding

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

# `record` ended the event; NULL when it was something else that changed the state.
ctypedef void (*Listener)(void* context, Book* book, const Record* record) noexcept nogil

cdef struct BookSet:
    Book* books
    char* names            # NAME_BYTES a symbol, zero padded
    uint32_t symbols
    bint prefetch
    Pool pool
    Pair* directory        # leaves by owner and page: a cache, so that most updates need no walk down the tree
    uint64_t directory_mask
    Grave* graves          # leaves that became empty, the longest ago first: a ring
    uint64_t graves_mask
    uint64_t laid
    uint64_t buried
    Counters counters
    Listener on_event      # called when a book is whole again after an event, or changed its state; or NULL
    void* context

cdef void books_apply(BookSet* books, const Record* records, Py_ssize_t count) noexcept nogil
cdef void books_apply_slots(BookSet* books, const char* slots, Py_ssize_t count) noexcept nogil
cdef void book_stale(BookSet* books, Book* book, uint8_t reason) noexcept nogil
cdef void book_clear(BookSet* books, Book* book) noexcept nogil
cdef bint side_best(BookSet* books, Side* side, int64_t* price, int64_t* quantity) noexcept nogil
cdef Py_ssize_t side_levels(BookSet* books, Side* side, Py_ssize_t count, int64_t* levels) noexcept nogil


cdef class Books:
    cdef BookSet set
    cdef readonly Arena arena

    cdef Book* book(self, uint32_t symbol) except NULL
