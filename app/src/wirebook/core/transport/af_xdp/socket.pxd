from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.base.memory cimport Arena

cdef extern from "<xdp/xsk.h>" nogil:
    struct xdp_desc:
        uint64_t addr
        uint32_t len
        uint32_t options
    struct xsk_ring_prod:
        pass
    struct xsk_ring_cons:
        uint32_t cached_prod
        uint32_t cached_cons
    struct xsk_umem:
        pass
    struct xsk_socket:
        pass
    uint64_t* xsk_ring_prod__fill_addr(xsk_ring_prod* ring, uint32_t index)
    const uint64_t* xsk_ring_cons__comp_addr(const xsk_ring_cons* ring, uint32_t index)
    xdp_desc* xsk_ring_prod__tx_desc(xsk_ring_prod* ring, uint32_t index)
    const xdp_desc* xsk_ring_cons__rx_desc(const xsk_ring_cons* ring, uint32_t index)
    bint xsk_ring_prod__needs_wakeup(const xsk_ring_prod* ring)
    uint32_t xsk_ring_prod__reserve(xsk_ring_prod* ring, uint32_t count, uint32_t* index)
    void xsk_ring_prod__submit(xsk_ring_prod* ring, uint32_t count)
    uint32_t xsk_ring_cons__peek(xsk_ring_cons* ring, uint32_t count, uint32_t* index)
    void xsk_ring_cons__release(xsk_ring_cons* ring, uint32_t count)

cdef enum:
    FRAME_BYTES = 2048
    FRAMES = 4096
    # Ethernet, IPv4 without options, UDP.
    FRAME_HEADERS_BYTES = 42
    # The kernel puts a frame 256 bytes (XDP_PACKET_HEADROOM) and this behind the start of its place. Then the payload
    # starts at 320: on a cache line's boundary, with the headers and the program's stamp all in the line before it.
    HEADROOM = 22
    # The same for a frame that we send; its place has no headroom of the kernel's.
    SEND_OFFSET = 22


cdef class XskSocket:
    cdef xsk_umem* umem
    cdef xsk_socket* socket
    cdef Arena arena
    cdef char* area
    cdef xsk_ring_prod fill
    cdef xsk_ring_cons completed
    cdef xsk_ring_cons rx
    cdef xsk_ring_prod tx
    cdef readonly int fd
    cdef readonly str interface
    cdef readonly int queue_id
    cdef readonly bint zero_copy
    cdef readonly str pages
    cdef uint64_t* idle            # frames that may be sent with: places in `area`
    cdef uint32_t idle_count
    cdef uint32_t queued           # in the tx ring, and not yet told to the kernel

    cdef char* frame(self) noexcept nogil
    cdef void queue_frame(self, const char* headers, uint32_t length) noexcept nogil
    cdef int flush(self) noexcept nogil
    cdef void reclaim(self) noexcept nogil

    cdef int wake(self) noexcept nogil
