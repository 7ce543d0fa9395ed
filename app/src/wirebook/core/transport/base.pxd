from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.wire.packet cimport PACKET_ROOM, Encoder
from wirebook.core.wire.records cimport Record

cdef extern from "<poll.h>" nogil:
    enum: POLLIN
    struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd* fds, unsigned long count, int timeout_ms)

cdef extern from "<arpa/inet.h>" nogil:
    uint32_t ntohl(uint32_t address)
    uint16_t ntohs(uint16_t port)

cdef enum:
    BURST = 32             # packets that one look takes at most
    LINES = 2
    PACKET_WORDS = PACKET_ROOM // 8

cpdef enum Line:
    LINE_A = 0
    LINE_B = 1

# Who wrote down when a packet came.
cpdef enum Stamp:
    STAMP_USER = 0         # this process, when it took the packet
    STAMP_KERNEL = 1       # the kernel, when the driver handed it over
    STAMP_HARDWARE = 2     # the NIC, told in the system's time

cdef struct Received:
    const char* data       # of the transport, 8-byte aligned; valid until its next receive()
    uint32_t length
    uint8_t stamp
    uint8_t line
    uint64_t receive_ns    # wall clock of the stamp; 0 with STAMP_USER: whoever takes it knows the time
    uint64_t sender        # IPv4 address << 16 | port, see sender_of(); 0: nobody knows

# A Received of `data` copied into `packet`, of PACKET_WORDS; ValueError for a line that isn't there.
cdef int receive_bytes(Received* received, uint64_t* packet, const unsigned char[::1] data, uint8_t line,
                       uint64_t sender=*) except -1


cdef inline uint64_t sender_of(uint32_t address, uint16_t port) noexcept nogil:
    """Who sent a packet, by its address and port as they are in it, in network order."""
    return <uint64_t> ntohl(address) << 16 | ntohs(port)


cdef class Receiver:
    cdef Received received[BURST]
    cdef readonly int fd           # poll(2) says when it is readable that there are packets
    cdef readonly bint seldom      # carries nothing but snapshots: need not be looked at each time
    cdef bint empty                # all that had come before the last receive() was taken
    cdef readonly tuple notes
    cdef readonly uint64_t packets
    cdef readonly uint64_t drops

    cdef int receive(self) noexcept nogil


cdef class Sender:
    cdef readonly uint64_t packets
    cdef readonly uint64_t bytes
    cdef readonly uint64_t drops
    cdef readonly int last_error

    cdef void send(self, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil
