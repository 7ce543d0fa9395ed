"""The book process's loop: packets in, books kept, market cache out, without the GIL.

What is more, or less, than a level of a book in order goes to `recovery`.
"""

import os

from libc.errno cimport errno as c_errno
from libc.stdint cimport int64_t
from libc.stdio cimport fclose, fflush, fopen, fprintf
from libc.string cimport memset

from wirebook.core.engine import arbiter as arbitration
from wirebook.core.engine import recovery as rebuilding
from wirebook.core.base.atomics cimport pause
from wirebook.core.base.clock cimport steady_ns, wall_ns
from wirebook.core.base.hints cimport likely, unlikely
from wirebook.core.base.memory cimport Arena
from wirebook.core.base.ring cimport (
    RING_HEADER, RING_SLOT, RingMemory, ring_claim, ring_held, ring_make, ring_peek, ring_publish, ring_release,
)
from wirebook.core.books.book cimport BATCH_MAX, STATE_LIVE, Book, Counters, book_best
from wirebook.core.books.books cimport Books, books_apply_slots, books_listen
from wirebook.core.books.pages cimport Pages, pages_total, pages_used
from wirebook.core.engine.arbiter cimport AFTER_GAP, FULL, INVALID, LATE, NEXT, RESTARTED, Arbiter, Stream
from wirebook.core.engine.recovery cimport Recovery, Source
from wirebook.core.market.latency cimport (
    FEED_TO_SENT, RECEIVED_TO_TAKEN, SENT_TO_RECEIVED, TAKEN_TO_PUBLISHED, VENUE_TO_FEED, Histogram, histogram_add,
)
from wirebook.core.market.layout cimport Arrival, MarketRecord, Metrics
from wirebook.core.market.writer cimport MarketWriter
from wirebook.core.transport.base cimport (
    PACKET_WORDS, POLLIN, STAMP_USER, Received, Receiver, c_poll, pollfd, receive_bytes,
)
from wirebook.core.wire.packet cimport HEADER_BYTES, SNAPSHOT_CHANNEL, Header
from wirebook.core.wire.records cimport ASK, BID, GAP, POOL_EXHAUSTED, RESYNC, Record
from wirebook.errors import UserError

cdef enum:
    RING_SLOTS = 128           # a packet's records, and less than a batch that is left of those before
    TICK_NS = 50000000         # between two heartbeats
    SELDOM_EVERY = 64          # looks at the incrementals between two at what carries nothing but snapshots
    SPINS = 256                # empty looks between two looks at the clock
    WAIT_MS = 10
    HISTORY = 65536            # records: half a second of a busy venue, while a snapshot takes a few packets


cdef void on_event(void* context, Book* book, const Record* record) noexcept nogil:
    publish(<Engine> context, book, record)


cdef void publish(Engine engine, Book* book, const Record* record) noexcept nogil:
    cdef int64_t bid, bid_quantity, ask, ask_quantity
    cdef const Arrival* arrival = &engine.arrival
    cdef size_t place = <size_t> record - <size_t> engine.ring
    if unlikely(engine.recovery.quiet):
        return
    if unlikely(book.reason == POOL_EXHAUSTED):
        engine.gates[book.symbol] = 0  # only a snapshot can help
    if place < RING_HEADER + RING_SLOTS * RING_SLOT:  # it waited there; the packet at hand may be a later one
        arrival = <const Arrival*> (record + 1)
    engine.market.publish(&engine.books.set, book, book.state, book.reason, engine.now, arrival)
    if unlikely(engine.audit != NULL):
        book_best(&engine.books.set, book, BID, &bid, &bid_quantity)
        book_best(&engine.books.set, book, ASK, &ask, &ask_quantity)
        fprintf(engine.audit, "%u,%llu,%u,%lld,%lld,%lld,%lld\n", book.symbol, <unsigned long long> book.update_id,
                <unsigned> book.state, <long long> bid, <long long> bid_quantity, <long long> ask,
                <long long> ask_quantity)


def memory_bytes(uint32_t history=HISTORY):
    """What an engine takes of its arena."""
    own = RING_HEADER + RING_SLOTS * RING_SLOT + 4096
    return own + rebuilding.memory_bytes(history) + arbitration.memory_bytes()


cdef class Engine:
    """Keeps `books` by the packets of `receivers`, at most 16, and publishes them in `market`.

    The packets come on so many `lines`; one missing on a line is waited for up to `gap_timeout` seconds.

    `batch` records at a time are applied; `busy` never sleeps while `run()` lasts, else poll(2) waits for packets. A
    source that sent nothing for `silence` seconds has its books published as STALE until it is heard again. `history`
    records can be kept while books are rebuilt, in memory of `arena`. `audit` is a file that gets a line for every
    event published: symbol, update id, state, bid price and quantity, ask price and quantity.
    """

    def __cinit__(self, Books books not None, MarketWriter market not None, receivers=(), Arena arena=None,
                  Py_ssize_t batch=16, bint busy=False, double silence=3.0, uint32_t history=HISTORY, audit=None,
                  int lines=1, double gap_timeout=0.005):
        cdef Receiver receiver
        assert sizeof(Record) + sizeof(Arrival) == RING_SLOT
        if market.symbols < books.set.symbols:
            raise ValueError(f"a market cache of {market.symbols} symbols for {books.set.symbols} books")
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
        if arena is None:
            arena = Arena(memory_bytes(history))
        self.arbiter = Arbiter(lines, gap_timeout, arena)
        self.recovery = Recovery(books, market, arena, history)
        self.gates = self.recovery.gates
        self.ring = <RingMemory*> arena.take(RING_HEADER + RING_SLOTS * RING_SLOT)
        ring_make(self.ring, RING_SLOTS)
        self.arena = arena
        if audit is not None:
            self.audit = fopen(os.fsencode(audit), "w")
            if self.audit == NULL:
                raise UserError(f"can't write {audit}: {os.strerror(c_errno)}")
        books_listen(&books.set, on_event, <void*> self, <char*> market.records, sizeof(MarketRecord))

    def __dealloc__(self):
        if self.audit != NULL:
            fclose(self.audit)
        if self.books is not None:
            books_listen(&self.books.set, NULL, NULL, NULL, 0)

    # ---- packets ----------------------------------------------------------------------------------------------------

    cdef void begin(self) noexcept nogil:
        """Packets were taken, or something else is to be done: from here on it is now."""
        self.now = wall_ns()
        self.steady = steady_ns()
        self.arrival.stamp_ns = self.now
        self.arrival.stamp = STAMP_USER
        self.measured = 0

    cdef void end(self) noexcept nogil:
        """All that was taken is applied and published. Each packet is said to have taken as long as all of them."""
        self.finish()
        if self.measured:
            histogram_add(&self.market.histograms[TAKEN_TO_PUBLISHED], <int64_t> (wall_ns() - self.now), self.measured)

    cdef void measure(self, const Header* header, const Record* record) noexcept nogil:
        """Count how long the stages before took, by the last record of a packet."""
        cdef Histogram* histograms = self.market.histograms
        if record.exchange_ns:
            histogram_add(histograms + VENUE_TO_FEED, <int64_t> (record.receive_ns - record.exchange_ns), 1)
        histogram_add(histograms + FEED_TO_SENT, <int64_t> (header.send_ns - record.receive_ns), 1)
        histogram_add(histograms + SENT_TO_RECEIVED, <int64_t> (self.arrival.stamp_ns - header.send_ns), 1)
        histogram_add(histograms + RECEIVED_TO_TAKEN, <int64_t> (self.now - self.arrival.stamp_ns), 1)
        self.measured += 1

    cdef void packet(self, const Received* received) noexcept nogil:
        """Take a packet, and those that have waited for it."""
        cdef Stream* stream = NULL
        cdef int place = self.arbiter.check(received, self.steady, &stream)
        if unlikely(place == INVALID):
            return
        if likely(place <= RESTARTED):
            self.deliver(received, place)
        else:
            self.out_of_turn(received, stream, place)
        if unlikely(stream.holding):
            self.catch_up(stream, 0, False)

    cdef void out_of_turn(self, const Received* received, Stream* stream, int place) noexcept nogil:
        if place == LATE:
            if self.began_anew(<const Header*> received.data, stream):
                self.deliver(received, RESTARTED)
            return
        while place == FULL:
            self.catch_up(stream, 0, True)
            place = self.arbiter.place(received, self.steady, stream)
        if place <= RESTARTED:
            self.deliver(received, place)

    cdef void catch_up(self, Stream* stream, uint64_t drained, bint force) noexcept nogil:
        """Deliver held packets; with `force`, at least the first."""
        cdef int place = NEXT
        cdef const Received* received = self.arbiter.release(stream, drained, force, &place)
        while received != NULL:
            self.deliver(received, place)
            received = self.arbiter.release(stream, drained, False, &place)

    cdef void expire(self, uint64_t drained) noexcept nogil:
        """Give up the holes that were waited for long enough: every receiver was empty after `drained`."""
        cdef uint32_t index
        self.begin()
        for index in range(self.arbiter.used):
            self.catch_up(&self.arbiter.streams[index], drained, False)
        self.end()

    cdef void deliver(self, const Received* received, int place) noexcept nogil:
        cdef const Header* header = <const Header*> received.data
        cdef const Record* records = <const Record*> (received.data + HEADER_BYTES)
        cdef Source* source
        self.arrival.stamp = received.stamp
        self.arrival.stamp_ns = received.receive_ns if received.receive_ns != 0 else self.now
        source = self.recovery.source_of(header)
        if unlikely(header.channel == SNAPSHOT_CHANNEL):
            if place != NEXT:
                source.rebuilding = -1
            self.finish()
            if header.epoch == source.epoch and source.whole_from != 0:
                self.recovery.snapshots(source, header, records)
            return
        if unlikely(place != NEXT):
            self.finish()
            if place == AFTER_GAP:
                self.recovery.lose(source, GAP)
            elif place == RESTARTED:
                self.recovery.lose(source, RESYNC)
            source.epoch = header.epoch
            source.whole_from = header.sequence
        source.last = header.sequence
        source.heard_ns = self.steady
        if unlikely(source.silent):
            # After the gap was looked at: what is LIVE now is so rightly.
            self.recovery.hush(source, False, self.now, &self.arrival)
        self.incrementals(source, header, records)
        if header.count and records[header.count - 1].kind <= ASK:
            self.measure(header, records + header.count - 1)

    cdef bint began_anew(self, const Header* header, Stream* stream) noexcept nogil:
        """Whether a late packet is a restarted publisher's whose epoch is not higher: its clock was set back, or it was
        started twice in a second. A source that speaks in order is not; one that fell silent, and now this, is."""
        cdef Source* source = self.recovery.source_of(header)
        if header.channel == SNAPSHOT_CHANNEL:
            if not source.new_snapshots or header.epoch != source.epoch:
                return False
            source.new_snapshots = False
        elif source.silent:
            source.new_snapshots = True
        else:
            return False
        self.arbiter.restart(stream, header)
        stream.restarts += 1
        return True

    cdef void incrementals(self, Source* source, const Header* header, const Record* records) noexcept nogil:
        cdef uint8_t gate = self.recovery.gate_of(source)
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
        (<Arrival*> (slot + sizeof(Record)))[0] = self.arrival
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
        self.market.beat()
        for index in range(self.recovery.source_count):
            source = &self.recovery.sources[index]
            if source.whole_from != 0 and not source.silent and self.steady - source.heard_ns > self.silence_ns:
                self.begin()
                self.recovery.hush(source, True, self.now, &self.arrival)
        if self.audit != NULL:
            fflush(self.audit)

    cdef int receive(self, Receiver receiver) noexcept nogil:
        cdef int count = receiver.receive(), index
        if count > 0:
            self.begin()
            for index in range(count):
                self.packet(&receiver.received[index])
            self.end()
        return count

    cdef int look(self, bint everywhere) noexcept nogil:
        """Receive from each receiver, also from those that need it seldom; returns the packets, or -errno."""
        cdef int index, count, packets = 0
        self.drained = everywhere
        for index in range(self.receiver_count):
            if everywhere or not (<Receiver> self.looked_at[index]).seldom:
                count = self.receive(<Receiver> self.looked_at[index])
                if unlikely(count < 0):
                    return count
                self.drained &= (<Receiver> self.looked_at[index]).drained
                packets += count
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
        self.steady = steady_ns()
        while self.steady < until:
            if self.steady >= next_tick:
                self.tick()
                next_tick = self.steady + TICK_NS
            rounds += 1
            if unlikely(self.arbiter.holding != 0):
                looked = self.steady = steady_ns()
                count = self.look(True)
                if self.drained and self.arbiter.holding != 0:
                    self.expire(looked)
            else:
                count = self.look(not self.busy or rounds % SELDOM_EVERY == 0)
            if unlikely(count < 0):
                return count
            if count == 0:
                idle += 1
                if not self.busy:
                    c_poll(waiting, self.receiver_count, 1 if self.arbiter.holding else WAIT_MS)
                    self.steady = steady_ns()
                elif idle % SPINS == 0:
                    self.steady = steady_ns()
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

    def process(self, const unsigned char[::1] data not None, uint8_t line=0):
        """Take one packet as if it had been received now, on `line`."""
        cdef uint64_t packet[PACKET_WORDS]
        cdef Received received
        receive_bytes(&received, packet, data, line)
        with nogil:
            self.begin()
            self.packet(&received)
            self.end()

    def check_silence(self):
        """Look for sources that fell silent, as run() does between packets."""
        self.steady = steady_ns()
        self.tick()

    def check_holes(self):
        """Give up holes that have waited too long, as run() does when nothing more has come."""
        self.expire(steady_ns())

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
        now.lines_used = pages_used(pages)
        now.lines_total = pages_total(pages)
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

    def live(self):
        """How many books are LIVE."""
        cdef uint32_t symbol
        cdef int found = 0
        for symbol in range(self.books.set.symbols):
            found += self.books.set.books[symbol].state == STATE_LIVE
        return found
