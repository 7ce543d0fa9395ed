from libc.stdint cimport uint8_t, uint64_t

from wirebook.core.base.memory cimport Arena
from wirebook.core.base.ring cimport RingMemory
from wirebook.core.books.books cimport Books
from wirebook.core.engine.arbiter cimport Arbiter
from wirebook.core.engine.publisher cimport Publisher
from wirebook.core.engine.recovery cimport Recovery
from wirebook.core.engine.streams cimport Source, Stream
from wirebook.core.market.layout cimport Metrics
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
    cdef Publisher publisher
    cdef Recovery recovery
    cdef uint8_t* gates        # the recovery's, for every record
    cdef RingMemory* ring      # from arbitration to the books
    cdef Py_ssize_t batch
    cdef bint busy
    cdef bint empty            # the last look found every receiver empty at its end
    cdef bint behind           # what comes may have waited for too long
    cdef bint fell             # this look found that it is so
    cdef uint64_t silence_ns
    cdef uint64_t behind_ns
    cdef uint64_t steady       # CLOCK_MONOTONIC when the packets at hand were taken
    cdef uint64_t emptied      # when a look began after which nothing that had come was left
    cdef uint64_t measured     # packets at hand whose latency is counted
    cdef Arena arena

    cdef void begin(self) noexcept nogil
    cdef void publish_now(self) noexcept nogil
    cdef void take_clock(self) noexcept nogil
    cdef void look_at_clock(self) noexcept nogil
    cdef void fall_behind(self) noexcept nogil
    cdef bint overloaded(self, const Received* received) noexcept nogil
    cdef void end(self) noexcept nogil
    cdef void measure(self, const Header* header, const Record* record) noexcept nogil
    cdef void packet(self, const Received* received) noexcept nogil
    cdef void begin_anew(self, Source* source) noexcept nogil
    cdef void contest(self, Source* source) noexcept nogil
    cdef void out_of_turn(self, const Received* received, Stream* stream, int order) noexcept nogil
    cdef void catch_up(self, Stream* stream, uint64_t empty_at, bint force) noexcept nogil
    cdef void expire(self, uint64_t empty_at) noexcept nogil
    cdef void deliver(self, const Received* received, Stream* stream, int order) noexcept nogil
    cdef void incrementals(self, Source* source, const Header* header, const Record* records) noexcept nogil
    cdef void push(self, const Record* record) noexcept nogil
    cdef void drain(self, uint64_t keep) noexcept nogil
    cdef void finish(self) noexcept nogil
    cdef void tick(self) noexcept nogil
    cdef int receive(self, Receiver receiver) noexcept nogil
    cdef int look(self, bint everywhere) noexcept nogil
    cdef int loop(self, uint64_t until) noexcept nogil
    cdef void count(self, Metrics* metrics) noexcept nogil
