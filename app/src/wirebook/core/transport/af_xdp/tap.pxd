from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    SLOTS = 2048
    TAP_SLOT_BYTES = 1568
    SLOT_DATA = 1536       # of a frame; more is cut off
    TAP_HEADER_BYTES = 4096

cdef struct TapHeader:
    char magic[8]
    uint32_t slots
    uint32_t slot_bytes
    uint64_t head          # sequence of the next frame
    uint64_t wanted_until  # CLOCK_MONOTONIC; a reader that died wants no more
    uint32_t wanted

cdef struct TapSlot:
    uint64_t sequence      # of the frame in it, + 1; 0 while it is written
    uint64_t receive_ns
    uint32_t length        # on the wire
    uint8_t stamp
    uint8_t line
    uint8_t padding[10]
    char data[SLOT_DATA]


cdef class Tap:
    cdef TapHeader* header
    cdef char* slots
    cdef object path

    cdef bint wanted(self) noexcept nogil
    cdef void offer(
        self, const char* frame, uint32_t length, uint64_t receive_ns, uint8_t stamp, uint8_t line) noexcept nogil
