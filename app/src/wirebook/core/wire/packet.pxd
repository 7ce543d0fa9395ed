"""Packets: a header of 40 bytes and up to 29 records, see docs/wire-format.md."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.wire.records cimport Record

cdef enum:
    MAGIC = 0x314B4257     # "WBK1"
    PACKET_HEADER_BYTES = 40
    PACKET_RECORDS = 29
    PACKET_BYTES = 1432
    PACKET_ROOM = 1536     # longer than any valid packet, a multiple of the cache line: what is too long stays so
    VERSION = 1

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
    UNKNOWN_STREAM = 10    # none that the configuration names
    REFUSED = 11           # of a publisher that isn't the one followed, or may not speak
    FAULTS = 12

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
    uint32_t nonce         # drawn at the publisher's start: tells apart two that started in one second

cdef int fault_of(const char* packet, Py_ssize_t length) noexcept nogil


cdef class Encoder:
    cdef Header header
    cdef uint64_t sequences[2]

    cdef Py_ssize_t fill(self, char* packet, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil
