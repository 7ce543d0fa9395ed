"""What is where in a frame: Ethernet, IPv4 without options, UDP (RFC 894, 791, 768)."""

from libc.stdint cimport uint16_t, uint64_t

cdef extern from "<arpa/inet.h>" nogil:
    enum: IPPROTO_UDP
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)

cdef extern from "transport/af_xdp/checksum.h" nogil:
    uint64_t internet_sum "wb_sum"(const void* data, size_t length, uint64_t sum)
    uint16_t internet_checksum "wb_checksum"(uint64_t sum)

cdef enum:
    # Where the fields are, from the frame's start.
    IP_LENGTH = 16
    IP_CHECKSUM = 24
    IP_SOURCE = 26
    IP_GROUP = 30
    UDP_SOURCE = 34
    UDP_PORT = 36
    UDP_LENGTH = 38
    UDP_CHECKSUM = 40
    IP_BYTES = 20
    UDP_BYTES = 8
