"""Receives by AF_XDP.

The XDP program (steer.bpf.c) hands the frames of the configured groups to the socket; the kernel still does IGMP,
ARP and everything else. Loading the program is a privileged process's work: see `wirebook.xdp`.
"""

import socket
import time

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wirebook.core.base.hints cimport likely, unlikely
from wirebook.core.base.sanitize cimport RED_ZONE, allow, forbid
from wirebook.core.transport.af_xdp.frame cimport (
    IP_GROUP, IP_SOURCE, IPPROTO_UDP, UDP_BYTES, UDP_CHECKSUM, UDP_LENGTH, UDP_PORT, UDP_SOURCE, htons,
    internet_checksum, internet_sum, ntohs,
)
from wirebook.core.transport.af_xdp.program import Verdicts
from wirebook.core.transport.af_xdp.socket cimport (
    FRAME_HEADERS_BYTES, XskSocket, xdp_desc, xsk_ring_cons, xsk_ring_cons__peek, xsk_ring_cons__release,
    xsk_ring_cons__rx_desc, xsk_ring_prod, xsk_ring_prod__fill_addr, xsk_ring_prod__needs_wakeup,
    xsk_ring_prod__reserve, xsk_ring_prod__submit,
)
from wirebook.core.transport.af_xdp.tap cimport Tap
from wirebook.core.transport.base cimport BURST, STAMP_KERNEL, STAMP_USER, Received, Receiver, sender_of
from wirebook.core.transport.multicast import join
from wirebook.errors import UserError

cdef extern from "transport/af_xdp/steer.h" nogil:
    enum: STEER_MARK
    struct steer_stamp:
        uint64_t tai_ns
        uint32_t line
        uint32_t mark

cdef extern from * nogil:
    void prefetch "__builtin_prefetch"(const void* address)


def _join(endpoints):
    """An ordinary socket that is a member of the groups: the kernel speaks IGMP for it, and tells the NIC's filter.

    It is bound to no port, so no packet that the program passes to the kernel is ever queued for it.
    """
    joined = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        for endpoint in endpoints:
            join(joined, endpoint, bind=False)
    except UserError:
        joined.close()
        raise
    return joined


cdef inline bint _sound(const char* frame, uint32_t length) noexcept nogil:
    """Whether the UDP datagram of `length` bytes is as it was sent, if its checksum tells (RFC 768: 0 is none)."""
    cdef uint64_t sum = (<const uint16_t*> (frame + UDP_LENGTH))[0] + htons(IPPROTO_UDP)  # of the pseudo header
    if (<const uint16_t*> (frame + UDP_CHECKSUM))[0] == 0:
        return True
    # Behind the addresses, which are in it too.
    return internet_checksum(internet_sum(frame + IP_SOURCE, 8 + length, sum)) == 0


