"""UDP multicast: many packets a system call, without the GIL, with everything that the kernel can tell about them."""

import socket
import struct

from libc.errno cimport EAGAIN, EINTR
from libc.errno cimport errno as c_errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset
from posix.stdlib cimport posix_memalign
from posix.time cimport timespec

from wirebook.core.base.hints cimport unlikely
from wirebook.core.base.sanitize cimport allow, forbid
from wirebook.core.transport.base cimport (
    BURST, LINES, STAMP_HARDWARE, STAMP_KERNEL, STAMP_USER, Received, Receiver, Sender, sender_of,
)
from wirebook.core.wire.packet cimport PACKET_RECORDS, PACKET_ROOM, Encoder
from wirebook.core.wire.records cimport Record

from wirebook.core.transport.multicast import join, receive_buffer as given_buffer, set_receive_buffer
from wirebook.core.transport.stamping import PhcWatch, stamping
from wirebook.errors import UserError

cdef extern from "<sys/socket.h>" nogil:
    enum: MSG_DONTWAIT
    enum: SOL_SOCKET
    enum: SO_TIMESTAMPING
    enum: SO_RXQ_OVFL
    enum: SO_BUSY_POLL
    enum: SO_PREFER_BUSY_POLL
    enum: SO_BUSY_POLL_BUDGET
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    cmsghdr* CMSG_NXTHDR(msghdr* message, cmsghdr* control)
    unsigned char* CMSG_DATA(cmsghdr* control)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags)
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, timespec* timeout)

cdef extern from "<linux/net_tstamp.h>":
    enum: SOF_TIMESTAMPING_RX_HARDWARE
    enum: SOF_TIMESTAMPING_RX_SOFTWARE
    enum: SOF_TIMESTAMPING_SOFTWARE
    enum: SOF_TIMESTAMPING_RAW_HARDWARE

cdef extern from "<netinet/in.h>":
    enum: IP_MULTICAST_ALL


cdef inline uint64_t ns_of(const timespec* time) noexcept nogil:
    return <uint64_t> time.tv_sec * 1000000000 + <uint64_t> time.tv_nsec


cdef char* _slots() except NULL:
    cdef void* memory = NULL
    if posix_memalign(&memory, 4096, BURST * PACKET_ROOM) != 0:
        raise MemoryError
    memset(memory, 0, BURST * PACKET_ROOM)  # faulted in now, not with the first packet
    return <char*> memory


cdef class UdpSender(Sender):
    """Sends records to the multicast groups of `lines`, one `Endpoint` or two: each packet leaves on line A, then on B.

    `ttl` is the number of routers + 1 that packets may cross; with `loopback` readers on this very host get them too.
    A packet that a line's socket doesn't take (no buffer, link down) counts in `drops`.
    """

    def __cinit__(self, lines, int ttl=1, bint loopback=True):
        cdef int index
        self.slots = _slots()
        for index in range(BURST):
            self.vectors[index].iov_base = self.slots + index * PACKET_ROOM
            self.messages[index].msg_hdr.msg_iov = &self.vectors[index]
            self.messages[index].msg_hdr.msg_iovlen = 1
        if not 1 <= len(lines) <= LINES:
            raise ValueError(f"there are 1 or {<int> LINES} lines, not {len(lines)}")
        self.sockets = [_connected(endpoint, ttl, loopback) for endpoint in lines]
        self.lines = len(lines)
        for index in range(self.lines):
            self.fds[index] = self.sockets[index].fileno()

    def __dealloc__(self):
        free(self.slots)

    cdef void send(self, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil:
        cdef unsigned int filled = 0
        cdef int line
        cdef Py_ssize_t part
        while count > 0:
            part = min(count, <Py_ssize_t> PACKET_RECORDS)
            self.vectors[filled].iov_len = encoder.fill(self.slots + filled * PACKET_ROOM, records, part, channel)
            filled += 1
            records += part
            count -= part
            if filled == BURST or count == 0:
                for line in range(self.lines):
                    self.flush(self.fds[line], filled)
                filled = 0

    cdef void flush(self, int fd, unsigned int count) noexcept nogil:
        cdef unsigned int done = 0
        cdef int sent, index
        while done < count:
            sent = sendmmsg(fd, &self.messages[done], count - done, 0)
            if unlikely(sent < 0):
                if c_errno == EINTR:
                    continue
                # The first packet of the rest is what failed.
                self.last_error = c_errno
                self.drops += 1
                done += 1
                continue
            for index in range(sent):
                self.bytes += self.vectors[done + index].iov_len
            self.packets += sent
            done += sent

    def close(self):
        """Close the sockets; publish() only counts drops from then on."""
        for index, each in enumerate(self.sockets):
            each.close()
            self.fds[<int> index] = -1


def _connected(endpoint, int ttl, bint loopback):
    index = endpoint.check()
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(loopback))
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("@4s4si", b"", b"", index))
    try:
        made.connect((endpoint.group, endpoint.port))
    except OSError as error:
        made.close()
        raise UserError(
            f"can't send to {endpoint.group}:{endpoint.port} through {endpoint.interface!r} ({error.strerror}): "
            "bring the interface up, with an address"
        ) from None
    return made


