from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.base.memory cimport Arena
from wirebook.core.engine.streams cimport CHANNELS, PLACES, SOURCES, LineState, Source, Stream
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
    RESTARTED = 3          # first of another publisher than before
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


# Why a packet, or a record, was refused: arbiter.REFUSALS has their names.
cdef enum:
    BY_STREAM = 0
    BY_SENDER = 1
    BY_PUBLISHER = 2
    BY_EPOCH = 3
    BY_SYMBOL = 4
    BY_NAME = 5
    REFUSALS_KEPT = 64

cdef struct Refused:
    uint64_t sender
    uint64_t packets
    uint16_t venue
    uint16_t stream
    uint8_t kind


cdef class Arbiter:
    cdef Source sources[SOURCES]
    cdef uint32_t used     # of them
    cdef uint8_t gates[PLACES]  # of the sources, by hash; 0: none
    cdef uint64_t faults[FAULTS]
    cdef readonly int lines
    cdef uint64_t timeout
    cdef uint64_t takeover     # ns of silence after which another publisher is followed
    cdef bint closed           # only streams that were named are followed
    cdef frozenset allowed     # IPv4 addresses that may speak, as numbers; empty: all
    cdef Refused refused[REFUSALS_KEPT]
    cdef uint32_t refusals     # of them
    cdef Slot* slots
    cdef uint16_t* kept
    cdef Arena arena
    cdef uint32_t free     # slot + 1, 0: none
    cdef readonly uint32_t holding
    cdef readonly uint64_t held
    cdef readonly uint64_t timeouts

    cdef int check(self, const Received* received, uint64_t now, Stream** found) noexcept nogil
    cdef int order_of(self, const Received* received, uint64_t now, Stream* stream) noexcept nogil
    cdef bint followed(self, const Received* received, uint64_t now, Source* source, LineState* line) noexcept nogil
    cdef void begin_anew(self, Source* source, const Header* header) noexcept nogil
    cdef bint may_speak(self, uint64_t sender) noexcept nogil
    cdef void refuse(self, uint8_t kind, uint16_t venue, uint16_t stream, uint64_t sender) noexcept nogil
    cdef Stream* find(self, const Received* received) noexcept nogil
    cdef Source* find_source(self, uint16_t venue, uint16_t stream, uint32_t* place) noexcept nogil
    cdef Source* take_in(self, uint16_t venue, uint16_t stream, uint32_t place) noexcept nogil

    cdef inline Stream* stream_at(self, uint32_t index) noexcept nogil:
        """Those of all sources, counted through."""
        return &self.sources[index // CHANNELS].channels[index % CHANNELS]

    cdef void restart(self, Stream* stream, const Header* header) noexcept nogil
    cdef void drop_held(self, Stream* stream) noexcept nogil
    cdef bint past(self, const Stream* stream) noexcept nogil
    cdef void hold(self, const Received* received, uint64_t now, Stream* stream) noexcept nogil
    cdef const Received* take_out(self, Stream* stream, uint64_t sequence) noexcept nogil
    cdef const Received* release(self, Stream* stream, uint64_t empty_at, bint force, int* order) noexcept nogil
    cdef Slot* slot_of(self, const Stream* stream) noexcept nogil
    cdef void count(self, Metrics* metrics) noexcept nogil
    cdef list released(self, Stream* stream, uint64_t empty_at, bint force)
