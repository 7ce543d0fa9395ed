from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wirebook.core.transport.af_xdp.socket cimport XskSocket
from wirebook.core.transport.af_xdp.tap cimport Tap
from wirebook.core.transport.base cimport Receiver

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
