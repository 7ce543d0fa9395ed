"""The one way of a book into the market cache."""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdio cimport FILE

from wirebook.core.books.book cimport Book
from wirebook.core.books.books cimport Books
from wirebook.core.market.layout cimport Arrival
from wirebook.core.market.writer cimport MarketWriter


cdef class Publisher:
    cdef readonly Books books
    cdef readonly MarketWriter market
    cdef uint64_t now          # wall clock when the packets at hand were taken
    cdef Arrival arrival       # of the packet at hand
    cdef bint quiet            # a rebuild is going on: its steps are nobody's business
    cdef uint8_t* gates        # the recovery's
    cdef FILE* audit

    cdef void show(self, Book* book) noexcept nogil
    cdef void flush(self) noexcept nogil
