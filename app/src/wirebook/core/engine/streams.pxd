"""What is known of each publisher and of its two streams: one table, which the arbiter keeps.

A packet's venue and stream number tell its source, and with its channel its stream. The arbiter writes the streams, and
the recovery and the engine the rest.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.transport.base cimport LINES

cdef enum:
    SOURCES = 64           # publishers that one process can follow
    PLACES = 256           # where they are looked for: so many that probes stay short
    CHANNELS = 2

# What one line brought of a stream.
cdef struct LineState:
    uint64_t sender        # whose packets it takes, as Received.sender; 0: none came yet, or nobody knows
    uint64_t next          # sequence after the highest that came; 0: none in this epoch
    uint64_t seen          # bit n: next - 1 - n came
    uint64_t packets
    uint64_t first         # came before the other line's copy, or without one
    uint64_t lost          # never came
    uint64_t late          # came after a higher sequence of this line
    uint64_t duplicates    # came on this line before, or much too late

cdef struct Stream:
    Source* source         # whose it is
    uint64_t expected      # sequence of the next packet
    uint64_t seen          # bit n: expected - 1 - n was delivered
    uint8_t channel
    uint32_t holding       # packets that wait for a hole before them
    uint64_t lowest        # the first of them
    uint64_t packets
    uint64_t gaps          # holes that nothing filled
    uint64_t lost          # packets in them
    uint64_t late          # packets of them that came afterwards
    uint64_t copies        # the other line's
    uint64_t restarts
    LineState lines[LINES]
    uint16_t* kept         # slot + 1 of the packet held for a sequence, by its remainder; 0: none

# A publisher: its incremental and its snapshot channel.
cdef struct Source:
    uint16_t venue
    uint16_t stream
    uint8_t gate               # what the gate of a symbol is when it is open to this source: its number + 1
    uint8_t doubt              # Reason why none of its books is LIVE, whatever it said; 0: none
    bint known                 # a publisher is followed
    bint contested             # and another may have come in its place: none of its books can be believed
    bint marked                # they are marked for that
    bint anew                  # another publisher is followed than before: nothing of the old one's is left
    uint32_t epoch             # which publisher is followed: those of its start
    uint32_t nonce
    uint64_t taken_ns          # CLOCK_MONOTONIC of the newest packet of that publisher, on either channel
    uint64_t contested_ns      # ... of the newest of that other one
    uint64_t whole_from        # every incremental packet from this sequence on was received; 0: none was yet
    uint64_t last              # sequence of the newest incremental packet
    uint64_t heard_ns          # CLOCK_MONOTONIC of the newest incremental packet
    int32_t rebuilding         # symbol that the snapshot channel is rebuilding, -1: none
    uint64_t snapshot_holds    # sequence up to which that snapshot holds the incrementals
    Stream channels[CHANNELS]
