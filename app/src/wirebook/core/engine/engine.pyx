"""The book process's loop: packets in, books kept, market cache out, without the GIL.

What is more, or less, than a level of a book in order goes to `recovery`.
"""

import os

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memset

from wirebook.core.base.atomics cimport pause
from wirebook.core.base.clock cimport steady_ns, wall_ns
from wirebook.core.base.hints cimport likely, unlikely
from wirebook.core.base.memory cimport Arena
from wirebook.core.base.ring cimport (
    RING_HEADER, RING_SLOT, RingMemory, ring_claim, ring_held, ring_make, ring_peek, ring_publish, ring_release,
)
from wirebook.core.books.book cimport BATCH_MAX, Counters, is_live
from wirebook.core.books.books cimport Books, books_apply_slots
from wirebook.core.books.pages cimport Pages, pages_total, pages_used
from wirebook.core.engine import arbiter as arbitration
from wirebook.core.engine import recovery as rebuilding
from wirebook.core.engine.arbiter cimport AFTER_GAP, FULL, INVALID, LATE, NEXT, RESTARTED, Arbiter
from wirebook.core.engine.publisher cimport Publisher
from wirebook.core.engine.recovery cimport Recovery
from wirebook.core.engine.streams cimport CHANNELS, Source, Stream
from wirebook.core.market.latency cimport (
    FEED_TO_SENT, RECEIVED_TO_TAKEN, SENT_TO_RECEIVED, TAKEN_TO_PUBLISHED, VENUE_TO_FEED, Histogram, histogram_add,
)
from wirebook.core.market.layout cimport Arrival, Metrics
from wirebook.core.market.writer cimport MarketWriter
from wirebook.core.transport.base cimport (
    PACKET_WORDS, POLLIN, STAMP_USER, Received, Receiver, c_poll, pollfd, receive_bytes,
)
from wirebook.core.wire.packet cimport PACKET_HEADER_BYTES, SNAPSHOT_CHANNEL, Header
from wirebook.core.wire.records cimport ASK, CONTESTED, GAP, NO_REASON, RESYNC, SILENCE, TOO_SLOW, Record

cdef enum:
    RING_SLOTS = 128           # a packet's records, and less than a batch that is left of those before
    TICK_NS = 50000000         # between two heartbeats
    SELDOM_EVERY = 64          # looks at the incrementals between two at what carries nothing but snapshots
    SPINS = 256                # empty looks between two looks at the clock
    WAIT_MS = 10
    HISTORY = 65536            # records: half a second of a busy venue, while a snapshot takes a few packets


def memory_bytes(uint32_t history=HISTORY):
    """What an engine takes of its arena."""
    own = RING_HEADER + RING_SLOTS * RING_SLOT + 4096
    return own + rebuilding.memory_bytes(history) + arbitration.memory_bytes()


cdef class Engine:
    """Keeps `books` by the packets of `receivers`, at most 16, and publishes them in `market`.

    `lines` is how many lines packets come on; a packet that one line lost is waited for up to `gap_timeout` seconds.

    `batch` records at a time are applied; `busy` never sleeps while `run()` lasts, else poll(2) waits for packets. A
    source that sent nothing for `silence` seconds has its books published as STALE until it is heard again. So have
    all, while what is taken may have waited for more than `behind` seconds, because this process was stopped or has
    more to do than it can: until all that had come is taken, and something newer comes. `history`
    records can be kept while books are rebuilt, in memory of `arena`. `audit` is a file that gets a line for every
    event published: symbol, update id, state, bid price and quantity, ask price and quantity. Whom to believe,
    `publications`, `senders` and `takeover`, is the `Arbiter`'s.
    """

    def __cinit__(self, Books books not None, MarketWriter market not None, receivers=(), Arena arena=None,
                  Py_ssize_t batch=16, bint busy=False, double silence=3.0, uint32_t history=HISTORY, audit=None,
                  int lines=1, double gap_timeout=0.005, publications=None, senders=(), double takeover=1.2,
                  double behind=1.0):
        cdef Receiver receiver
        assert sizeof(Record) + sizeof(Arrival) == RING_SLOT
        self.books = books
        self.market = market
        if len(receivers) > RECEIVERS:
            raise ValueError(f"an engine has at most {<int> RECEIVERS} receivers, not {len(receivers)}")
        self.receivers = tuple(receivers)
        for receiver in self.receivers:
            self.looked_at[self.receiver_count] = <void*> receiver
            self.receiver_count += 1
        if not 0 < batch <= BATCH_MAX:
            raise ValueError(f"a batch has 1 to {<int> BATCH_MAX} records, not {batch}")
        self.batch = batch
        self.busy = busy
        self.silence_ns = <uint64_t> (silence * 1e9)
        self.behind_ns = <uint64_t> (behind * 1e9)
        if arena is None:
            arena = Arena(memory_bytes(history))
        self.arbiter = Arbiter(lines, gap_timeout, arena, publications, senders, takeover)
        self.publisher = Publisher(books, market, audit)
        self.recovery = Recovery(self.publisher, self.arbiter, arena, history, publications)
        self.gates = self.recovery.gates
        self.ring = <RingMemory*> arena.take(RING_HEADER + RING_SLOTS * RING_SLOT)
        ring_make(self.ring, RING_SLOTS)
        self.arena = arena

    # ---- packets ----------------------------------------------------------------------------------------------------

    cdef void begin(self) noexcept nogil:
        """Packets were taken, or something else is to be done: from here on it is now."""
        self.publish_now()
        self.look_at_clock()
        self.measured = 0

    cdef void publish_now(self) noexcept nogil:
        cdef uint64_t now = wall_ns()
        self.publisher.now = now
        self.publisher.arrival.stamp_ns = now
        self.publisher.arrival.stamp = STAMP_USER

    cdef void take_clock(self) noexcept nogil:
        """Begin: there was no pause, and nothing waits."""
        self.steady = self.emptied = steady_ns()

    cdef void look_at_clock(self) noexcept nogil:
        """See how late it is, and whether this process stood still: then what waits for it is old."""
        cdef uint64_t now = steady_ns()
        cdef bint paused = now - self.steady > self.behind_ns
        self.steady = now
        if unlikely(paused):
            self.fall_behind()

    cdef void fall_behind(self) noexcept nogil:
        """No book is LIVE from here on, until all that has come is taken."""
        cdef uint32_t index
        self.publish_now()
        self.behind = self.fell = True
        for index in range(self.arbiter.used):
            # Its publisher spoke meanwhile, for all we know: nobody takes its place because of this.
            self.arbiter.sources[index].taken_ns = self.steady
            if self.arbiter.sources[index].doubt != TOO_SLOW:
                self.recovery.doubt(&self.arbiter.sources[index], TOO_SLOW)

    cdef bint overloaded(self, const Received* received) noexcept nogil:
        """Whether packets may have waited for too long: there was always another one, and its stamp doesn't say no."""
        return self.steady - self.emptied > self.behind_ns and (
            received.stamp == STAMP_USER or self.publisher.now - min(received.receive_ns, self.publisher.now)
            > self.behind_ns)

    cdef void end(self) noexcept nogil:
        """All that was taken is applied and published. Each packet is said to have taken as long as all of them."""
        self.finish()
        if self.measured:
            histogram_add(self.market.histograms + TAKEN_TO_PUBLISHED, <int64_t> (wall_ns() - self.publisher.now),
                          self.measured)

    cdef void measure(self, const Header* header, const Record* record) noexcept nogil:
        """Count how long the stages before took, by the last record of a packet."""
        cdef Histogram* histograms = self.market.histograms
        cdef uint64_t arrived = self.publisher.arrival.stamp_ns
        if record.exchange_ns:
            histogram_add(histograms + VENUE_TO_FEED, <int64_t> (record.receive_ns - record.exchange_ns), 1)
        histogram_add(histograms + FEED_TO_SENT, <int64_t> (header.send_ns - record.receive_ns), 1)
        histogram_add(histograms + SENT_TO_RECEIVED, <int64_t> (arrived - header.send_ns), 1)
        histogram_add(histograms + RECEIVED_TO_TAKEN, <int64_t> (self.publisher.now - arrived), 1)
        self.measured += 1

    cdef void packet(self, const Received* received) noexcept nogil:
        """Take a packet, and those that have waited for it."""
        cdef Stream* stream = NULL
        cdef int order = self.arbiter.check(received, self.steady, &stream)
        if unlikely(order == INVALID):
            if stream != NULL and stream.source.contested and not stream.source.marked:
                self.contest(stream.source)
            return
        if unlikely(stream.source.anew):
            self.begin_anew(stream.source)
        if likely(order <= RESTARTED):
            self.deliver(received, stream, order)
        else:
            self.out_of_turn(received, stream, order)
        if unlikely(stream.holding):
            self.catch_up(stream, 0, False)

    cdef void begin_anew(self, Source* source) noexcept nogil:
        """Another publisher is followed from here on."""
        self.finish()
        self.recovery.lose(source, RESYNC)
        source.whole_from = 0
        source.contested = source.marked = False
        source.anew = False

    cdef void contest(self, Source* source) noexcept nogil:
        """While two claim to be its publisher, no book of a source can be believed."""
        source.marked = True
        self.finish()
        self.recovery.lose(source, CONTESTED)
        # What was applied before isn't kept: a snapshot that lacks some of it must not be taken.
        if source.whole_from != 0:
            source.whole_from = source.last + 1

    cdef void out_of_turn(self, const Received* received, Stream* stream, int order) noexcept nogil:
        if order == LATE:
            return
        while order == FULL:
            self.catch_up(stream, 0, True)
            order = self.arbiter.order_of(received, self.steady, stream)
        if order <= RESTARTED:
            self.deliver(received, stream, order)

    cdef void catch_up(self, Stream* stream, uint64_t empty_at, bint force) noexcept nogil:
        """Deliver held packets; with `force`, at least the first."""
        cdef int order = NEXT
        cdef const Received* received = self.arbiter.release(stream, empty_at, force, &order)
        while received != NULL:
            self.deliver(received, stream, order)
            received = self.arbiter.release(stream, empty_at, False, &order)

    cdef void expire(self, uint64_t empty_at) noexcept nogil:
        """Give up the holes that were waited for long enough: every receiver was empty after `empty_at`."""
        cdef uint32_t index
        self.begin()
        for index in range(self.arbiter.used * CHANNELS):
            self.catch_up(self.arbiter.stream_at(index), empty_at, False)
        self.end()

    cdef void deliver(self, const Received* received, Stream* stream, int order) noexcept nogil:
        cdef const Header* header = <const Header*> received.data
        cdef const Record* records = <const Record*> (received.data + PACKET_HEADER_BYTES)
        cdef Source* source = stream.source
        cdef Arrival* arrival = &self.publisher.arrival
        arrival.stamp = received.stamp
        arrival.stamp_ns = received.receive_ns if received.receive_ns != 0 else self.publisher.now
        if unlikely(header.channel == SNAPSHOT_CHANNEL):
            if order != NEXT:
                source.rebuilding = -1
            self.finish()
            if source.whole_from != 0:
                self.recovery.snapshots(source, header, records)
            return
        if unlikely(order != NEXT):
            self.finish()
            if order == AFTER_GAP:
                self.recovery.lose(source, GAP)
            source.whole_from = header.sequence
        source.last = header.sequence
        source.heard_ns = self.steady
        # After the gap was looked at: what is LIVE now is so rightly.
        if unlikely(self.behind):
            if source.doubt != TOO_SLOW:
                self.recovery.doubt(source, TOO_SLOW)
        elif unlikely(source.doubt != NO_REASON):
            self.recovery.doubt(source, NO_REASON)
        self.incrementals(source, header, records)
        if header.count and records[header.count - 1].kind <= ASK:
            self.measure(header, records + header.count - 1)

    cdef void incrementals(self, Source* source, const Header* header, const Record* records) noexcept nogil:
        cdef uint8_t gate = source.gate
        cdef Py_ssize_t index
        for index in range(header.count):
            if unlikely(records[index].kind > ASK or records[index].symbol >= self.books.set.symbols
                        or self.gates[records[index].symbol] != gate):
                self.finish()
                self.recovery.special(source, header, records + index)
            else:
                self.push(records + index)
        # Less than a batch waits for the next packet, or for the end of the burst.
        self.drain(self.batch - 1)

    # ---- the ring ---------------------------------------------------------------------------------------------------

    cdef void push(self, const Record* record) noexcept nogil:
        """Put a level of a book in order in the ring, which drain() keeps from being full."""
        cdef char* slot = ring_claim(self.ring)
        (<Record*> slot)[0] = record[0]
        (<Arrival*> (slot + sizeof(Record)))[0] = self.publisher.arrival
        ring_publish(self.ring)

    cdef void drain(self, uint64_t keep) noexcept nogil:
        """Apply batches until no more than `keep` records are in the ring. It has room for a packet's after that."""
        cdef uint64_t ready = ring_held(self.ring), part
        while ready > keep:
            part = min(min(ready, <uint64_t> self.batch), self.ring.slots - (self.ring.tail & (self.ring.slots - 1)))
            books_apply_slots(&self.books.set, ring_peek(self.ring, 0), part)
            ring_release(self.ring, part)
            ready = ring_held(self.ring)

    cdef void finish(self) noexcept nogil:
        """Apply all that is in the ring: before anything that must come after it."""
        self.drain(0)

    # ---- the loop ---------------------------------------------------------------------------------------------------

    cdef void tick(self) noexcept nogil:
        cdef uint32_t index
        cdef Source* source
        # Of when it was looked whether the books are recent, not of now: this process may stop here.
        self.market.beat(self.steady)
        for index in range(self.arbiter.used):
            source = &self.arbiter.sources[index]
            if source.contested and self.steady - source.contested_ns > self.arbiter.takeover:
                source.contested = source.marked = False
            # What isn't taken yet may be the source's.
            if source.whole_from != 0 and source.doubt != SILENCE and not self.behind \
                    and self.steady - source.heard_ns > self.silence_ns:
                self.publish_now()
                self.recovery.doubt(source, SILENCE)
        self.publisher.flush()

    cdef int receive(self, Receiver receiver) noexcept nogil:
        cdef int count = receiver.receive(), index
        if count > 0:
            self.begin()
            if unlikely(self.overloaded(&receiver.received[0])) and not self.behind:
                self.fall_behind()
            for index in range(count):
                self.packet(&receiver.received[index])
            self.end()
        return count

    cdef int look(self, bint everywhere) noexcept nogil:
        """Receive from each receiver, also from those that need it seldom; returns the packets, or -errno."""
        cdef int index, count, packets = 0
        cdef uint64_t began = self.steady
        self.empty = everywhere
        self.fell = False
        for index in range(self.receiver_count):
            if everywhere or not (<Receiver> self.looked_at[index]).seldom:
                count = self.receive(<Receiver> self.looked_at[index])
                if unlikely(count < 0):
                    return count
                self.empty &= (<Receiver> self.looked_at[index]).empty
                packets += count
        # A pause in the middle of it leaves what came meanwhile to receivers that were empty before.
        if self.empty and not self.fell and self.arbiter.holding == 0:
            self.emptied = began
            self.behind = False
        return packets

    cdef int loop(self, uint64_t until) noexcept nogil:
        """Receive until CLOCK_MONOTONIC passes `until`; returns 0, or -errno of a receiver that failed."""
        cdef pollfd waiting[RECEIVERS]
        cdef uint64_t next_tick = 0
        cdef uint64_t rounds = 0
        cdef int index, count, idle = 0
        cdef uint64_t looked
        for index in range(self.receiver_count):
            waiting[index].fd = (<Receiver> self.looked_at[index]).fd
            waiting[index].events = POLLIN
        if self.emptied == 0:
            self.take_clock()
        self.look_at_clock()
        while self.steady < until:
            if self.steady >= next_tick:
                self.tick()
                next_tick = self.steady + TICK_NS
            rounds += 1
            if unlikely(self.arbiter.holding != 0):
                self.look_at_clock()
                looked = self.steady
                count = self.look(True)
                if self.empty and self.arbiter.holding != 0:
                    self.expire(looked)
            else:
                count = self.look(not self.busy or rounds % SELDOM_EVERY == 0)
            if unlikely(count < 0):
                return count
            if count == 0:
                idle += 1
                if not self.busy:
                    c_poll(waiting, self.receiver_count, 1 if self.arbiter.holding else WAIT_MS)
                    self.look_at_clock()
                elif idle % SPINS == 0:
                    self.look_at_clock()
                else:
                    pause()
        return 0

    def run(self, double seconds):
        """Receive for that long; the GIL is free meanwhile. Then it's the caller's turn: signals, metrics, watchdog."""
        cdef int result
        if not self.receivers:
            raise ValueError("the engine has no receivers")
        cdef uint64_t until = steady_ns() + <uint64_t> (seconds * 1e9)
        with nogil:
            result = self.loop(until)
            self.count(&self.market.header.metrics)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def process(self, const unsigned char[::1] data not None, uint8_t line=0, uint64_t sender=0,
                double later=0.0):
        """Take one packet as if it had been received on `line`, from `sender` (address << 16 | port), in `later` s."""
        cdef uint64_t packet[PACKET_WORDS]
        cdef Received received
        receive_bytes(&received, packet, data, line, sender)
        self.take_clock()
        with nogil:
            self.begin()
            self.steady += <uint64_t> (later * 1e9)
            self.packet(&received)
            self.end()

    def check_silence(self, double later=0.0):
        """Look for sources that fell silent, as run() will in `later` s between packets."""
        self.take_clock()
        self.steady += <uint64_t> (later * 1e9)
        self.tick()

    def check_holes(self):
        """Give up holes that have waited too long, as run() does when nothing more has come."""
        self.take_clock()
        self.expire(self.steady)

    cdef void count(self, Metrics* metrics) noexcept nogil:
        """Gather what happened since the start: packets and their faults, lines, records, books, recoveries."""
        cdef Counters* books = &self.books.set.counters
        cdef Pages* pages = &self.books.set.pages
        cdef Metrics now
        cdef uint32_t index
        memset(&now, 0, sizeof(now))
        self.arbiter.count(&now)
        for index in range(<uint32_t> self.receiver_count):
            now.kernel_drops += (<Receiver> self.looked_at[index]).drops
        now.records = books.records
        now.updates = books.updates
        now.events = books.events
        now.deletes_of_absent = books.deletes_of_absent
        now.out_of_order = books.out_of_order
        now.crossed = books.crossed
        now.pool_exhausted = books.pool_exhausted
        now.unknown_symbol = books.unknown_symbol
        now.unknown_kind = books.unknown_kind
        now.nodes_used = pages_used(pages)
        now.nodes_total = pages_total(pages)
        now.recoveries = self.recovery.recoveries
        now.stale_marks = self.recovery.stale_marks
        now.foreign = self.recovery.foreign
        metrics[0] = now

    def counters(self):
        """What happened since the start: packets and their faults, lines, records, books, recoveries."""
        cdef Metrics metrics
        self.count(&metrics)
        return metrics

    def faults(self):
        """Packets that were not believed or not followed, by reason."""
        packets = self.arbiter.counters()
        del packets["streams"], packets["valid"]
        return packets

    def refusals(self):
        """Who wasn't believed, and why: `arbiter.Refusal`s."""
        return self.arbiter.refusals_so_far()

    def live(self):
        """How many books are LIVE."""
        cdef uint32_t symbol
        cdef int found = 0
        for symbol in range(self.books.set.symbols):
            found += is_live(self.books.set.books + symbol)
        return found