cdef class AfXdpReceiver(Receiver):
    """Receives by the socket `xsk` what the XDP program redirects.

    `destinations` is a list of (Endpoint, line): the groups to join, all on the socket's interface. `grant` is what
    keeps the program attached (`wirebook.xdp.Grant`): it is closed with the receiver. With `busy_poll` each look has
    the kernel poll the NIC (SO_PREFER_BUSY_POLL, which the grant's owner has set), instead of its interrupts.

    `tap` gets a copy of each frame while somebody reads it.

    With `verify_checksum` a packet whose UDP checksum is wrong is not handed out, as by a kernel socket, and counted as
    `bad_udp_checksum`. `malformed` counts frames that weren't what the program lets through.
    """

    def __cinit__(self, XskSocket xsk not None, destinations, grant, bint busy_poll=False, notes=(),
                  Tap tap=None, bint verify_checksum=True):
        self.xsk = xsk
        self.fd = xsk.fd
        self.grant = grant
        self.mode = grant.mode
        self.verdicts = Verdicts(grant.verdicts)
        self.busy_poll = busy_poll
        self.verify_checksum = verify_checksum
        self.notes = tuple(notes)
        self.tap = tap
        if len(destinations) > GROUPS:
            raise ValueError(f"an AF_XDP socket serves {<int> GROUPS} groups at most")
        for endpoint, line in destinations:
            self.destinations[self.groups] = _key(socket.inet_aton(endpoint.group), endpoint.port)
            self.lines[self.groups] = line
            self.groups += 1
        self.joined = _join([endpoint for endpoint, _ in destinations])
        self._set_offset()

    def _set_offset(self):
        # Whole seconds, unless the clock is set in between: TAI and UTC tick alike.
        difference = time.clock_gettime_ns(time.CLOCK_TAI) - time.time_ns()
        self.tai_offset = round(difference / 1e9) * 1_000_000_000
        self.newest = 0  # the clock may have been set back

    cdef uint8_t line_of(self, const char* frame) noexcept nogil:
        """For a frame that has no stamp, because its driver has no metadata."""
        cdef uint64_t key = (<const uint32_t*> (frame + IP_GROUP))[0]
        cdef uint32_t index
        key |= <uint64_t> (<const uint16_t*> (frame + UDP_PORT))[0] << 32
        for index in range(self.groups):
            if self.destinations[index] == key:
                return self.lines[index]
        return 0

    cdef int receive(self) noexcept nogil:
        cdef xsk_ring_cons* rx = &self.xsk.rx
        cdef xsk_ring_prod* fill = &self.xsk.fill
        cdef char* area = self.xsk.area
        cdef char* frame
        cdef const xdp_desc* descriptor
        cdef steer_stamp stamp
        cdef Received* received = &self.received[0]
        cdef uint32_t index = 0, back = 0, count, n, length
        cdef uint64_t newest = self.newest, offset = self.tai_offset
        cdef int failed
        cdef bint tapped = self.tap is not None and self.tap.wanted()
        self.empty = True
        if unlikely(self.fd < 0):
            return 0
        if self.held:
            for n in range(self.taken):
                allow(self.received[n].data + self.received[n].length, RED_ZONE)
            xsk_ring_prod__submit(fill, self.held)
            self.held = self.taken = 0
        if self.busy_poll or unlikely(xsk_ring_prod__needs_wakeup(fill)):
            failed = self.xsk.wake()
            if unlikely(failed):
                return failed
        # Else what came since the last look is not seen before all that was there then is taken.
        rx.cached_prod = rx.cached_cons
        count = xsk_ring_cons__peek(rx, BURST, &index)
        self.empty = count < BURST
        if count == 0:
            return 0
        # The frames go back with the next look. There is room for all: the ring is as long as there are frames.
        xsk_ring_prod__reserve(fill, count, &back)
        # A loop this short asks for all frames at once; the one below would wait for one after another.
        for n in range(count):
            descriptor = xsk_ring_cons__rx_desc(rx, index + n)
            # The kernel rounds it down to the frame's start.
            xsk_ring_prod__fill_addr(fill, back + n)[0] = descriptor.addr
            prefetch(area + descriptor.addr)
            prefetch(area + descriptor.addr + FRAME_HEADERS_BYTES)
        for n in range(count):
            descriptor = xsk_ring_cons__rx_desc(rx, index + n)
            frame = area + descriptor.addr
            length = ntohs((<const uint16_t*> (frame + UDP_LENGTH))[0])
            if unlikely(descriptor.len < FRAME_HEADERS_BYTES or length < UDP_BYTES
                        or length > descriptor.len - (FRAME_HEADERS_BYTES - UDP_BYTES)):
                self.malformed += 1
                continue
            if self.verify_checksum and unlikely(not _sound(frame, length)):
                self.bad_udp_checksum += 1
                continue
            received.data = frame + FRAME_HEADERS_BYTES
            received.length = length - UDP_BYTES
            received.sender = sender_of((<const uint32_t*> (frame + IP_SOURCE))[0],
                                        (<const uint16_t*> (frame + UDP_SOURCE))[0])
            memcpy(&stamp, frame - sizeof(steer_stamp), sizeof(steer_stamp))
            if likely(stamp.mark == STEER_MARK and stamp.tai_ns >= newest):
                newest = stamp.tai_ns
                received.stamp = STAMP_KERNEL
                received.line = <uint8_t> stamp.line
                received.receive_ns = newest - offset
            else:  # what is there, if anything, is the stamp of the frame that was here before
                received.stamp = STAMP_USER
                received.line = self.line_of(frame)
                received.receive_ns = 0
            if unlikely(tapped):
                self.tap.offer(frame, descriptor.len, received.receive_ns, received.stamp, received.line)
            forbid(received.data + received.length, RED_ZONE)
            received += 1
        xsk_ring_cons__release(rx, count)
        self.held = count
        self.taken = <uint32_t> (received - &self.received[0])
        self.newest = newest
        self.packets += self.taken
        return <int> self.taken

    def counters(self):
        """Also `malformed`, `bad_udp_checksum`, and as `xdp_NAME` what the XDP program did with every frame it saw."""
        self._set_offset()
        if self.tap is not None:
            self.tap.check()
        if self.fd >= 0:
            statistics = self.xsk.statistics()
            self.drops = statistics["rx_dropped"] + statistics["rx_ring_full"]
            verdicts = self.verdicts.read()
        else:
            verdicts = {}
        return {
            "packets": self.packets,
            "drops": self.drops,
            "malformed": self.malformed,
            "bad_udp_checksum": self.bad_udp_checksum,
            **{f"xdp_{name}": value for name, value in verdicts.items()},
        }

    def close(self):
        """Leave the groups and the socket; the kernel takes the XDP program off when nobody else holds its link."""
        if self.fd >= 0:
            self.counters()
            self.fd = -1
            self.grant.close()
            self.joined.close()
            if self.tap is not None:
                self.tap.close()
            self.xsk.close()


def _key(group, port):
    return int.from_bytes(group, "little") | socket.htons(port) << 32
