"""Packets (docs/wire-format.md): made from batches, checked, and put in their place in the stream."""

from typing import NamedTuple

from libc.string cimport memcpy, memset

from wirebook.core.clock cimport wall_ns
from wirebook.core.records cimport CLEAR, RECORD_BYTES, Batch, Record, unlikely

FAULT_NAMES = (
    "valid", "too_short", "bad_magic", "bad_version", "bad_channel", "bad_count", "bad_length", "bad_sequence",
    "bad_flags", "too_many_streams",
)
PLACE_NAMES = ("next", "first", "gap", "restart", "late", "invalid")


class Packet(NamedTuple):
    """A decoded packet; the fields are the header's."""

    channel: int
    venue: int
    stream: int
    epoch: int
    sequence: int
    send_ns: int
    records: Batch


cdef class Encoder:
    """Makes the packets of one publisher.

    `venue` and `stream` are its numbers, `epoch` its start in seconds since 1970: higher than at any earlier start.

    Each channel counts its own sequence from 1. A snapshot's CLEAR is stamped with the sequence of the last incremental
    packet made before it: that is how a reader knows which incrementals the snapshot holds already. So give a whole
    snapshot, made of the books after everything that went out, in one call.
    """

    def __cinit__(self, uint16_t venue, uint16_t stream, uint32_t epoch):
        assert sizeof(Header) == HEADER_BYTES
        self.header.magic = MAGIC
        self.header.version = VERSION
        self.header.venue = venue
        self.header.stream = stream
        self.header.epoch = epoch

    cdef Py_ssize_t fill(self, char* packet, const Record* records, Py_ssize_t count, uint8_t channel) noexcept nogil:
        """Make the next packet of `channel` in `packet` (8-byte aligned) of up to 29 records; returns its length."""
        cdef Header* header = <Header*> packet
        cdef Record* body = <Record*> (packet + HEADER_BYTES)
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
        return HEADER_BYTES + count * RECORD_BYTES

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
    if unlikely(length < HEADER_BYTES):
        return TOO_SHORT
    if unlikely(header.magic != MAGIC):
        return BAD_MAGIC
    if unlikely(header.version != VERSION):
        return BAD_VERSION
    if unlikely(header.channel > SNAPSHOT_CHANNEL):
        return BAD_CHANNEL
    if unlikely(header.count > PACKET_RECORDS):
        return BAD_COUNT
    if unlikely(length != HEADER_BYTES + header.count * RECORD_BYTES):
        return BAD_LENGTH
    if unlikely(header.sequence == 0):
        return BAD_SEQUENCE
    if unlikely(header.flags | header.reserved):
        return BAD_FLAGS
    return VALID


def decode(const unsigned char[::1] data not None):
    """The Packet in `data`; ValueError with the fault's name when it isn't a valid one."""
    cdef Header header
    cdef Py_ssize_t length = data.shape[0]
    cdef int fault = TOO_SHORT if length == 0 else fault_of(<const char*> &data[0], length)
    if fault != VALID:
        raise ValueError(FAULT_NAMES[fault])
    memcpy(&header, &data[0], HEADER_BYTES)
    batch = Batch(PACKET_RECORDS)
    batch.extend(data[HEADER_BYTES:])
    return Packet(header.channel, header.venue, header.stream, header.epoch, header.sequence, header.send_ns, batch)


cdef class Sequencer:
    """Checks packets and follows the sequence of every (venue, stream, channel).

    A sequence that jumps ahead is a gap, one that is behind is late (a duplicate, or a packet that came out of order
    after its gap was declared), a higher epoch is the publisher's restart. Packets of an older epoch are late.
    """

    cdef int check(self, const char* packet, Py_ssize_t length, Stream** found) noexcept nogil:
        """Count the packet and tell its place (NEXT .. INVALID); `found` is its stream unless it's INVALID."""
        cdef const Header* header = <const Header*> packet
        cdef int fault = fault_of(packet, length)
        cdef uint64_t key
        cdef Stream* stream
        cdef uint32_t index
        if unlikely(fault != VALID):
            self.faults[fault] += 1
            return INVALID
        self.faults[<int> VALID] += 1
        key = <uint64_t> header.venue << 32 | <uint64_t> header.stream << 8 | header.channel
        stream = &self.streams[self.recent]
        if unlikely(stream.key != key or self.used == 0):
            index = 0
            while index < self.used and self.streams[index].key != key:
                index += 1
            if index == STREAMS:
                self.faults[<int> TOO_MANY_STREAMS] += 1
                return INVALID
            self.recent = index
            stream = &self.streams[index]
            if index == self.used:
                self.used += 1
                memset(stream, 0, sizeof(Stream))
                stream.key = key
                stream.venue = header.venue
                stream.stream = header.stream
                stream.channel = header.channel
                stream.epoch = header.epoch
                stream.expected = header.sequence + 1
                stream.packets = 1
                found[0] = stream
                return FIRST
        found[0] = stream
        stream.packets += 1
        if unlikely(header.epoch != stream.epoch):
            if header.epoch < stream.epoch:
                stream.late += 1
                return LATE
            stream.epoch = header.epoch
            stream.expected = header.sequence + 1
            stream.restarts += 1
            return RESTARTED
        if unlikely(header.sequence != stream.expected):
            if header.sequence < stream.expected:
                stream.late += 1
                return LATE
            stream.gaps += 1
            stream.lost += header.sequence - stream.expected
            stream.expected = header.sequence + 1
            return AFTER_GAP
        stream.expected += 1
        return NEXT

    def place(self, const unsigned char[::1] data not None):
        """Count a packet; returns its place: next, first, gap, restart, late or invalid."""
        cdef Stream* stream = NULL
        cdef const char* packet = NULL
        if data.shape[0]:
            packet = <const char*> &data[0]
        return PLACE_NAMES[self.check(packet, data.shape[0], &stream)]

    def counters(self):
        """Packets by fault, and for each stream what became of its packets."""
        return {
            **{FAULT_NAMES[fault]: self.faults[fault] for fault in range(FAULTS)},
            "streams": [self.streams[n] for n in range(self.used)],
        }
