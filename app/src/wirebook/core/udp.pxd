from libc.stdint cimport uint32_t

from wirebook.core.transport cimport BURST, LINES, Receiver, Sender

cdef enum:
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


cdef class UdpSender(Sender):
    cdef list sockets
    cdef int fds[LINES]
    cdef int lines
    cdef char* slots
    cdef mmsghdr messages[BURST]
    cdef iovec vectors[BURST]

    cdef void flush(self, int fd, unsigned int count) noexcept nogil


cdef class UdpReceiver(Receiver):
    cdef object socket
    cdef readonly int buffer_bytes
    cdef char* slots
    cdef mmsghdr messages[BURST]
    cdef iovec vectors[BURST]
    cdef char control[BURST][CONTROL_BYTES]
    cdef readonly uint32_t calls
