"""Packets (docs/wire-format.md): made from batches, and checked."""

from typing import NamedTuple

from libc.string cimport memcpy

from wirebook.core.base.clock cimport wall_ns
from wirebook.core.base.hints cimport unlikely
from wirebook.core.wire.records cimport CLEAR, RECORD_BYTES, Batch, Record

RECORDS = PACKET_RECORDS
"""Of a full packet."""

FAULT_NAMES = (
    "valid", "too_short", "bad_magic", "bad_version", "bad_channel", "bad_count", "bad_length", "bad_sequence",
    "bad_flags", "too_many_streams", "unknown_stream", "refused",
)


class Packet(NamedTuple):
    """A decoded packet; the fields are the header's."""

    channel: int
    venue: int
    stream: int
    epoch: int
    nonce: int
    sequence: int
    send_ns: int
    records: Batch


cdef class Encoder:
    """Makes the packets of one publisher.

    `venue` and `stream` are its numbers, `epoch` its start in seconds since 1970: higher than at any earlier start.
    `nonce` is drawn at random at each start, so that two publishers of one second are not taken for one.

    Each channel counts its own sequence from 1. A snapshot's CLEAR is stamped with the sequence of the last incremental
    packet made before it: that is how a reader knows which incrementals the snapshot holds already. So give a whole
    snapshot, made of the books after everything that went out, in one call.
    """

    def __cinit__(self, uint16_t venue, uint16_t stream, uint32_t epoch, uint32_t nonce=0):
        assert sizeof(Header) == PACKET_HEADER_BYTES
        self.header.magic = MAGIC
        self.header.version = VERSION
        self.header.venue = venue
        self.header.stream = stream
        self.header.epoch = epoch
        self.header.nonce = nonce

    cdef Py_ssize_t fill(self, char* packet, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil:
        """Make the next packet of `channel` in `packet` (8-byte aligned) of up to 29 records; returns its length."""
        cdef Header* header = <Header*> packet
        cdef Record* body = <Record*> (packet + PACKET_HEADER_BYTES)
        cdef Py_ssize_t index
        self.sequences[channel] += 1
        header[0] = self.header
        header.channel = channel
        header.count = <uint16_t> count
        header.sequence = self.sequences[channel]
        memcpy(body, records, count * RECORD_BYTES)
        if channel == SNAPSHOT_CHANNEL:
            for index in range(count):
                if body[index].kind == CLEAR:
                    body[index].price = <long long> self.sequences[<int> INCREMENTAL_CHANNEL]
        header.send_ns = wall_ns()
        return PACKET_HEADER_BYTES + count * RECORD_BYTES

    def encode(self, Batch batch, uint8_t channel=INCREMENTAL_CHANNEL):
        """The batch's records as packets, a list of bytes; an empty batch makes none."""
        cdef uint64_t packet[179]  # PACKET_BYTES, aligned
        cdef Py_ssize_t done = 0, count, length
        if channel > SNAPSHOT_CHANNEL:
            raise ValueError(f"there is no channel {channel}")
        packets = []
        while done < batch.size:
            count = min(<Py_ssize_t> PACKET_RECORDS, batch.size - done)
            length = self.fill(<char*> packet, batch.data + done, count, channel)
            packets.append((<char*> packet)[:length])
            done += count
        return packets

    def sequence(self, uint8_t channel=INCREMENTAL_CHANNEL):
        """Of the last packet made for the channel; 0 before the first."""
        if channel > SNAPSHOT_CHANNEL:
            raise ValueError(f"there is no channel {channel}")
        return self.sequences[channel]


cdef int fault_of(const char* packet, Py_ssize_t length) noexcept nogil:
    """VALID, or the first reason not to believe the packet."""
    cdef const Header* header = <const Header*> packet
    if unlikely(length < PACKET_HEADER_BYTES):
        return TOO_SHORT
    if unlikely(header.magic != MAGIC):
        return BAD_MAGIC
    if unlikely(header.version != VERSION):
        return BAD_VERSION
    if unlikely(header.channel > SNAPSHOT_CHANNEL):
        return BAD_CHANNEL
    if unlikely(header.count > PACKET_RECORDS):
        return BAD_COUNT
    if unlikely(length != PACKET_HEADER_BYTES + header.count * RECORD_BYTES):
        return BAD_LENGTH
    if unlikely(header.sequence == 0):
        return BAD_SEQUENCE
    if unlikely(header.flags):
        return BAD_FLAGS
    return VALID


def decode(const unsigned char[::1] data not None):
    """The Packet in `data`; ValueError with the fault's name when it isn't a valid one."""
    cdef Header header
    cdef Py_ssize_t length = data.shape[0]
    cdef int fault = TOO_SHORT if length == 0 else fault_of(<const char*> &data[0], length)
    if fault != VALID:
        raise ValueError(FAULT_NAMES[fault])
    memcpy(&header, &data[0], PACKET_HEADER_BYTES)
    batch = Batch(PACKET_RECORDS)
    batch.extend(data[PACKET_HEADER_BYTES:])
    return Packet(header.channel, header.venue, header.stream, header.epoch, header.nonce, header.sequence,
                  header.send_ns, batch)
