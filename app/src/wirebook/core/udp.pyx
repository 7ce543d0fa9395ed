"""UDP multicast: many packets a system call, without the GIL, with everything that the kernel can tell about them."""

import ipaddress
import os
import socket
import struct

from libc.errno cimport EAGAIN, EINTR
from libc.errno cimport errno as c_errno
from libc.stdlib cimport free
from libc.string cimport memset
from posix.stdlib cimport posix_memalign
from posix.time cimport timespec

from wirebook.core.packet cimport PACKET_RECORDS, SNAPSHOT_CHANNEL, Encoder
from wirebook.core.records cimport Batch, Record, unlikely
from wirebook.errors import UserError

cdef extern from "<sys/socket.h>" nogil:
    enum: MSG_DONTWAIT
    enum: SOL_SOCKET
    enum: SO_TIMESTAMPNS
    enum: SO_RXQ_OVFL
    enum: SO_BUSY_POLL
    enum: SO_RCVBUFFORCE
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    cmsghdr* CMSG_NXTHDR(msghdr* message, cmsghdr* control)
    unsigned char* CMSG_DATA(cmsghdr* control)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags)
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, timespec* timeout)

cdef extern from "<poll.h>" nogil:
    enum: POLLIN
    struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd* fds, unsigned long count, int timeout_ms)


def _interface(str name):
    """Its index; UserError names those that there are."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        names = ", ".join(sorted(known for _, known in socket.if_nameindex()))
        raise UserError(f"there is no interface {name!r} (this host has {names}): change transport.interface") from None


def _group(str address):
    try:
        multicast = ipaddress.IPv4Address(address).is_multicast
    except ValueError:
        multicast = False
    if not multicast:
        raise UserError(f"{address!r} is no IPv4 multicast group: take one of 239.0.0.0/8")
    return address


cdef char* _slots() except NULL:
    cdef void* memory = NULL
    if posix_memalign(&memory, 4096, BURST * SLOT_BYTES) != 0:
        raise MemoryError
    memset(memory, 0, BURST * SLOT_BYTES)  # faulted in now, not with the first packet
    return <char*> memory


cdef class Sender:
    """Sends records to a multicast group through a named interface.

    `ttl` is the number of routers + 1 that packets may cross; with `loopback` readers on this very host get them too.
    A packet that the kernel doesn't take (no buffer, link down) is counted in `dropped` and not sent again: readers see
    the gap and recover, a sender that waits would only spread its trouble.
    """

    def __cinit__(self, str group, int port, str interface, int ttl=1, bint loopback=True):
        cdef int index
        self.slots = _slots()
        for index in range(BURST):
            self.vectors[index].iov_base = self.slots + index * SLOT_BYTES
            self.messages[index].msg_hdr.msg_iov = &self.vectors[index]
            self.messages[index].msg_hdr.msg_iovlen = 1
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, ttl)
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, int(loopback))
        outgoing = struct.pack("@4s4si", b"", b"", _interface(interface))
        self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, outgoing)
        try:
            self.socket.connect((_group(group), port))
        except OSError as error:
            raise UserError(
                f"can't send to {group}:{port} through {interface!r} ({error.strerror}): "
                "bring the interface up, with an address"
            ) from None
        self.fd = self.socket.fileno()

    def __dealloc__(self):
        free(self.slots)

    cdef void send(self, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil:
        cdef unsigned int filled = 0
        cdef Py_ssize_t part
        while count > 0:
            part = min(count, <Py_ssize_t> PACKET_RECORDS)
            self.vectors[filled].iov_len = encoder.fill(self.slots + filled * SLOT_BYTES, records, part, channel)
            filled += 1
            records += part
            count -= part
            if filled == BURST:
                self.flush(filled)
                filled = 0
        if filled:
            self.flush(filled)

    cdef void flush(self, unsigned int count) noexcept nogil:
        cdef unsigned int done = 0
        cdef int sent, index
        while done < count:
            sent = sendmmsg(self.fd, &self.messages[done], count - done, 0)
            if unlikely(sent < 0):
                if c_errno == EINTR:
                    continue
                # The first packet of the rest is what failed.
                self.last_error = c_errno
                self.dropped += 1
                done += 1
                continue
            for index in range(sent):
                self.bytes += self.vectors[done + index].iov_len
            self.packets += sent
            done += sent

    def publish(self, Encoder encoder, Batch batch, uint8_t channel=0):
        """Send the batch's records on `channel` (`packet.Channel`), in as many packets as it takes."""
        if channel > SNAPSHOT_CHANNEL:
            raise ValueError(f"there is no channel {channel}")
        with nogil:
            self.send(encoder, batch.data, batch.size, channel)

    def close(self):
        """Close the socket; publish() only counts drops from then on."""
        self.socket.close()
        self.fd = -1


