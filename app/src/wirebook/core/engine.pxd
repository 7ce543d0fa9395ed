from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport FILE

from wirebook.core.arbiter cimport STREAMS, Arbiter, Stream
from wirebook.core.books cimport Book, Books
from wirebook.core.market cimport Arrival, MarketWriter, Metrics
from wirebook.core.memory cimport Arena
from wirebook.core.packet cimport Header
from wirebook.core.records cimport Record
from wirebook.core.ring cimport RingMemory
from wirebook.core.transport cimport Received, Receiver

cdef enum:
    RECEIVERS = 16

# A publisher: its incremental and its snapshot channel.
cdef struct Source:
    uint32_t key               # venue and stream
    uint32_t epoch
    uint64_t whole_from        # every incremental packet from this sequence on was received; 0: none was yet
    uint64_t last              # sequence of the newest incremental packet
    uint64_t heard_ns          # CLOCK_MONOTONIC of the newest packet
    bint silent
    bint new_snapshots         # the snapshot channel too begins anew, with an epoch that isn't higher
    int32_t rebuilding         # symbol that the snapshot channel is rebuilding, -1: none
    uint64_t snapshot_holds    # sequence up to which that snapshot holds the incrementals

# How a symbol follows its source. Incrementals that can't be applied yet are kept, in a list per symbol.
cdef struct Follow:
    uint32_t owner             # source + 1, 0: not claimed
    uint32_t first_kept        # place in the history + 1, 0: none
    uint32_t last_kept
    uint64_t forgotten         # highest sequence of a record that the history had no room for
    uint64_t marked            # sequence of the packet in which the publisher itself said STALE

# One line of the history.
cdef struct Kept:
    Record record
    uint64_t sequence
    uint32_t next
    uint32_t padding


cdef class Engine:
    cdef readonly Books books
    cdef readonly MarketWriter market
    cdef Arbiter arbiter
    cdef tuple receivers
    cdef void* looked_at[RECEIVERS]  # the same, for the loop
    cdef int receiver_count
    cdef Source sources[STREAMS]
    cdef uint32_t source_count
    cdef uint8_t* gates        # per symbol: source + 1 when its incrementals are applied as they come, else 0
    cdef Follow* follows
    cdef Kept* history
    cdef uint32_t history_size
    cdef uint32_t history_next
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
    cdef bint quiet            # a rebuild is going on: its steps are nobody's business
    cdef readonly uint64_t recoveries
    cdef readonly uint64_t stale_marks
    cdef readonly uint64_t foreign

    cdef void begin(self) noexcept nogil
    cdef void end(self) noexcept nogil
    cdef void measure(self, const Header* header, const Record* record) noexcept nogil
    cdef Source* source_of(self, const Header* header) noexcept nogil
    cdef void packet(self, const Received* received) noexcept nogil
    cdef void out_of_turn(self, const Received* received, Stream* stream, int place) noexcept nogil
    cdef void catch_up(self, Stream* stream, uint64_t drained, bint force) noexcept nogil
    cdef void expire(self, uint64_t drained) noexcept nogil
    cdef void deliver(self, const Received* received, int place) noexcept nogil
    cdef bint began_anew(self, const Header* header, Stream* stream) noexcept nogil
    cdef void incrementals(self, Source* source, const Header* header, const Record* records) noexcept nogil
    cdef void special(self, Source* source, const Header* header, const Record* record) noexcept nogil
    cdef void snapshots(self, Source* source, const Header* header, const Record* records) noexcept nogil
    cdef void rebuilt(self, Source* source, const Record* record) noexcept nogil
    cdef bint claim(self, Source* source, uint32_t symbol) noexcept nogil
    cdef void keep(self, const Record* record, uint64_t sequence) noexcept nogil
    cdef void lose(self, Source* source, uint8_t reason) noexcept nogil
    cdef void push(self, const Record* record) noexcept nogil
    cdef void drain(self, uint64_t keep) noexcept nogil
    cdef void finish(self) noexcept nogil
    cdef void hush(self, Source* source, bint silent) noexcept nogil
    cdef void tick(self) noexcept nogil
    cdef int receive(self, Receiver receiver) noexcept nogil
    cdef int look(self, bint everywhere) noexcept nogil
    cdef int loop(self, uint64_t until) noexcept nogil
    cdef void count(self, Metrics* metrics) noexcept nogil
