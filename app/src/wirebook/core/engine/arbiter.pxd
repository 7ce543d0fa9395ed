from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.base.memory cimport Arena
from wirebook.core.engine.streams cimport CHANNELS, PLACES, SOURCES, Source, Stream
from wirebook.core.market.layout cimport Metrics
from wirebook.core.transport.base cimport Received
from wirebook.core.wire.packet cimport FAULTS, PACKET_ROOM, Header

cdef enum:
    WINDOW = 1024          # packets that can wait for a hole before them: 5 ms at 200,000 a second

# A packet's order in its stream.
cdef enum:
    NEXT = 0
    FIRST = 1              # of a stream not seen before
    AFTER_GAP = 2
    RESTARTED = 3          # first of a new epoch
    LATE = 4               # came already, or was given up: to be ignored
    INVALID = 5
    HELD = 6               # copied: a hole before it may still be filled
    FULL = 7               # it can't be held: give a hole up, and ask again

cdef struct Slot:
    Received received
    uint64_t since         # CLOCK_MONOTONIC of its arrival
    uint16_t next_free     # slot + 1
    uint64_t padding[3]
    char data[PACKET_ROOM]


cdef class Arbiter:
    cdef Source sources[SOURCES]
    cdef uint32_t used     # of them
    cdef uint8_t gates[PLACES]  # of the sources, by hash; 0: none
    cdef uint64_t faults[FAULTS]
    cdef readonly int lines
    cdef uint64_t timeout
    cdef Slot* slots
    cdef uint16_t* kept
    cdef Arena arena
    cdef uint32_t free     # slot + 1, 0: none
    cdef readonly uint32_t holding
    cdef readonly uint64_t held
    cdef readonly uint64_t timeouts

    cdef int check(self, const Received* received, uint64_t now, Stream** found) noexcept nogil
    cdef int order_of(self, const Received* received, uint64_t now, Stream* stream) noexcept nogil
    cdef Stream* find(self, const Header* header) noexcept nogil
    cdef Source* take_in(self, const Header* header, uint32_t place) noexcept nogil

    cdef inline Stream* stream_at(self, uint32_t index) noexcept nogil:
        """Those of all sources, counted through."""
        return &self.sources[index // CHANNELS].channels[index % CHANNELS]

    cdef void restart(self, Stream* stream, const Header* header) noexcept nogil
    cdef bint past(self, const Stream* stream) noexcept nogil
    cdef void hold(self, const Received* received, uint64_t now, Stream* stream) noexcept nogil
    cdef const Received* take_out(self, Stream* stream, uint64_t sequence) noexcept nogil
    cdef const Received* release(self, Stream* stream, uint64_t empty_at, bint force, int* order) noexcept nogil
    cdef Slot* slot_of(self, const Stream* stream) noexcept nogil
    cdef void count(self, Metrics* metrics) noexcept nogil
    cdef list released(self, Stream* stream, uint64_t empty_at, bint force)
