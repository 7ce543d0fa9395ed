from libc.stdint cimport uint64_t

from wirebook.core.books.books cimport Books
from wirebook.core.decode.scanner cimport Scanner
from wirebook.core.decode.sequence cimport Rule
from wirebook.core.wire.records cimport Batch

cdef enum:
    CHAIN_LIVE = 3


cdef class Chain:
    cdef public uint64_t at
    cdef public uint64_t events
    cdef public int phase
    cdef public object texts
    cdef public list kept  # (message, receive time) of each event from now on, while somebody wants them; else None
    cdef readonly object symbol


cdef class BookSink:
    cdef readonly Batch batch
    cdef readonly Books books

    cdef void drain(self) noexcept


cdef class ChainFollower:
    cdef public uint64_t messages
    cdef public uint64_t updates
    cdef public Scanner scanner
    cdef Rule rule
    cdef list chains
    cdef object _sink
    cdef Batch batch      # the sink's
    cdef BookSink direct  # the sink, if it is one of these
