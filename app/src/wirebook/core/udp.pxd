from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wirebook.core.packet cimport Encoder
from wirebook.core.records cimport Record

cdef enum:
    BURST = 32             # packets a system call
    SLOT_BYTES = 1536      # a packet's place: longer than any valid packet, a multiple of the cache line
    CONTROL_BYTES = 128

cdef extern from "<sys/socket.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len


cdef class Sender:
    cdef object socket
    cdef int fd
    cdef char* slots
    cdef mmsghdr messages[BURST]
    cdef iovec vectors[BURST]
    cdef readonly uint64_t packets
    cdef readonly uint64_t bytes
    cdef readonly uint64_t dropped
    cdef readonly int last_error

    cdef void send(self, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil
    cdef void flush(self, unsigned int count) noexcept nogil


cdef class Receiver:
    cdef object socket
    cdef readonly int fd
    cdef readonly int buffer_bytes
    cdef readonly tuple notes
    cdef char* slots
    cdef mmsghdr messages[BURST]
    cdef iovec vectors[BURST]
    cdef char control[BURST][CONTROL_BYTES]
    cdef uint64_t kernel_ns[BURST]
    cdef readonly uint32_t kernel_drops
    cdef readonly uint64_t packets
    cdef readonly uint64_t calls

    cdef int receive(self) noexcept nogil
