"""An AF_XDP socket through libxdp: packet memory that is shared with the kernel (UMEM), and the rings that pass it.

See the kernel's Documentation/networking/af_xdp.rst. One socket serves one receive queue of one interface.
"""

import errno
import os

from libc.errno cimport EAGAIN, EBUSY, EINTR, ENETDOWN, ENOBUFS
from libc.errno cimport errno as c_errno
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from wirebook.core.base.memory cimport Arena
from wirebook.errors import UserError

cdef extern from "<sys/socket.h>" nogil:
    enum: MSG_DONTWAIT
    ssize_t c_recvfrom "recvfrom"(int fd, void* buffer, size_t length, int flags, void* address, void* size)
    ssize_t c_sendto "sendto"(
        int fd, const void* buffer, size_t length, int flags, const void* address, unsigned int size)
    int c_getsockopt "getsockopt"(int fd, int level, int name, void* value, unsigned int* length)

cdef extern from "<linux/if_xdp.h>":
    enum: XDP_COPY
    enum: XDP_ZEROCOPY
    enum: XDP_USE_NEED_WAKEUP
    enum: XDP_OPTIONS
    enum: XDP_OPTIONS_ZEROCOPY
    enum: XDP_STATISTICS
    struct xdp_statistics:
        uint64_t rx_dropped
        uint64_t rx_invalid_descs
        uint64_t tx_invalid_descs
        uint64_t rx_ring_full
        uint64_t rx_fill_ring_empty_descs
        uint64_t tx_ring_empty_descs

cdef extern from "<xdp/xsk.h>":
    struct xsk_umem_config:
        uint32_t fill_size
        uint32_t comp_size
        uint32_t frame_size
        uint32_t frame_headroom
        uint32_t flags
    struct xsk_socket_config:
        uint32_t rx_size
        uint32_t tx_size
        uint32_t libxdp_flags
        uint32_t xdp_flags
        uint16_t bind_flags
    enum: XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD
    int xsk_umem__create(xsk_umem** umem, void* area, uint64_t size, xsk_ring_prod* fill, xsk_ring_cons* completed,
                         const xsk_umem_config* config)
    int xsk_socket__create(xsk_socket** socket, const char* interface, uint32_t queue, xsk_umem* umem,
                           xsk_ring_cons* rx, xsk_ring_prod* tx, const xsk_socket_config* config)
    int xsk_umem__delete(xsk_umem* umem)
    void xsk_socket__delete(xsk_socket* socket)
    int xsk_socket__fd(const xsk_socket* socket)

cdef enum:
    SOL_XDP = 283
    CALLS = 2 * FRAMES // 32

COPY = {"auto": 0, "copy": XDP_COPY, "zero-copy": XDP_ZEROCOPY}
"""Bind flags by the value of `af_xdp.copy`."""


