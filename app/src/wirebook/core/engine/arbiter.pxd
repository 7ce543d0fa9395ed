from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.base.memory cimport Arena
from wirebook.core.market.layout cimport Metrics
from wirebook.core.transport.base cimport LINES, Received
from wirebook.core.wire.packet cimport FAULTS, Header

cdef enum:
    STREAMS = 64           # publishers that one process can follow, times channels
    WINDOW = 1024          # packets that can wait for a hole before them: 5 ms at 200,000 a second
    HELD_BYTES = 1536      # longer than any valid packet

# Where a packet stands in its stream.
cdef enum:
    NEXT = 0
    FIRST = 1              # of a stream not seen before
    AFTER_GAP = 2
    RESTARTED = 3          # first of a new epoch
    LATE = 4               # came already, or was given up: to be ignored
    INVALID = 5
    HELD = 6               # copied: a hole before it may still be filled
    FULL = 7               # it can't be held: give a hole up, and place it again

# What one line brought of a stream.
cdef struct LineState:
    uint64_t next          # sequence after the highest that came; 0: none in this epoch
    uint64_t seen          # bit n: next - 1 - n came
    uint64_t packets
    uint64_t first         # came before the other line's copy, or without one
    uint64_t lost          # never came
    uint64_t late          # came after a higher sequence of this line
    uint64_t duplicates    # came on this line before, or much too late

cdef struct Stream:
    uint64_t key           # venue, stream, channel in one
    uint64_t expected      # sequence of the next packet
    uint64_t seen          # bit n: expected - 1 - n was delivered
    uint32_t epoch
    uint16_t venue
    uint16_t stream
    uint8_t channel
    uint32_t holding       # packets that wait for a hole before them
    uint64_t lowest        # the first of them
    uint64_t packets
    uint64_t gaps          # holes that nothing filled
    uint64_t lost          # packets in them
    uint64_t late          # packets of them that came afterwards, or of an old epoch
    uint64_t copies        # the other line's
    uint64_t restarts
    LineState lines[LINES]
    uint16_t* places       # slot + 1 of the packet held for a sequence, by its remainder; 0: none

cdef struct Slot:
    Received received
    uint64_t since         # CLOCK_MONOTONIC of its arrival
    uint16_t next_free     # slot + 1
    uint64_t padding[3]
    char data[HELD_BYTES]


cdef class Arbiter:
    cdef Stream streams[STREAMS]
    cdef uint32_t used
    cdef uint32_t recent
    cdef uint64_t faults[FAULTS]
    cdef readonly int lines
    cdef uint64_t timeout
    cdef Slot* slots
    cdef uint16_t* places
    cdef Arena arena
    cdef uint32_t free     # slot + 1, 0: none
    cdef readonly uint32_t holding
    cdef readonly uint64_t held
    cdef readonly uint64_t timeouts

    cdef int check(self, const Received* received, uint64_t now, Stream** found) noexcept nogil
    cdef int place(self, const Received* received, uint64_t now, Stream* stream) noexcept nogil
    cdef Stream* find(self, const Header* header) noexcept nogil
    cdef void restart(self, Stream* stream, const Header* header) noexcept nogil
    cdef bint past(self, const Stream* stream) noexcept nogil
    cdef void hold(self, const Received* received, uint64_t now, Stream* stream) noexcept nogil
    cdef const Received* take_out(self, Stream* stream, uint64_t sequence) noexcept nogil
    cdef const Received* release(self, Stream* stream, uint64_t drained, bint force, int* place) noexcept nogil
    cdef Slot* slot_of(self, const Stream* stream) noexcept nogil
    cdef void count(self, Metrics* metrics) noexcept nogil
    cdef list released(self, Stream* stream, uint64_t drained, bint force)
