"""Writes the market cache."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wirebook.core.books.book cimport Book, BookSet
from wirebook.core.market.latency cimport Histogram
from wirebook.core.market.layout cimport Arrival, MarketHeader, MarketRecord


cdef class MarketWriter:
    cdef MarketHeader* header
    cdef MarketRecord* records
    cdef Histogram* histograms
    cdef size_t mapped
    cdef int fd
    cdef readonly uint32_t symbols

    cdef void reset(self, MarketRecord* record) noexcept nogil
    cdef void publish(self, BookSet* books, Book* book, uint8_t state, uint8_t reason, uint64_t now,
                      const Arrival* arrival) noexcept nogil
    cdef void define(self, BookSet* books, Book* book) noexcept nogil
    cdef void beat(self, uint64_t now) noexcept nogil
