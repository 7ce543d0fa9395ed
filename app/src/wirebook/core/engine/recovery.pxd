from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from wirebook.core.base.memory cimport Arena
from wirebook.core.books.book cimport Book
from wirebook.core.books.books cimport Books
from wirebook.core.engine.arbiter cimport STREAMS
from wirebook.core.market.layout cimport Arrival
from wirebook.core.market.writer cimport MarketWriter
from wirebook.core.wire.packet cimport Header
from wirebook.core.wire.records cimport Record

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


cdef class Recovery:
    cdef Books books
    cdef MarketWriter market
    cdef Source sources[STREAMS]
    cdef uint32_t source_count
    cdef uint8_t* gates        # per symbol: source + 1 when its incrementals are applied as they come, else 0
    cdef Follow* follows
    cdef Kept* history
    cdef uint32_t history_size
    cdef uint32_t history_next
    cdef Arena arena
    cdef bint quiet            # a rebuild is going on: its steps are nobody's business
    cdef uint64_t recoveries
    cdef uint64_t stale_marks
    cdef uint64_t foreign

    cdef inline Source* source_of(self, const Header* header) noexcept nogil:
        """The publisher of a packet; `Arbiter` has refused those of streams beyond its table."""
        cdef uint32_t key = <uint32_t> header.venue << 16 | header.stream
        cdef uint32_t index
        for index in range(self.source_count):
            if self.sources[index].key == key:
                return &self.sources[index]
        index = self.source_count
        self.source_count += 1
        memset(&self.sources[index], 0, sizeof(Source))
        self.sources[index].key = key
        self.sources[index].rebuilding = -1
        return &self.sources[index]

    cdef inline uint8_t gate_of(self, const Source* source) noexcept nogil:
        """What the gate of a symbol is when it is open to this source."""
        return <uint8_t> (source - &self.sources[0]) + 1

    cdef void special(self, Source* source, const Header* header, const Record* record) noexcept nogil
    cdef void snapshots(self, Source* source, const Header* header, const Record* records) noexcept nogil
    cdef void lose(self, Source* source, uint8_t reason) noexcept nogil
    cdef void hush(self, Source* source, bint silent, uint64_t now, const Arrival* arrival) noexcept nogil
    cdef void rebuilt(self, Source* source, const Record* record) noexcept nogil
    cdef bint claim(self, Source* source, uint32_t symbol) noexcept nogil
    cdef void keep(self, const Record* record, uint64_t sequence) noexcept nogil
    cdef void show(self, Book* book) noexcept nogil
