from libc.stdint cimport int64_t, uint32_t, uint64_t

from wirebook.core.records cimport Batch, Record

cdef enum:
    NAME_LIMIT = 24
    SLOTS = 4096  # twice the symbols of a node: probes stay short

cdef struct Entry:
    char name[NAME_LIMIT]
    Py_ssize_t length  # 0: a free slot
    uint32_t symbol
    int price_decimals
    int quantity_decimals


cdef class Scanner:
    cdef Entry* table
    cdef readonly uint32_t symbol
    cdef readonly uint64_t first
    cdef readonly uint64_t last
    cdef readonly uint64_t exchange_ns
    cdef uint64_t before
    cdef bint chained

    cdef Entry* find(self, const char* name, Py_ssize_t length) noexcept nogil
    cdef bint run(self, const char* at, const char* end, Batch batch, uint64_t receive_ns) noexcept nogil
    cdef Entry* begin(self, const char** at, const char* end, Record* pattern) noexcept nogil
    cdef bint finish(self, Batch batch, Py_ssize_t mark, uint64_t receive_ns) noexcept nogil


cdef class DepthScanner(Scanner):
    pass


cdef class FuturesScanner(DepthScanner):
    pass


cdef class OrderbookScanner(Scanner):
    pass


cdef class BooksScanner(Scanner):
    pass