cdef class Receiver:
    """Receives packets of a multicast group joined on a named interface.

    `receive_buffer` is in bytes of SO_RCVBUF; `buffer_bytes` is what the kernel gave. `busy_poll_us` is SO_BUSY_POLL,
    0 for off. `notes` are sentences for the log about what was not obtained. `kernel_drops` counts packets that found
    the buffer full (SO_RXQ_OVFL). Each packet has the kernel's receive time (SO_TIMESTAMPNS).
    """

    def __cinit__(self, str group, int port, str interface, int receive_buffer=8 << 20, int busy_poll_us=0):
        cdef int index
        self.slots = _slots()
        for index in range(BURST):
            self.vectors[index].iov_base = self.slots + index * SLOT_BYTES
            self.vectors[index].iov_len = SLOT_BYTES
            self.messages[index].msg_hdr.msg_iov = &self.vectors[index]
            self.messages[index].msg_hdr.msg_iovlen = 1
            self.messages[index].msg_hdr.msg_control = self.control[index]
        membership = struct.pack("@4s4si", socket.inet_aton(_group(group)), b"", _interface(interface))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # Several readers of a host share a group; bound to the group, the socket gets no other datagrams of the port.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self.socket.bind((group, port))
            self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        except OSError as error:
            raise UserError(
                f"can't join {group}:{port} on {interface!r}: {error.strerror}; "
                "another program may own the port, or the interface is down"
            ) from None
        self.fd = self.socket.fileno()
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        notes = []
        self._set_buffer(receive_buffer, notes)
        if busy_poll_us:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, SO_BUSY_POLL, busy_poll_us)
            except OSError as error:
                notes.append(
                    f"busy polling is off ({error.strerror}): give the process CAP_NET_ADMIN, "
                    "or set transport.busy_poll_us to 0"
                )
        self.notes = tuple(notes)

    def _set_buffer(self, int wanted, list notes):
        # The kernel doubles the value for its own bookkeeping and tells the doubled one; net.core.rmem_max cuts it
        # silently, unless the process has CAP_NET_ADMIN and says "force".
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted)
        self.buffer_bytes = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        if self.buffer_bytes < wanted:
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, wanted)
            except PermissionError:
                notes.append(
                    f"the receive buffer has {self.buffer_bytes} bytes instead of {wanted}: "
                    f"sysctl -w net.core.rmem_max={wanted}"
                )
            self.buffer_bytes = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2

    def __dealloc__(self):
        free(self.slots)

    cdef int receive(self) noexcept nogil:
        """Take what is there, up to BURST packets, without waiting; returns how many, or -errno."""
        cdef int count, index
        cdef cmsghdr* control
        cdef timespec* stamp
        for index in range(BURST):
            self.messages[index].msg_hdr.msg_controllen = CONTROL_BYTES
        count = recvmmsg(self.fd, self.messages, BURST, MSG_DONTWAIT, NULL)
        if count <= 0:
            return 0 if c_errno == EAGAIN or c_errno == EINTR else -c_errno
        self.calls += 1
        self.packets += count
        for index in range(count):
            self.kernel_ns[index] = 0
            control = CMSG_FIRSTHDR(&self.messages[index].msg_hdr)
            while control != NULL:
                if control.cmsg_level == SOL_SOCKET:
                    if control.cmsg_type == SO_TIMESTAMPNS:
                        stamp = <timespec*> CMSG_DATA(control)
                        self.kernel_ns[index] = <uint64_t> stamp.tv_sec * 1000000000 + <uint64_t> stamp.tv_nsec
                    elif control.cmsg_type == SO_RXQ_OVFL:
                        self.kernel_drops = (<uint32_t*> CMSG_DATA(control))[0]
                control = CMSG_NXTHDR(&self.messages[index].msg_hdr, control)
        return count

    def poll(self, int timeout_ms=0):
        """Up to 32 packets, as (bytes, kernel's receive time, ns since 1970); waits `timeout_ms` for the first."""
        cdef int count
        cdef pollfd waiting
        waiting.fd = self.fd
        waiting.events = POLLIN
        with nogil:
            if timeout_ms:
                c_poll(&waiting, 1, timeout_ms)
            count = self.receive()
        if count < 0:
            raise OSError(-count, os.strerror(-count))
        return [
            ((<char*> self.vectors[n].iov_base)[:self.messages[n].msg_len], self.kernel_ns[n]) for n in range(count)
        ]

    def close(self):
        """Leave the group and close the socket."""
        self.socket.close()
        self.fd = -1
