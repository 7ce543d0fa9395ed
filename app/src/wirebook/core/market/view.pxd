"""Reads the market cache."""

from libc.stdint cimport uint32_t, uint64_t

from wirebook.core.market.latency cimport Histogram
from wirebook.core.market.layout cimport MarketHeader, MarketRecord


cdef class MarketView:
    cdef const MarketHeader* header
    cdef const MarketRecord* records
    cdef const Histogram* stages
    cdef object memory
    cdef readonly uint32_t symbols
    cdef readonly str path
    cdef uint64_t silence_ns
    cdef dict numbers

    cdef bint read(self, uint32_t symbol, MarketRecord* copy, size_t size) noexcept nogil
    cdef bint is_alive(self) noexcept nogil