cdef class UdpReceiver(Receiver):
    """Receives packets of the multicast group of an `Endpoint`, joined on its interface.

    `receive_buffer` is in bytes of SO_RCVBUF; `buffer_bytes` is what the kernel gave. `busy_poll_us` is SO_BUSY_POLL,
    0 for off. `line` is the line that the group carries; `seldom` says that it carries nothing but snapshots. `drops`
    counts packets that found the buffer full or have a wrong checksum (SO_RXQ_OVFL). `stamps` says who stamps the
    packets (SO_TIMESTAMPING), and why it isn't the NIC; the first packets after nobody on the host had asked for stamps
    may still have none.
    """

    def __cinit__(self, endpoint, int receive_buffer=8 << 20, int busy_poll_us=0, *, uint8_t line=0, bint seldom=False):
        cdef int index
        self.slots = _slots()
        self.seldom = seldom
        for index in range(BURST):
            self.vectors[index].iov_base = self.slots + index * PACKET_ROOM
            self.vectors[index].iov_len = PACKET_ROOM
            self.messages[index].msg_hdr.msg_iov = &self.vectors[index]
            self.messages[index].msg_hdr.msg_iovlen = 1
            self.messages[index].msg_hdr.msg_control = self.control[index]
            self.messages[index].msg_hdr.msg_name = &self.senders[index]
            self.received[index].data = self.slots + index * PACKET_ROOM
            self.received[index].line = line
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # Several readers of a host share a group, and each gets every packet: neither option balances multicast. Both,
        # so that a reader which sets only one of them can be another. Bound to the group, the socket gets no other
        # datagrams of the port, and without IP_MULTICAST_ALL none of the group on another line's interface (ip(7)).
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self.socket.setsockopt(socket.IPPROTO_IP, IP_MULTICAST_ALL, 0)
        join(self.socket, endpoint, bind=True)
        self.fd = self.socket.fileno()
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self._set_stamps(endpoint.interface)
        notes = []
        note = set_receive_buffer(self.socket, receive_buffer)
        if note is not None:
            notes.append(note)
        self.buffer_bytes = given_buffer(self.socket)
        if busy_poll_us:
            self._poll_busily(busy_poll_us, notes)
        self.notes = tuple(notes)

    def _poll_busily(self, int busy_poll_us, list notes):
        # Each look polls the NIC's queue itself, and its interrupts stay off as long as we come (napi.rst).
        wanted = ((SO_BUSY_POLL, busy_poll_us), (SO_PREFER_BUSY_POLL, 1), (SO_BUSY_POLL_BUDGET, <int> BURST))
        for option, value in wanted:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, option, value)
            except OSError as error:
                notes.append(
                    f"busy polling is off ({error.strerror}): give the process CAP_NET_ADMIN, "
                    "or set transport.busy_poll_us to 0"
                )
                return

    def _set_stamps(self, str interface):
        flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE
        phc, reason = stamping(interface)
        if phc >= 0:
            try:
                self.watched = PhcWatch(phc)
                self._relate()
                flags |= SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE
            except OSError as error:
                reason = f"/dev/ptp{phc}, its clock, can't be read ({error.strerror})"
        self.stamps = f"by the kernel, since {reason}" if reason else f"by {interface} itself, told by /dev/ptp{phc}"
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, int(flags))

    def _relate(self):
        self.phc_ns, self.offset_ns, self.rate = self.watched.relation

    def watch(self):
        """Follow the NIC's clock, if it stamps."""
        if self.watched is None:
            return []
        try:
            warning = self.watched.look()
        except OSError as error:
            return [f"the NIC's clock can't be read any more ({error.strerror}): its stamps drift away from our time"]
        self._relate()
        return [warning] if warning else []

    def counters(self):
        """Also packets by who stamped them, and how often the NIC's clock or the system's was set."""
        return {
            "packets": self.packets,
            "drops": self.drops,
            "calls": self.calls,
            "stamps_user": self.stamped[<int> STAMP_USER],
            "stamps_kernel": self.stamped[<int> STAMP_KERNEL],
            "stamps_hardware": self.stamped[<int> STAMP_HARDWARE],
            "clock_steps": self.watched.steps if self.watched is not None else 0,
        }

    def __dealloc__(self):
        if self.slots != NULL:
            allow(self.slots, BURST * PACKET_ROOM)
        free(self.slots)

    cdef void stamp(self, Received* received, const timespec* times) noexcept nogil:
        """By SCM_TIMESTAMPING: the kernel's time is the first of three, the NIC's the last; 0 is none."""
        cdef uint64_t phc = ns_of(times + 2)
        if phc and self.phc_ns:
            received.stamp = STAMP_HARDWARE
            received.receive_ns = phc + self.offset_ns + <int64_t> (<int64_t> (phc - self.phc_ns) * self.rate)
        elif ns_of(times):
            received.stamp = STAMP_KERNEL
            received.receive_ns = ns_of(times)

    cdef int receive(self) noexcept nogil:
        """Take what is there, up to BURST packets, without waiting; returns how many, or -errno."""
        cdef int count, index
        cdef cmsghdr* control
        for index in range(BURST):
            self.messages[index].msg_hdr.msg_controllen = CONTROL_BYTES
            self.messages[index].msg_hdr.msg_namelen = sizeof(sockaddr_in)
        allow(self.slots, BURST * PACKET_ROOM)
        count = recvmmsg(self.fd, self.messages, BURST, MSG_DONTWAIT, NULL)
        self.empty = count < <int> BURST
        if count <= 0:
            return 0 if c_errno == EAGAIN or c_errno == EINTR else -c_errno
        self.calls += 1
        self.packets += count
        for index in range(count):
            self.received[index].length = self.messages[index].msg_len
            forbid(self.received[index].data + self.messages[index].msg_len, PACKET_ROOM - self.messages[index].msg_len)
            self.received[index].stamp = STAMP_USER
            self.received[index].receive_ns = 0
            self.received[index].sender = sender_of(self.senders[index].sin_addr.s_addr, self.senders[index].sin_port)
            control = CMSG_FIRSTHDR(&self.messages[index].msg_hdr)
            while control != NULL:
                if control.cmsg_level == SOL_SOCKET:
                    if control.cmsg_type == SO_TIMESTAMPING:
                        self.stamp(&self.received[index], <const timespec*> CMSG_DATA(control))
                    elif control.cmsg_type == SO_RXQ_OVFL:
                        self.drops = (<uint32_t*> CMSG_DATA(control))[0]
                control = CMSG_NXTHDR(&self.messages[index].msg_hdr, control)
            self.stamped[self.received[index].stamp] += 1
        return count

    def close(self):
        """Leave the group and close the socket."""
        if self.watched is not None:
            self.watched.close()
            self.watched = None
        self.socket.close()
        self.fd = -1
