from libc.stdint cimport uint64_t

cdef enum:
    APPLY = 0
    REPEAT = 1
    BREAK = 2


cdef inline bint goes_on(uint64_t at, uint64_t last) noexcept nogil:
    """Whether a book at id `at` may come to `last`: never backwards, and never further than any venue's ids go.

    The busiest count some billions a day. A jump beyond would freeze the book: all that follows would be older.
    """
    return last - at <= <uint64_t> 1 << 32


cdef class Rule:
    cdef int verdict(self, uint64_t at, bint chained, uint64_t first, uint64_t last, uint64_t previous) noexcept nogil


cdef class Ranges(Rule):
    pass


cdef class Links(Rule):
    pass


cdef class Steps(Rule):
    pass


cdef class Identity(Rule):
    pass
