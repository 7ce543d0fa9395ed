"""The one writer of a market cache: it never waits for a reader."""

import fcntl
import os

from libc.stdint cimport UINT32_MAX, int64_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE
from posix.mman cimport mmap as c_mmap
from posix.mman cimport munmap
from posix.unistd cimport close as c_close

from wirebook.core.base.atomics cimport fence_release, store_relaxed_32, store_release_32, store_release_64
from wirebook.core.base.clock cimport steady_ns, wall_ns
from wirebook.core.base.hints cimport unlikely
from wirebook.core.books.book cimport CHANGED_SPAN, DEPTH, Book, BookSet, Ladder, book_best, owner_of, price_of
from wirebook.core.market.latency cimport HISTOGRAM_BINS, STAGES, Histogram
from wirebook.core.market.layout cimport MARKET_HEADER_BYTES, MAGIC, MARKET_VERSION, METRICS, header_fault, length_for
from wirebook.core.wire.records cimport ASK, BID, NAME_BYTES
from wirebook.errors import UserError

cdef extern from "<sys/mman.h>" nogil:
    enum: MAP_POPULATE

cdef struct Attached:
    MarketHeader* header
    size_t length


cdef class MarketWriter:
    """Writes the market cache at `path` for `symbols` symbols; there can be only one writer at a time.

    A file of the same layout is taken over in place, so that readers which have it mapped go on after a restart; all
    its records are emptied first.
    """

    def __cinit__(self, path, uint32_t symbols):
        self.fd = -1
        self.symbols = symbols
        self.mapped = length_for(symbols)
        self._open(str(path))
        cdef void* address = c_mmap(NULL, self.mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, self.fd, 0)
        if address == MAP_FAILED:
            raise MemoryError(f"can't map {path}")
        self.header = <MarketHeader*> address
        self.records = <MarketRecord*> (<char*> address + MARKET_HEADER_BYTES)
        cdef uint32_t symbol
        for symbol in range(symbols):
            self.reset(self.records + symbol)
        self.histograms = <Histogram*> (self.records + symbols)
        memset(self.histograms, 0, STAGES * sizeof(Histogram))
        memset(&self.header.metrics, 0, METRICS * sizeof(uint64_t))
        self.header.version = MARKET_VERSION
        self.header.record_bytes = sizeof(MarketRecord)
        self.header.records = symbols
        self.header.depth = DEPTH
        self.header.histograms = STAGES
        self.header.histograms_at = MARKET_HEADER_BYTES + symbols * sizeof(MarketRecord)
        self.header.histogram_bins = HISTOGRAM_BINS
        self.header.start_ns = wall_ns()
        self.header.pid = os.getpid()
        self.beat(steady_ns())
        memcpy(self.header.magic, MAGIC, 8)  # last: before it, readers don't attach

    def __dealloc__(self):
        if self.header != NULL:
            munmap(self.header, self.mapped)
        if self.fd >= 0:
            c_close(self.fd)

    def _open(self, str path):
        """Open and lock the file, a fresh one when what is there has another layout."""
        cdef Attached old
        try:
            self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"another wirebook book writes {path}: stop it, or set another market.path") from None
        except OSError as error:
            raise UserError(f"can't write the market cache {path}: {error.strerror}; set market.path") from None
        length = os.fstat(self.fd).st_size
        head = os.pread(self.fd, MARKET_HEADER_BYTES, 0)
        if not head.strip(b"\0"):  # new, or of a writer that was killed before it said what the file is
            self._reserve(path, path if length == 0 else None)
            return
        if len(head) < MARKET_HEADER_BYTES or head[:8] != MAGIC[:8]:
            raise UserError(f"{path} exists and is no market cache: remove it, or set another market.path")
        old.header = <MarketHeader*> <char*> head
        if header_fault(old.header, length) is None and old.header.records == self.symbols:
            self._reserve(path, None)
            return
        # Readers may have the old file mapped: it must not change its size under them. It is kept until there is room.
        fresh = f"{path}.{os.getpid()}"
        old_fd, self.fd = self.fd, -1
        try:
            self.fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._reserve(path, fresh)
            os.rename(fresh, path)
        except OSError as error:
            raise UserError(f"can't write the market cache {fresh}: {error.strerror}; set market.path") from None
        finally:
            os.close(old_fd)

    def _reserve(self, str path, str made):
        """Take room for all of the file: a full tmpfs is an error here, not a SIGBUS later. `made`: remove it then."""
        try:
            os.posix_fallocate(self.fd, 0, self.mapped)
        except OSError as error:
            if made is not None:
                os.unlink(made)
            raise UserError(
                f"there is no room for the market cache {path}, {self.mapped / (1 << 20):.1f} MB: {error.strerror};"
                " make room there, or set market.path or fewer book.symbols"
            ) from None

    cdef void reset(self, MarketRecord* record) noexcept nogil:
        # A writer that was killed in the middle left an odd sequence.
        cdef uint32_t sequence = record.sequence & ~<uint32_t> 1
        store_relaxed_32(&record.sequence, sequence + 1)
        fence_release()
        memset(&record.state, 0, sizeof(MarketRecord) - sizeof(uint32_t))
        store_release_32(&record.sequence, sequence + 2)

    cdef void publish(self, BookSet* books, Book* book, uint8_t state, uint8_t reason, uint64_t now,
                      const Arrival* arrival) noexcept nogil:
        cdef MarketRecord* record = self.records + book.symbol
        # A NIC's clock that runs ahead of ours makes no negative age.
        cdef uint64_t age = now - min(now, arrival.stamp_ns)
        cdef uint32_t sequence = record.sequence
        store_relaxed_32(&record.sequence, sequence + 1)
        fence_release()
        record.state = state
        record.reason = reason
        record.update_id = book.update_id
        book_best(books, book, BID, &record.bid_price, &record.bid_quantity)
        book_best(books, book, ASK, &record.ask_price, &record.ask_quantity)
        record.exchange_ns = book.exchange_ns
        record.receive_ns = book.receive_ns
        record.publish_ns = now
        record.stamp = <uint8_t> arrival.stamp
        record.stamp_age = <uint32_t> min(age, <uint64_t> UINT32_MAX)
        record.events += 1
        if unlikely(book.changed != 0):
            if book.changed & 1:
                record.bids = show(books, book, BID, record.bid_levels)
            if book.changed & 2:
                record.asks = show(books, book, ASK, record.ask_levels)
            if book.changed & CHANGED_SPAN:
                show_span(books, book, record)
            book.changed = 0
        store_release_32(&record.sequence, sequence + 2)

    cdef void define(self, BookSet* books, Book* book) noexcept nogil:
        """The symbol's name and decimals, which never change while it has a book."""
        cdef MarketRecord* record = self.records + book.symbol
        cdef uint32_t sequence = record.sequence
        store_relaxed_32(&record.sequence, sequence + 1)
        fence_release()
        record.price_decimals = book.price_decimals
        record.quantity_decimals = book.quantity_decimals
        memcpy(record.name, books.names + NAME_BYTES * <size_t> book.symbol, NAME_BYTES)
        store_release_32(&record.sequence, sequence + 2)

    cdef void beat(self, uint64_t now) noexcept nogil:
        """Show a sign of life of `now`, CLOCK_MONOTONIC."""
        store_release_64(&self.header.heartbeat_ns, now)

    def close(self):
        """Say to readers that the writer stopped in order: all records are stale from here on."""
        store_release_64(&self.header.heartbeat_ns, 0)


cdef void show_span(BookSet* books, Book* book, MarketRecord* record) noexcept nogil:
    cdef uint64_t bid = books.edges[owner_of(book.symbol, BID)], ask = books.edges[owner_of(book.symbol, ASK)]
    record.edges = <uint8_t> ((bid != 0) | (ask != 0) << 1)
    record.bid_edge = price_of(bid, BID) if bid != 0 else 0
    record.ask_edge = price_of(ask, ASK) if ask != 0 else 0


cdef uint8_t show(BookSet* books, Book* book, uint32_t kind, int64_t* levels) noexcept nogil:
    """Copy a side's first levels from its ladder; returns how many there are."""
    cdef Ladder* ladder = books.ladders + owner_of(book.symbol, kind)
    cdef int index
    for index in range(DEPTH):
        levels[2 * index] = price_of(ladder.keys[index], kind)
        levels[2 * index + 1] = ladder.quantities[index]
    return <uint8_t> min(book.rungs[kind], <int> DEPTH)
