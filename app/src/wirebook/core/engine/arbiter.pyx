"""Arbitration: of the packets that lines A and B bring, each once and in order.

One publisher at a time is followed for each (venue, stream), told by its epoch, its nonce and whom its packets come
from. What another says is refused as long as the followed one speaks. That a newer one speaks beside it, or one of the
same second, leaves in doubt who is right: the stream is contested.

The first copy of a packet goes through at once, and the other is dropped. Behind a hole packets are held back as long
as the missing one can still come: until both lines are past it, or until the time-out. The time-out doesn't run by the
clock alone: whatever had come by then must have been looked at. So a process that slept loses nothing that waits in a
socket. With one line every hole is given up at once: a line doesn't overtake itself.
"""

from collections.abc import Mapping
from ipaddress import IPv4Address
from typing import NamedTuple

from libc.string cimport memcpy, memset

from wirebook.core.base.clock cimport wall_ns
from wirebook.core.base.hints cimport likely, unlikely
from wirebook.core.engine.streams cimport CHANNELS, PLACES, SOURCES, LineState, Source, Stream
from wirebook.core.market.layout cimport Metrics
from wirebook.core.transport.base cimport LINES, PACKET_WORDS, receive_bytes
from wirebook.core.wire.packet cimport FAULTS, REFUSED, TOO_MANY_STREAMS, UNKNOWN_STREAM, VALID, Header, fault_of

from wirebook.core.wire.packet import FAULT_NAMES

ORDER_NAMES = ("next", "first", "gap", "restart", "late", "invalid", "held", "full")

REFUSALS = ("unknown stream", "sender", "publisher", "epoch", "symbol", "name")

cdef enum:
    BITS = 64
    EPOCH_AHEAD = 3600     # seconds that the clock of a publisher's host may be ahead of ours


class Publication(NamedTuple):
    """A stream that is to be followed, by its numbers in packets; `names` has `venue:INSTRUMENT` by the symbol's id."""

    venue: int
    stream: int
    names: Mapping[int, str]


class Refusal(NamedTuple):
    """Who wasn't believed, and why; `packets` (of a symbol or a name: records) so far.

    The kinds: unknown stream; sender, not one of those allowed; publisher, another one is followed; epoch, more than an
    hour ahead; symbol, not of this stream; name, not the symbol's. `sender` is address and port, empty where the
    transport doesn't know.
    """

    kind: str
    venue: int
    stream: int
    sender: str
    packets: int


def memory_bytes():
    """What an arbiter takes of its arena."""
    return WINDOW * sizeof(Slot) + SOURCES * CHANNELS * WINDOW * sizeof(uint16_t) + 4096


