"""What is told to the compiler: which branch is the usual one."""

cdef extern from *:
    bint likely(bint condition) nogil
    bint unlikely(bint condition) nogil
