"""What all transports have in common: packets are received in bursts, as pointers, and sent from records.

A receiver hands out its own memory: kernel UDP its slots, AF_XDP the NIC's frames. Nothing is copied on the way to the
books. It may carry incrementals and snapshots, of one line or of both: a packet's header tells the channel, `Received`
the line.
"""

import ipaddress
import os
import socket
from typing import NamedTuple

from libc.errno cimport EINVAL
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from wirebook.core.wire.packet cimport SNAPSHOT_CHANNEL, Encoder
from wirebook.core.wire.records cimport Batch, Record

from wirebook.errors import UserError


cdef int receive_bytes(Received* received, uint64_t* packet, const unsigned char[::1] data, uint8_t line,
                       uint64_t sender=0) except -1:
    if line >= LINES:
        raise ValueError(f"there is no line {line}")
    memset(received, 0, sizeof(Received))
    received.data = <char*> packet
    received.length = <uint32_t> min(data.shape[0], <Py_ssize_t> (PACKET_WORDS * sizeof(uint64_t)))
    received.line = line
    received.sender = sender
    if received.length:
        memcpy(packet, &data[0], received.length)
    return 0


class Endpoint(NamedTuple):
    """Where one line of a channel goes: a multicast group and port, through a named interface."""

    group: str
    port: int
    interface: str

    def check(self):
        """The interface's index. UserError for an interface that isn't there, or a group that is none."""
        try:
            index = socket.if_nametoindex(self.interface)
        except OSError:
            names = ", ".join(sorted(known for _, known in socket.if_nameindex()))
            raise UserError(
                f"there is no interface {self.interface!r} (this host has {names}): change transport.interface"
            ) from None
        try:
            multicast = ipaddress.IPv4Address(self.group).is_multicast
        except ValueError:
            multicast = False
        if not multicast:
            raise UserError(f"{self.group!r} is no IPv4 multicast group: take one of 239.0.0.0/8")
        return index


cdef class Receiver:
    """Packets of one or more multicast groups.

    `packets` were handed out, `drops` came and found no room. `notes` are sentences for the log about what was not
    obtained. `fd` is for poll(2).
    """

    cdef int receive(self) noexcept nogil:
        """Take what is there into `received`, up to BURST packets, without waiting; returns how many, or -errno.

        The packets before are given back: their memory may change from now on.
        """
        return -EINVAL

    def poll(self, int timeout_ms=0):
        """Up to 32 packets, as (bytes, line, stamp kind, stamp in ns since 1970); waits `timeout_ms` for the first."""
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
            (
                self.received[n].data[:self.received[n].length],
                Line(self.received[n].line),
                Stamp(self.received[n].stamp),
                self.received[n].receive_ns,
            )
            for n in range(count)
        ]

    def counters(self):
        """What became of the packets, by name; a transport adds its own to these."""
        return {"packets": self.packets, "drops": self.drops}

    def watch(self):
        """To be called once a second: looks after what needs it, and returns warnings for the log."""
        return []

    def close(self):
        """Give everything back; nothing is received from then on."""


cdef class Sender:
    """Sends records as packets to a multicast group, on one line or on both.

    A packet that the transport doesn't take is counted in `drops` and not sent again: readers see the gap and
    recover, a sender that waits would only spread its trouble. `packets` and `bytes` count each line's copy.
    """

    cdef void send(self, Encoder encoder, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil:
        """Send the records in as many packets as it takes."""

    def publish(self, Encoder encoder, Batch batch, uint8_t channel=0):
        """Send the batch's records on `channel` (`packet.Channel`), in as many packets as it takes."""
        if channel > SNAPSHOT_CHANNEL:
            raise ValueError(f"there is no channel {channel}")
        with nogil:
            self.send(encoder, batch.data, batch.size, channel)

    def counters(self):
        """What became of the packets, by name; a transport adds its own to these."""
        return {"packets": self.packets, "bytes": self.bytes, "drops": self.drops}

    def close(self):
        """Give everything back; what is published from then on is only counted as dropped."""
