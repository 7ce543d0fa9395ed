"""Packets: a header of 40 bytes and up to 29 records, see docs/wire-format.md."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.records cimport Record

cdef enum:
    MAGIC = 0x314B4257     # "WBK1"
    HEADER_BYTES = 40
    PACKET_RECORDS = 29
    PACKET_BYTES = 1432
    VERSION = 1
    STREAMS = 64           # publishers that one process can follow, times channels

cpdef enum Channel:
    INCREMENTAL_CHANNEL = 0
    SNAPSHOT_CHANNEL = 1

# Why a packet was thrown away before anything in it was believed.
cdef enum:
    VALID = 0
    TOO_SHORT = 1
    BAD_MAGIC = 2
    BAD_VERSION = 3
    BAD_CHANNEL = 4
    BAD_COUNT = 5
    BAD_LENGTH = 6
    BAD_SEQUENCE = 7
    BAD_FLAGS = 8
    TOO_MANY_STREAMS = 9
    FAULTS = 10

# Where a packet stands in its stream.
cdef enum:
    NEXT = 0
    FIRST = 1              # of a stream not seen before
    AFTER_GAP = 2
    RESTARTED = 3          # first of a new epoch
    LATE = 4               # seen or given up already: to be ignored
    INVALID = 5

cdef struct Header:
    uint32_t magic
    uint8_t version
    uint8_t channel
    uint16_t count
    uint16_t venue
    uint16_t stream
    uint32_t epoch
    uint64_t sequence
    uint64_t send_ns
    uint32_t flags
    uint32_t reserved

cdef struct Stream:
    uint64_t key           # venue, stream, channel in one
    uint64_t expected      # sequence of the next packet
    uint32_t epoch
    uint16_t venue
    uint16_t stream
    uint8_t channel
    uint64_t packets
    uint64_t gaps
    uint64_t lost
    uint64_t late
    uint64_t restarts


cdef class Encoder:
    cdef Header header
    cdef uint64_t sequences[2]

    cdef Py_ssize_t fill(self, char* packet, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil


cdef class Sequencer:
    cdef Stream streams[STREAMS]
    cdef uint32_t used
    cdef uint32_t recent
    cdef uint64_t faults[FAULTS]

    cdef int check(self, const char* packet, Py_ssize_t length, Stream** stream) noexcept nogil