cdef class XskSocket:
    """A socket bound to `queue` of `interface`, for receiving or, with `sends`, for sending.

    Needs CAP_NET_RAW, only while it is made. `copy` is "auto", "copy" or "zero-copy"; "auto" takes what the driver
    gives, and `zero_copy` tells what that was (XDP_OPTIONS). The packet memory is 8 MB, on hugepages by the policy
    `hugepages` of `memory.Arena`; `pages` tells which it got. It counts as locked memory (RLIMIT_MEMLOCK).
    """

    def __cinit__(self, str interface, int queue, bint sends=False, str copy="auto", str hugepages="auto"):
        cdef xsk_umem_config umem
        cdef xsk_socket_config config
        cdef int result
        cdef uint32_t frame
        self.fd = -1
        self.interface = interface
        self.queue_id = queue
        self.arena = Arena(FRAMES * FRAME_BYTES + (FRAMES * sizeof(uint64_t) if sends else 0), hugepages)
        self.pages = self.arena.kind
        self.area = <char*> self.arena.take(FRAMES * FRAME_BYTES)
        # A fill ring that holds every frame never lacks room for one that is given back.
        umem = xsk_umem_config(fill_size=FRAMES, comp_size=FRAMES, frame_size=FRAME_BYTES, frame_headroom=HEADROOM,
                               flags=0)
        result = xsk_umem__create(&self.umem, self.area, FRAMES * FRAME_BYTES, &self.fill, &self.completed, &umem)
        if result < 0:
            raise _refusal(-result, f"can't make an AF_XDP socket for {interface}")
        memset(&config, 0, sizeof(config))
        config.rx_size = FRAMES // 2
        config.tx_size = FRAMES
        config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD
        config.bind_flags = XDP_USE_NEED_WAKEUP | COPY[copy]
        result = xsk_socket__create(&self.socket, interface.encode(), queue, self.umem,
                                    NULL if sends else &self.rx, &self.tx if sends else NULL, &config)
        if result < 0:
            raise _refusal(-result, f"can't bind an AF_XDP socket to queue {queue} of {interface}")
        self.fd = xsk_socket__fd(self.socket)
        self.zero_copy = self._option(XDP_OPTIONS) & XDP_OPTIONS_ZEROCOPY
        if sends:
            self.idle = <uint64_t*> self.arena.take(FRAMES * sizeof(uint64_t))
            for frame in range(<uint32_t> FRAMES):
                self.idle[frame] = <uint64_t> frame * FRAME_BYTES
            self.idle_count = FRAMES
        else:
            self._fill_all()

    def __dealloc__(self):
        self._delete()

    def _delete(self):
        if self.socket != NULL:
            xsk_socket__delete(self.socket)
            self.socket = NULL
        if self.umem != NULL:
            xsk_umem__delete(self.umem)
            self.umem = NULL
        self.fd = -1

    def _option(self, int name):
        cdef uint32_t value = 0
        cdef unsigned int length = sizeof(value)
        if c_getsockopt(self.fd, SOL_XDP, name, &value, &length) != 0:
            raise OSError(c_errno, os.strerror(c_errno))
        return value

    def _fill_all(self):
        cdef uint32_t index = 0, frame
        xsk_ring_prod__reserve(&self.fill, FRAMES, &index)
        for frame in range(<uint32_t> FRAMES):
            xsk_ring_prod__fill_addr(&self.fill, index + frame)[0] = <uint64_t> frame * FRAME_BYTES
        xsk_ring_prod__submit(&self.fill, FRAMES)

    cdef int wake(self) noexcept nogil:
        """Let the kernel work on the rings; 0, or -errno when the socket is lost."""
        if c_recvfrom(self.fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) >= 0:
            return 0
        # Taken down and up again, the interface works on.
        if c_errno in (EAGAIN, EBUSY, EINTR, ENETDOWN, ENOBUFS):
            return 0
        return -c_errno

    cdef char* frame(self) noexcept nogil:
        """Where the headers of a frame to send begin, and FRAME_HEADERS_BYTES on its payload; NULL: none is free."""
        if self.idle_count == 0:
            self.flush()
            self.reclaim()
            if self.idle_count == 0:
                return NULL
        self.idle_count -= 1
        return self.area + self.idle[self.idle_count] + SEND_OFFSET

    cdef void queue_frame(self, const char* headers, uint32_t length) noexcept nogil:
        """Put a frame of frame() in the tx ring, which has room for every frame."""
        cdef uint32_t index = 0
        cdef xdp_desc* descriptor
        xsk_ring_prod__reserve(&self.tx, 1, &index)
        descriptor = xsk_ring_prod__tx_desc(&self.tx, index)
        descriptor.addr = headers - self.area
        descriptor.len = length
        descriptor.options = 0
        self.queued += 1

    cdef int flush(self) noexcept nogil:
        """Have what is queued sent; 0, or the errno that kept the kernel from it."""
        cdef int result = 0, calls = 0
        if self.queued:
            xsk_ring_prod__submit(&self.tx, self.queued)
            self.queued = 0
        # In copy mode a call sends 32 frames at most, and says EAGAIN when more are there; it also does when the
        # interface's own queue is full, and then what is left goes with the next flush.
        while xsk_ring_prod__needs_wakeup(&self.tx) and calls < CALLS:
            calls += 1
            if c_sendto(self.fd, NULL, 0, MSG_DONTWAIT, NULL, 0) >= 0:
                break
            result = c_errno
            if result != EAGAIN and result != EINTR:
                break
            result = 0
        self.reclaim()
        return result

    cdef void reclaim(self) noexcept nogil:
        """Take back the frames that were sent."""
        cdef uint32_t index = 0, count = xsk_ring_cons__peek(&self.completed, FRAMES, &index), n
        for n in range(count):
            self.idle[self.idle_count] = xsk_ring_cons__comp_addr(&self.completed, index + n)[0] & ~(FRAME_BYTES - 1)
            self.idle_count += 1
        if count:
            xsk_ring_cons__release(&self.completed, count)

    def statistics(self):
        """The kernel's own counters of this socket (XDP_STATISTICS), by their names there."""
        cdef xdp_statistics values
        cdef unsigned int length = sizeof(values)
        memset(&values, 0, sizeof(values))
        if c_getsockopt(self.fd, SOL_XDP, XDP_STATISTICS, &values, &length) != 0:
            raise OSError(c_errno, os.strerror(c_errno))
        return values

    def close(self):
        """Unbind, and give the queue back to the kernel."""
        self._delete()


def _refusal(int code, str what):
    reasons = {
        errno.EPERM: "give the process CAP_NET_RAW while it starts",
        errno.EBUSY: "another AF_XDP socket is bound to that queue: stop its process",
        errno.EINVAL: "there is no such queue: see `ethtool -l`, and set af_xdp.queue",
        errno.EOPNOTSUPP: "its driver has no zero-copy: set af_xdp.copy to \"auto\"",
        errno.ENODEV: "there is no such interface: change transport.interface",
        errno.ENETDOWN: "the interface is down: bring it up",
        errno.ENOBUFS: "the memlock limit is too small for 8 MB of packets: raise LimitMEMLOCK",
        errno.EAFNOSUPPORT: "this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)",
    }
    return UserError(f"{what} ({os.strerror(code)}): {reasons.get(code, 'see the kernel log')}")
