from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from wirebook.core.cursor cimport Cursor
from wirebook.core.records cimport Batch, Record

cdef extern from "levels.h":
    ctypedef struct Shape "wb_shape":
        uint64_t quotes
        uint64_t points
        int32_t length
        int32_t price_decimals
        int32_t quantity_decimals

cdef enum:
    NAME_WORDS = 3  # of 8 characters
    SLOTS = 4096    # twice the symbols of a node: probes stay short
    SHAPES = 64

cdef struct Entry:
    uint64_t name[NAME_WORDS]  # zero padded; all zeros: a free slot
    uint32_t symbol
    uint32_t place             # among the scanner's instruments
    int price_decimals
    int quantity_decimals
    Shape* shape               # of its last level


cdef class Scanner:
    cdef Entry* table
    cdef Shape* shapes         # those seen last, by a hash of their layout
    cdef readonly uint32_t symbol
    cdef uint32_t place        # of the event's instrument among those given
    cdef readonly uint64_t first
    cdef readonly uint64_t last
    cdef readonly uint64_t exchange_ns
    cdef uint64_t before       # UINT64_MAX where events don't say

    cdef bint take(self, bytes raw, Batch batch, uint64_t receive_ns) noexcept
    cdef bint run(self, Cursor* cursor, Batch batch, uint64_t receive_ns) noexcept nogil
    cdef Entry* named(self, Cursor* cursor, Record* pattern) noexcept nogil
    cdef bint finish(self, Batch batch, Py_ssize_t mark, uint64_t receive_ns) noexcept nogil


cdef class DepthScanner(Scanner):
    pass


cdef class FuturesScanner(DepthScanner):
    pass


cdef class OrderbookScanner(Scanner):
    pass


cdef class BooksScanner(Scanner):
    pass
