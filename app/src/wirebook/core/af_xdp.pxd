from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wirebook.core.packet cimport Encoder
from wirebook.core.records cimport Record
from wirebook.core.tap cimport Tap
from wirebook.core.transport cimport LINES, Receiver, Sender
from wirebook.core.xsk cimport FRAME_BYTES, HEADERS_BYTES, XskSocket

cdef enum:
    GROUPS = 16


cdef class AfXdpReceiver(Receiver):
    cdef readonly XskSocket xsk
    cdef readonly str mode
    cdef readonly uint64_t malformed
    cdef readonly uint64_t bad_udp_checksum
    cdef bint verify_checksum
    cdef Tap tap
    cdef object joined
    cdef object grant
    cdef object verdicts
    cdef bint busy_poll
    cdef uint32_t held             # frames of the last receive(), and packets that they were
    cdef uint32_t taken
    cdef uint64_t tai_offset
    cdef uint64_t newest           # stamp: those of later frames are never before it
    cdef uint64_t destinations[GROUPS]
    cdef uint8_t lines[GROUPS]
    cdef uint32_t groups

    cdef uint8_t line_of(self, const char* frame) noexcept nogil


cdef class AfXdpSender(Sender):
    cdef XskSocket first
    cdef XskSocket second
    cdef char headers[LINES][HEADERS_BYTES]
    cdef uint64_t pseudo[LINES]
    cdef char scratch[FRAME_BYTES]

    cdef void finish(self, XskSocket xsk) noexcept nogil
    cdef const char* send_line(
        self, XskSocket xsk, int line, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel,
        const char* packet) noexcept nogil
