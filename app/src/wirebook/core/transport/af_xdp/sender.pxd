from libc.stdint cimport uint8_t, uint64_t

from wirebook.core.transport.af_xdp.socket cimport FRAME_BYTES, FRAME_HEADERS_BYTES, XskSocket
from wirebook.core.transport.base cimport LINES, Sender
from wirebook.core.wire.packet cimport Encoder
from wirebook.core.wire.records cimport Record


cdef class AfXdpSender(Sender):
    cdef XskSocket first
    cdef XskSocket second
    cdef char headers[LINES][FRAME_HEADERS_BYTES]
    cdef uint64_t pseudo[LINES]
    cdef char scratch[FRAME_BYTES]

    cdef void finish(self, XskSocket xsk) noexcept nogil
    cdef const char* send_line(
        self, XskSocket xsk, int line, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel,
        const char* packet) noexcept nogil
