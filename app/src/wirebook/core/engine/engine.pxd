from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport FILE

from wirebook.core.base.memory cimport Arena
from wirebook.core.base.ring cimport RingMemory
from wirebook.core.books.books cimport Books
from wirebook.core.engine.arbiter cimport Arbiter, Stream
from wirebook.core.engine.recovery cimport Recovery, Source
from wirebook.core.market.layout cimport Arrival, Metrics
from wirebook.core.market.writer cimport MarketWriter
from wirebook.core.transport.base cimport Received, Receiver
from wirebook.core.wire.packet cimport Header
from wirebook.core.wire.records cimport Record

cdef enum:
    RECEIVERS = 16


cdef class Engine:
    cdef readonly Books books
    cdef readonly MarketWriter market
    cdef Arbiter arbiter
    cdef tuple receivers
    cdef void* looked_at[RECEIVERS]  # the same, for the loop
    cdef int receiver_count
    cdef Recovery recovery
    cdef uint8_t* gates        # the recovery's, for every record
    cdef RingMemory* ring      # from arbitration to the books
    cdef Py_ssize_t batch
    cdef bint busy
    cdef bint drained          # the last look found every receiver empty at its end
    cdef uint64_t silence_ns
    cdef uint64_t now          # wall clock and CLOCK_MONOTONIC when the packets at hand were taken
    cdef uint64_t steady
    cdef Arrival arrival       # of the packet at hand
    cdef uint64_t measured     # packets at hand whose latency is counted
    cdef Arena arena
    cdef FILE* audit

    cdef void begin(self) noexcept nogil
    cdef void end(self) noexcept nogil
    cdef void measure(self, const Header* header, const Record* record) noexcept nogil
    cdef void packet(self, const Received* received) noexcept nogil
    cdef void out_of_turn(self, const Received* received, Stream* stream, int place) noexcept nogil
    cdef void catch_up(self, Stream* stream, uint64_t drained, bint force) noexcept nogil
    cdef void expire(self, uint64_t drained) noexcept nogil
    cdef void deliver(self, const Received* received, int place) noexcept nogil
    cdef bint began_anew(self, const Header* header, Stream* stream) noexcept nogil
    cdef void incrementals(self, Source* source, const Header* header, const Record* records) noexcept nogil
    cdef void push(self, const Record* record) noexcept nogil
    cdef void drain(self, uint64_t keep) noexcept nogil
    cdef void finish(self) noexcept nogil
    cdef void tick(self) noexcept nogil
    cdef int receive(self, Receiver receiver) noexcept nogil
    cdef int look(self, bint everywhere) noexcept nogil
    cdef int loop(self, uint64_t until) noexcept nogil
    cdef void count(self, Metrics* metrics) noexcept nogil
