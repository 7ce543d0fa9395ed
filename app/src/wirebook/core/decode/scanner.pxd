from libc.stdint cimport uint32_t, uint64_t

from wirebook.core.decode.cursor cimport Cursor
from wirebook.core.decode.levels cimport Entry, Shape
from wirebook.core.wire.records cimport Batch, Record


cdef class Scanner:
    cdef Entry* table
    cdef Shape* shapes         # those seen last, by a hash of their layout
    cdef readonly uint32_t symbol
    cdef uint32_t index        # of the event's instrument among those given
    cdef readonly uint64_t first
    cdef readonly uint64_t last
    cdef readonly uint64_t exchange_ns
    cdef uint64_t before       # UINT64_MAX where events don't say

    cdef bint take(self, bytes raw, Batch batch, uint64_t receive_ns) noexcept
    cdef bint run(self, Cursor* cursor, Batch batch, uint64_t receive_ns) noexcept nogil
    cdef Entry* named(self, Cursor* cursor, Record* pattern) noexcept nogil
    cdef bint finish(self, Batch batch, Py_ssize_t mark, uint64_t receive_ns) noexcept nogil
