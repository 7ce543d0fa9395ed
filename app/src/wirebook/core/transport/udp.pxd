from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from posix.time cimport timespec

from wirebook.core.transport.base cimport BURST, LINES, Received, Receiver, Sender

cdef enum:
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


cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr


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
    cdef sockaddr_in senders[BURST]
    cdef char control[BURST][CONTROL_BYTES]
    cdef readonly uint64_t calls
    cdef readonly str stamps
    cdef uint64_t stamped[3]   # by transport.Stamp
    cdef object watched        # the NIC's clock, None: the kernel stamps
    cdef uint64_t phc_ns       # its relation to the system's, see stamping.Relation
    cdef int64_t offset_ns
    cdef double rate

    cdef void stamp(self, Received* received, const timespec* times) noexcept nogil