cdef class Arbiter:
    """Checks packets and follows the sequence of every (venue, stream, channel) over `lines` lines, 1 or 2.

    A hole is waited for up to `timeout` seconds. A sequence missing on all lines is a gap; packets given up already are
    late. Packets held back are copied to memory of `arena`, 1024 of them at most.

    `publications` are the streams to follow; None: the first 64 that speak. `senders` are the IPv4 addresses that may;
    empty: all. A publisher takes another's place when that one has been silent for `takeover` seconds.
    """

    def __cinit__(self, int lines=1, double timeout=0.005, Arena arena=None, publications=None, senders=(),
                  double takeover=1.2):
        cdef uint32_t index, place
        if not 1 <= lines <= LINES:
            raise ValueError(f"there are 1 or {<int> LINES} lines, not {lines}")
        self.lines = lines
        self.timeout = <uint64_t> (timeout * 1e9)
        self.arena = Arena(memory_bytes(), "off") if arena is None else arena
        self.slots = <Slot*> self.arena.take(WINDOW * sizeof(Slot))
        self.kept = <uint16_t*> self.arena.take(SOURCES * CHANNELS * WINDOW * sizeof(uint16_t))
        for index in range(WINDOW):
            self.slots[index].next_free = <uint16_t> (index + 2 if index + 1 < WINDOW else 0)
        self.free = 1
        self.takeover = <uint64_t> (takeover * 1e9)
        self.allowed = frozenset(int(IPv4Address(sender)) for sender in senders)
        if publications is not None:
            if len(publications) > SOURCES:
                raise ValueError(f"a process follows {<int> SOURCES} streams at most, not {len(publications)}")
            for publication in publications:
                if self.find_source(publication.venue, publication.stream, &place) == NULL:
                    self.take_in(publication.venue, publication.stream, place)
        self.closed = publications is not None

    cdef int check(self, const Received* received, uint64_t now, Stream** found) noexcept nogil:
        """Count the packet and tell its order; `found` is its stream, NULL if it has none. `now` is CLOCK_MONOTONIC.

        Unless it's INVALID, release() may have something to deliver after it.
        """
        cdef const Header* header = <const Header*> received.data
        cdef int fault = fault_of(received.data, received.length)
        found[0] = NULL
        cdef Stream* stream
        cdef Source* source
        cdef LineState* line
        if unlikely(fault != VALID):
            self.faults[fault] += 1
            return INVALID
        self.faults[<int> VALID] += 1
        stream = found[0] = self.find(received)
        if unlikely(stream == NULL):
            return INVALID
        line = &stream.lines[received.line]
        source = stream.source
        if unlikely(header.epoch != source.epoch or header.nonce != source.nonce or received.sender != line.sender
                    or not source.known):
            if not self.followed(received, now, source, line):
                self.faults[<int> REFUSED] += 1
                return INVALID
        source.taken_ns = now
        stream.packets += 1
        if unlikely(stream.expected == 0):
            self.restart(stream, header)
            count_on(line, header.sequence)
            line.first += 1
            return RESTARTED if stream.restarts else FIRST
        count_on(line, header.sequence)
        return self.order_of(received, now, stream)

    cdef int order_of(self, const Received* received, uint64_t now, Stream* stream) noexcept nogil:
        """The order of a packet that is counted already. After FULL, and a hole given up, it is another."""
        cdef uint64_t sequence = (<const Header*> received.data).sequence, behind
        cdef int order = NEXT
        if unlikely(sequence != stream.expected):
            if sequence < stream.expected:
                behind = stream.expected - 1 - sequence
                if behind < BITS and not stream.seen >> behind & 1:
                    stream.late += 1
                else:
                    stream.copies += 1
                return LATE
            if stream.holding == 0 and (self.past(stream) or sequence - stream.expected >= WINDOW):
                give_up(stream, sequence)
                order = AFTER_GAP
            elif sequence - stream.expected >= WINDOW:
                return FULL
            elif stream.kept[sequence % WINDOW]:
                stream.copies += 1
                return LATE
            elif self.free == 0:
                if stream.holding:
                    return FULL
                give_up(stream, sequence)
                order = AFTER_GAP
            else:
                self.hold(received, now, stream)
                stream.lines[received.line].first += 1
                return HELD
        stream.lines[received.line].first += 1
        advance(stream)
        return order

    cdef bint followed(self, const Received* received, uint64_t now, Source* source, LineState* line) noexcept nogil:
        """Whether a packet that isn't as the last one of its line is to be followed all the same."""
        cdef const Header* header = <const Header*> received.data
        cdef bint same = header.epoch == source.epoch and header.nonce == source.nonce and source.known
        if not self.may_speak(received.sender):
            self.refuse(BY_SENDER, source.venue, source.stream, received.sender)
            return False
        if same and (line.sender == 0 or line.sender == received.sender):
            line.sender = received.sender
            return True
        if header.epoch > wall_ns() // 1000000000 + EPOCH_AHEAD:
            self.refuse(BY_EPOCH, source.venue, source.stream, received.sender)
            return False
        if source.known and now - source.taken_ns < self.takeover:
            if not same and header.epoch >= source.epoch:
                source.contested = True
                source.contested_ns = now
            self.refuse(BY_PUBLISHER, source.venue, source.stream, received.sender)
            return False
        self.begin_anew(source, header)
        line.sender = received.sender
        return True

    cdef void begin_anew(self, Source* source, const Header* header) noexcept nogil:
        """Follow another publisher: each channel begins with the next packet that comes on it."""
        cdef int channel, line
        cdef Stream* stream
        source.anew = source.known
        source.known = True
        source.epoch = header.epoch
        source.nonce = header.nonce
        for channel in range(CHANNELS):
            stream = &source.channels[channel]
            stream.restarts += stream.expected != 0
            self.drop_held(stream)
            stream.expected = 0
            for line in range(LINES):
                stream.lines[line].sender = 0
                stream.lines[line].next = 0

    cdef bint may_speak(self, uint64_t sender) noexcept nogil:
        """Of a sender that wasn't heard before on its line, so it may take its time."""
        if sender == 0:
            return True
        with gil:
            return not self.allowed or <uint32_t> (sender >> 16) in self.allowed

    cdef void refuse(self, uint8_t kind, uint16_t venue, uint16_t stream, uint64_t sender) noexcept nogil:
        """Remember for the log whose packet was refused; those that find no room are counted as the last one's."""
        cdef Refused* entry = NULL
        cdef uint32_t index
        for index in range(self.refusals):
            entry = &self.refused[index]
            if entry.kind == kind and entry.venue == venue and entry.stream == stream and entry.sender == sender:
                entry.packets += 1
                return
        if self.refusals < REFUSALS_KEPT:
            entry = &self.refused[self.refusals]
            self.refusals += 1
            entry.kind = kind
            entry.venue = venue
            entry.stream = stream
            entry.sender = sender
            entry.packets = 0
        entry.packets += 1

    def refusals_so_far(self):
        """Who wasn't believed, as `Refusal`s; a table of 64, whose last entry also counts those that found no room."""
        return [
            Refusal(REFUSALS[self.refused[n].kind], self.refused[n].venue, self.refused[n].stream,
                    sender_name(self.refused[n].sender), self.refused[n].packets)
            for n in range(self.refusals)
        ]

    cdef Stream* find(self, const Received* received) noexcept nogil:
        """The stream of a packet, of a new source if need be; NULL, and counted, where there is none for it."""
        cdef const Header* header = <const Header*> received.data
        cdef uint32_t place
        cdef Source* source = self.find_source(header.venue, header.stream, &place)
        if unlikely(source == NULL):
            if self.closed or self.used == SOURCES:
                self.faults[<int> UNKNOWN_STREAM if self.closed else <int> TOO_MANY_STREAMS] += 1
                self.refuse(BY_STREAM, header.venue, header.stream, received.sender)
                return NULL
            source = self.take_in(header.venue, header.stream, place)
        return &source.channels[header.channel]

    cdef Source* find_source(self, uint16_t venue, uint16_t stream, uint32_t* place) noexcept nogil:
        """The source with these numbers; or NULL, and `place` is where it would be."""
        cdef Source* source
        place[0] = place_of(venue, stream)
        while self.gates[place[0]] != 0:
            source = &self.sources[self.gates[place[0]] - 1]
            if likely(source.venue == venue and source.stream == stream):
                return source
            place[0] = (place[0] + 1) % PLACES
        return NULL

    cdef Source* take_in(self, uint16_t venue, uint16_t stream, uint32_t place) noexcept nogil:
        cdef Source* source = &self.sources[self.used]
        cdef uint32_t index
        memset(source, 0, sizeof(Source))
        source.venue = venue
        source.stream = stream
        source.rebuilding = -1
        for index in range(CHANNELS):
            source.channels[index].source = source
            source.channels[index].channel = <uint8_t> index
            source.channels[index].kept = self.kept + (self.used * CHANNELS + index) * WINDOW
        self.used += 1
        source.gate = self.gates[place] = <uint8_t> self.used
        return source

    cdef void restart(self, Stream* stream, const Header* header) noexcept nogil:
        """Follow the stream from this packet on."""
        stream.expected = header.sequence + 1
        stream.seen = 1

    cdef void drop_held(self, Stream* stream) noexcept nogil:
        cdef uint64_t sequence = stream.lowest
        while stream.holding:
            self.take_out(stream, sequence)
            sequence += 1

    cdef bint past(self, const Stream* stream) noexcept nogil:
        """Whether no line can fill the hole at `expected` any more."""
        cdef int line
        for line in range(self.lines):
            if stream.lines[line].next <= stream.expected:
                return False
        return True

    cdef void hold(self, const Received* received, uint64_t now, Stream* stream) noexcept nogil:
        cdef uint64_t sequence = (<const Header*> received.data).sequence
        cdef Slot* slot = self.slots + self.free - 1
        stream.kept[sequence % WINDOW] = <uint16_t> self.free
        self.free = slot.next_free
        slot.received = received[0]
        slot.received.data = slot.data
        slot.since = now
        memcpy(slot.data, received.data, received.length)
        if stream.holding == 0 or sequence < stream.lowest:
            stream.lowest = sequence
        stream.holding += 1
        self.holding += 1
        self.held += 1

    cdef const Received* take_out(self, Stream* stream, uint64_t sequence) noexcept nogil:
        """The packet held for a sequence, or NULL. Its memory is good until the next packet is held."""
        cdef uint16_t slot = stream.kept[sequence % WINDOW]
        if slot == 0:
            return NULL
        stream.kept[sequence % WINDOW] = 0
        self.slots[slot - 1].next_free = <uint16_t> self.free
        self.free = slot
        stream.holding -= 1
        self.holding -= 1
        return &self.slots[slot - 1].received

    cdef const Received* release(self, Stream* stream, uint64_t empty_at, bint force, int* order) noexcept nogil:
        """The next held packet that can be delivered, NEXT or AFTER_GAP; NULL when there is none.

        All that had come by `empty_at` (CLOCK_MONOTONIC) was looked at. With `force` the first hole is given up.
        """
        cdef bint timed_out
        cdef const Received* found
        if stream.holding == 0:
            return NULL
        order[0] = NEXT
        if stream.lowest != stream.expected:
            if not (force or self.past(stream)):
                timed_out = empty_at >= self.slot_of(stream).since + self.timeout
                if not timed_out:
                    return NULL
                self.timeouts += 1
            give_up(stream, stream.lowest)
            order[0] = AFTER_GAP
        found = self.take_out(stream, stream.expected)
        advance(stream)
        if stream.holding:
            stream.lowest = stream.expected
            while stream.kept[stream.lowest % WINDOW] == 0:
                stream.lowest += 1
        return found

    cdef Slot* slot_of(self, const Stream* stream) noexcept nogil:
        """Of the first packet behind the hole."""
        return self.slots + stream.kept[stream.lowest % WINDOW] - 1

    def take(self, const unsigned char[::1] data not None, *, uint8_t line=0, uint64_t now=0, uint64_t sender=0):
        """Take a packet of `line` and `sender` at `now` ns: its order, and the sequences delivered by it, in order."""
        cdef uint64_t packet[PACKET_WORDS]
        cdef Received received
        cdef Stream* stream = NULL
        cdef int order
        receive_bytes(&received, packet, data, line, sender)
        order = self.check(&received, now, &stream)
        first = ORDER_NAMES[order]
        delivered = []
        while order == FULL:
            delivered += self.released(stream, 0, True)
            order = self.order_of(&received, now, stream)
        if order <= RESTARTED:
            delivered.append((<Header*> packet).sequence)
        if order != INVALID:
            delivered += self.released(stream, 0, False)
        return first, delivered

    cdef list released(self, Stream* stream, uint64_t empty_at, bint force):
        cdef int order = NEXT
        cdef const Received* found = self.release(stream, empty_at, force, &order)
        sequences = []
        while found != NULL:
            sequences.append((<const Header*> found.data).sequence)
            found = self.release(stream, empty_at, False, &order)
        return sequences

    def overdue(self, uint64_t empty_at):
        """The sequences delivered because all that came by `empty_at` ns was looked at, and holes waited too long."""
        cdef uint32_t index
        sequences = []
        for index in range(self.used * CHANNELS):
            sequences += self.released(self.stream_at(index), empty_at, False)
        return sequences

    cdef void count(self, Metrics* metrics) noexcept nogil:
        """Add up all streams, on each line."""
        cdef const Stream* stream
        cdef uint32_t index
        metrics.packets = self.faults[VALID]
        for index in range(VALID + 1, TOO_MANY_STREAMS):
            metrics.invalid += self.faults[index]
        for index in range(TOO_MANY_STREAMS, FAULTS):
            metrics.refused += self.faults[index]
        for index in range(self.used * CHANNELS):
            stream = self.stream_at(index)
            metrics.gaps += stream.gaps
            metrics.lost += stream.lost
            metrics.late += stream.late
            metrics.copies += stream.copies
            metrics.restarts += stream.restarts
            metrics.line_a_packets += stream.lines[0].packets
            metrics.line_a_first += stream.lines[0].first
            metrics.line_a_lost += stream.lines[0].lost
            metrics.line_a_late += stream.lines[0].late
            metrics.line_a_duplicates += stream.lines[0].duplicates
            metrics.line_b_packets += stream.lines[1].packets
            metrics.line_b_first += stream.lines[1].first
            metrics.line_b_lost += stream.lines[1].lost
            metrics.line_b_late += stream.lines[1].late
            metrics.line_b_duplicates += stream.lines[1].duplicates
        metrics.held = self.held
        metrics.gap_timeouts = self.timeouts

    def counters(self):
        """Packets by fault, and for each stream what became of its packets, on each line."""
        return {
            **{FAULT_NAMES[fault]: self.faults[fault] for fault in range(FAULTS)},
            "streams": [
                stream_counters(self.stream_at(n)) for n in range(self.used * CHANNELS) if self.stream_at(n).packets
            ],
        }


