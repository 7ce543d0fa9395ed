from libc.stdint cimport uint64_t

cdef enum:
    APPLY = 0
    REPEAT = 1
    BREAK = 2


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
