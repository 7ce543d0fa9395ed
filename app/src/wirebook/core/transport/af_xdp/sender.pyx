"""Sends by AF_XDP."""

import fcntl
import os
import socket
import struct

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from wirebook.core.base.hints cimport unlikely
from wirebook.core.transport.af_xdp.frame cimport (
    IP_BYTES, IP_CHECKSUM, IP_LENGTH, UDP_BYTES, UDP_CHECKSUM, UDP_LENGTH, htons, internet_checksum, internet_sum,
)
from wirebook.core.transport.af_xdp.socket cimport FRAME_HEADERS_BYTES, XskSocket
from wirebook.core.transport.base cimport Sender
from wirebook.core.wire.packet cimport PACKET_HEADER_BYTES, PACKET_RECORDS, Encoder
from wirebook.core.wire.records cimport RECORD_BYTES, Record
from wirebook.errors import UserError

cdef enum:
    SIOCGIFADDR = 0x8915
    SIOCGIFHWADDR = 0x8927


cdef class AfXdpSender(Sender):
    """Sends records through `lines`, a list of one or two (XskSocket, Endpoint): line A, line B.

    It writes Ethernet, IPv4 and UDP headers itself. Nothing is looped back: no reader on this very host gets a packet.
    Its packets have the interface's address as their source; `ttl` as for UDP.
    """

    def __cinit__(self, lines, int source_port, int ttl=1):
        for line, (xsk, endpoint) in enumerate(lines):
            endpoint.check()
            mac, address = _addresses(endpoint.interface)
            headers = _headers(endpoint, mac, address, source_port, ttl)
            memcpy(self.headers[line], <const char*> headers, FRAME_HEADERS_BYTES)
            pseudo = address + socket.inet_aton(endpoint.group) + struct.pack(">H", socket.IPPROTO_UDP)
            self.pseudo[line] = internet_sum(<const char*> pseudo, len(pseudo), 0)
        self.first = lines[0][0]
        self.second = lines[1][0] if len(lines) > 1 else None

    cdef void send(self, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil:
        cdef const char* packet
        cdef Py_ssize_t part
        while count > 0:
            part = min(count, <Py_ssize_t> PACKET_RECORDS)
            packet = self.send_line(self.first, 0, encoder, records, part, channel, NULL)
            if self.second is not None:
                self.send_line(self.second, 1, encoder, records, part, channel, packet)
            records += part
            count -= part
        self.finish(self.first)
        if self.second is not None:
            self.finish(self.second)

    cdef void finish(self, XskSocket xsk) noexcept nogil:
        cdef int failed = xsk.flush()
        if unlikely(failed):
            self.last_error = failed

    cdef const char* send_line(
            self, XskSocket xsk, int line, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel,
            const char* packet) noexcept nogil:
        """Queue a packet on a line: a copy of `packet`, or with NULL the next one, made of the records. Returns it."""
        cdef char* frame = xsk.frame() if xsk.fd >= 0 else NULL
        cdef char* payload = &self.scratch[0] if frame == NULL else frame + FRAME_HEADERS_BYTES
        cdef Py_ssize_t length
        if packet == NULL:
            length = encoder.fill(payload, records, count, channel)
        else:
            length = PACKET_HEADER_BYTES + count * RECORD_BYTES
            memcpy(payload, packet, length)
        if unlikely(frame == NULL):
            self.drops += 1
            return payload
        memcpy(frame, self.headers[line], FRAME_HEADERS_BYTES)
        (<uint16_t*> (frame + IP_LENGTH))[0] = htons(<uint16_t> (IP_BYTES + UDP_BYTES + length))
        (<uint16_t*> (frame + IP_CHECKSUM))[0] = internet_checksum(internet_sum(frame + 14, IP_BYTES, 0))
        (<uint16_t*> (frame + UDP_LENGTH))[0] = htons(<uint16_t> (UDP_BYTES + length))
        # The length is summed twice: it is part of the pseudo header too. 0 would mean that there is no checksum.
        cdef uint64_t sum = self.pseudo[line] + (<uint16_t*> (frame + UDP_LENGTH))[0]
        cdef uint16_t check = internet_checksum(internet_sum(frame + 34, UDP_BYTES + length, sum))
        (<uint16_t*> (frame + UDP_CHECKSUM))[0] = check if check else 0xFFFF
        xsk.queue_frame(frame, <uint32_t> (FRAME_HEADERS_BYTES + length))
        self.packets += 1
        self.bytes += length
        return payload

    def close(self):
        """Close the sockets; publish() only counts drops from then on."""
        self.first.close()
        if self.second is not None:
            self.second.close()


def _addresses(interface):
    """MAC address and first IPv4 address of the interface, as six and four bytes (netdevice(7))."""
    request = struct.pack("16s240x", os.fsencode(interface))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        try:
            mac, address = (fcntl.ioctl(any_socket, code, request) for code in (SIOCGIFHWADDR, SIOCGIFADDR))
        except OSError as error:
            raise UserError(f"{interface!r} has no IPv4 address to send from ({error.strerror}): give it one") from None
    return mac[18:24], address[20:24]


def _headers(endpoint, source, address, source_port, ttl):
    """Ethernet, IPv4 and UDP headers (RFC 894, 791, 768), without lengths and checksums."""
    group = socket.inet_aton(endpoint.group)
    # RFC 1112: the lower 23 bits of the group.
    ethernet = b"\1\0\x5e" + bytes([group[1] & 0x7F]) + group[2:] + source + b"\x08\0"
    # Never fragmented, so it needs no identification (RFC 6864).
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 0, 0, 0x4000, ttl, socket.IPPROTO_UDP, 0) + address + group
    return ethernet + ip + struct.pack(">HHHH", source_port, endpoint.port, 0, 0)