cdef str sender_name(uint64_t sender):
    return f"{IPv4Address(<uint32_t> (sender >> 16))}:{sender & 0xFFFF}" if sender else ""


cdef dict stream_counters(Stream* stream):
    return {
        "venue": stream.source.venue,
        "stream": stream.source.stream,
        "channel": stream.channel,
        "epoch": stream.source.epoch,
        "packets": stream.packets,
        "gaps": stream.gaps,
        "lost": stream.lost,
        "late": stream.late,
        "copies": stream.copies,
        "restarts": stream.restarts,
        "lines": [
            {
                "packets": stream.lines[n].packets,
                "first": stream.lines[n].first,
                "lost": stream.lines[n].lost,
                "late": stream.lines[n].late,
                "duplicates": stream.lines[n].duplicates,
            }
            for n in range(LINES)
        ],
    }


cdef inline uint32_t place_of(uint16_t venue, uint16_t stream) noexcept nogil:
    """Where a source is looked for first. The golden ratio's bits keep venues and streams that count by one apart."""
    return (<uint32_t> venue << 16 | stream) * <uint32_t> 0x9E3779B1 >> 24


cdef inline void advance(Stream* stream) noexcept nogil:
    """The packet at `expected` is delivered."""
    stream.expected += 1
    stream.seen = stream.seen << 1 | 1


cdef void give_up(Stream* stream, uint64_t sequence) noexcept nogil:
    """Nothing before `sequence` is waited for any more."""
    cdef uint64_t missing = sequence - stream.expected
    stream.gaps += 1
    stream.lost += missing
    stream.seen = stream.seen << missing if missing < BITS else 0
    stream.expected = sequence


cdef void count_on(LineState* line, uint64_t sequence) noexcept nogil:
    """Note that a packet came on a line, and what it says of those that didn't."""
    cdef uint64_t missing, behind
    line.packets += 1
    if likely(sequence == line.next):
        line.next += 1
        line.seen = line.seen << 1 | 1
    elif line.next == 0:
        line.next = sequence + 1
        line.seen = ~<uint64_t> 0  # what was before it isn't known to be lost
    elif sequence > line.next:
        missing = sequence - line.next
        line.lost += missing
        line.next = sequence + 1
        line.seen = (line.seen << missing << 1 if missing < BITS - 1 else 0) | 1
    else:
        behind = line.next - 1 - sequence
        if behind >= BITS or line.seen >> behind & 1:
            line.duplicates += 1
        else:
            line.seen |= <uint64_t> 1 << behind
            line.late += 1
            line.lost -= 1
