"""The market cache: what the book process knows, for any process of this host to read without asking it.

One file in shared memory: a page of header, then a record of 512 bytes for each symbol behind a seqlock, then the
histograms of latency. The writer never waits for a reader. A reader copies a record and looks at its sequence before
and after: it never gets a torn one.
"""

import fcntl
import mmap
import os
from pathlib import Path
from typing import NamedTuple

from libc.stdint cimport UINT32_MAX
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE
from posix.mman cimport mmap as c_mmap
from posix.mman cimport munmap
from posix.unistd cimport close as c_close

from wirebook.core.atomics cimport (
    fence_acquire, fence_release, load_acquire_32, load_acquire_64, load_relaxed_32, pause, store_relaxed_32,
    store_release_32, store_release_64,
)
from wirebook.core.books cimport DEPTH, STATE_EMPTY, Book, BookSet, Ladder, book_best, owner_of, price_of
from wirebook.core.clock cimport steady_ns, wall_ns
from wirebook.core.latency cimport HISTOGRAM_BINS, STAGES, Histogram
from wirebook.core.records cimport ASK, BID, NAME_BYTES, STOPPED, SYMBOLS, unlikely

from wirebook.core.books import State
from wirebook.core.latency import STAGE_NAMES, stage
from wirebook.core.transport import Stamp
from wirebook.errors import UserError

cdef extern from "<sys/mman.h>" nogil:
    enum: MAP_POPULATE

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef const char* MAGIC = b"WBMARKET"

cdef enum:
    READ_SPINS = 1000         # a record is written in well under that many looks
    READ_ATTEMPTS = 100000    # unless its writer lost the CPU in the middle: some tens of milliseconds
    FUTURE_NS = 1000000000

cdef struct Attached:
    MarketHeader* header
    size_t length


class Top(NamedTuple):
    """A symbol's best bid and ask. Prices and quantities are integers, to be divided by 10 to the power of decimals.

    A side that is empty has None. `state` is a `State`, `reason` why it's STALE (`records.Reason`). Times are ns since
    1970: of the venue, of the feed handler's receipt, and of the publication in the market cache. `arrival_ns` is when
    the packet came to this host, and `stamp` says who wrote that down; it is at most 4.29 s before `publish_ns`.
    """

    state: State
    reason: int
    update_id: int
    bid_price: int | None
    bid_quantity: int | None
    ask_price: int | None
    ask_quantity: int | None
    exchange_ns: int
    receive_ns: int
    publish_ns: int
    stamp: Stamp
    arrival_ns: int


class Symbol(NamedTuple):
    """What is known of a symbol besides its prices. `events` were published for it since the writer's start."""

    number: int
    name: str
    price_decimals: int
    quantity_decimals: int
    events: int


cdef size_t length_for(uint32_t symbols) noexcept nogil:
    return HEADER_BYTES + symbols * sizeof(MarketRecord) + STAGES * sizeof(Histogram)


cdef str header_fault(const MarketHeader* header, size_t length):
    """Why the file is not a market cache that this build understands; None when it is."""
    if length < HEADER_BYTES or memcmp(header.magic, MAGIC, 8) != 0:
        return "is no market cache of wirebook: change market.path"
    if header.version != MARKET_VERSION:
        return (
            f"has layout {header.version} and this reader understands {<int> MARKET_VERSION}: "
            "install the same release of wirebook on both sides"
        )
    if header.record_bytes != sizeof(MarketRecord) or header.depth != DEPTH:
        return (
            f"has records of {header.record_bytes} bytes with {header.depth} levels, this reader expects "
            f"{sizeof(MarketRecord)} with {<int> DEPTH}: install the same release of wirebook on both sides"
        )
    if not 0 < header.records <= SYMBOLS or length < length_for(header.records):
        return (
            f"says {header.records} records, but is {length} bytes long: the book process is still starting, "
            "or the file was damaged; restart wirebook book"
        )
    return None


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
        os.posix_fallocate(self.fd, 0, self.mapped)  # a full tmpfs is an error here, not a SIGBUS later
        cdef void* address = c_mmap(NULL, self.mapped, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, self.fd, 0)
        if address == MAP_FAILED:
            raise MemoryError(f"can't map {path}")
        self.header = <MarketHeader*> address
        self.records = <MarketRecord*> (<char*> address + HEADER_BYTES)
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
        self.header.histograms_at = HEADER_BYTES + symbols * sizeof(MarketRecord)
        self.header.histogram_bins = HISTOGRAM_BINS
        self.header.start_ns = wall_ns()
        self.header.pid = os.getpid()
        self.beat()
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
        head = os.pread(self.fd, HEADER_BYTES, 0)
        if not head.strip(b"\0"):  # new, or of a writer that was killed before it said what the file is
            return
        if len(head) < HEADER_BYTES or head[:8] != MAGIC[:8]:
            raise UserError(f"{path} exists and is no market cache: remove it, or set another market.path")
        old.header = <MarketHeader*> <char*> head
        if header_fault(old.header, length) is None and old.header.records == self.symbols:
            return
        # Readers may have the old file mapped: it must not change its size under them.
        fresh = f"{path}.{os.getpid()}"
        os.close(self.fd)
        self.fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(fresh, path)

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
        if unlikely(book.shown != 0):
            if book.shown & 1:
                record.bids = show(books, book, BID, record.bid_levels)
            if book.shown & 2:
                record.asks = show(books, book, ASK, record.ask_levels)
            book.shown = 0
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

    cdef void beat(self) noexcept nogil:
        store_release_64(&self.header.heartbeat_ns, steady_ns())

    def close(self):
        """Say to readers that the writer stopped in order: all records are stale from here on."""
        store_release_64(&self.header.heartbeat_ns, 0)


cdef uint8_t show(BookSet* books, Book* book, uint32_t kind, int64_t* levels) noexcept nogil:
    """Copy a side's first levels from its ladder; returns how many there are."""
    cdef Ladder* ladder = books.ladders + owner_of(book.symbol, kind)
    cdef int index
    for index in range(DEPTH):
        levels[2 * index] = price_of(ladder.keys[index], kind)
        levels[2 * index + 1] = ladder.quantities[index]
    return <uint8_t> min(book.rungs[kind], <int> DEPTH)


cdef class MarketView:
    """Reads the market cache at `path`, also of a writer that restarts.

    A record is never torn. Once the writer is dead, or was silent for `silence` seconds, every record is STALE with
    reason STOPPED, whatever it said last. UserError says why a file can't be attached to.
    """

    def __cinit__(self, path="/run/wirebook/market", double silence=1.0):
        self.path = str(path)
        self.silence_ns = <uint64_t> (silence * 1e9)
        self.attach()

    def attach(self):
        """Map the file anew: after a restart with another number of symbols it is a different one."""
        cdef const unsigned char[::1] memory
        cdef str fault
        try:
            with Path(self.path).open("rb") as file:
                self.memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is empty"
            raise UserError(f"can't read the market cache {self.path} ({reason}): is wirebook book running?") from None
        memory = self.memory
        fault = header_fault(<const MarketHeader*> &memory[0], memory.shape[0])
        if fault is not None:
            raise UserError(f"{self.path} {fault}")
        self.header = <const MarketHeader*> &memory[0]
        self.records = <const MarketRecord*> (&memory[0] + HEADER_BYTES)
        self.symbols = self.header.records
        self.stages = <const Histogram*> (self.records + self.symbols)
        self.numbers = {}

    cdef bint read(self, uint32_t symbol, MarketRecord* copy, size_t size) noexcept nogil:
        """Copy the first `size` bytes of a record; False when its writer died, or sleeps, in the middle of it."""
        cdef const MarketRecord* record = self.records + symbol
        cdef uint32_t sequence
        cdef int attempt
        for attempt in range(READ_ATTEMPTS):
            sequence = load_acquire_32(&record.sequence)
            if not sequence & 1:
                memcpy(copy, record, size)
                fence_acquire()
                if load_relaxed_32(&record.sequence) == sequence:
                    return True
            pause()
            if attempt > READ_SPINS:
                if not self.is_alive():
                    return False
                sched_yield()
        return False

    cdef bint is_alive(self) noexcept nogil:
        cdef uint64_t now = steady_ns()
        cdef uint64_t last = load_acquire_64(&self.header.heartbeat_ns)
        # A beat long after `now` is of an earlier boot; one just after it came while we looked.
        return last != 0 and (last < now + FUTURE_NS if last > now else now - last < self.silence_ns)

    @property
    def alive(self):
        """Whether the writer showed a sign of life within `silence`."""
        return self.is_alive()

    @property
    def start_ns(self):
        """When the writer started, ns since 1970."""
        return self.header.start_ns

    @property
    def pid(self):
        """The writer's process id, in its own namespace."""
        return self.header.pid

    def number(self, symbol):
        """A symbol's number from its number or its name `venue:INSTRUMENT`; KeyError when there is no such symbol."""
        cdef MarketRecord copy
        cdef uint32_t number
        if not isinstance(symbol, str):
            if not 0 <= symbol < self.symbols:
                raise KeyError(symbol)
            return symbol
        found = self.numbers.get(symbol)
        if found is not None and self.symbol(found).name == symbol:
            return found
        for number in range(self.symbols):
            if self.read(number, &copy, 128) and copy.name[0]:
                self.numbers[text(copy.name)] = number
        if symbol not in self.numbers or self.symbol(self.numbers[symbol]).name != symbol:
            raise KeyError(symbol)
        return self.numbers[symbol]

    def symbol(self, symbol):
        """What is known of a symbol: a `Symbol`."""
        cdef uint32_t number = self.number(symbol)
        cdef MarketRecord copy
        if not self.read(number, &copy, 128):
            memset(&copy, 0, sizeof(copy))
        return Symbol(number, text(copy.name), copy.price_decimals, copy.quantity_decimals, copy.events)

    def defined(self):
        """All symbols that have a name, in the order of their numbers."""
        found = (self.symbol(number) for number in range(self.symbols))
        return [symbol for symbol in found if symbol.name]

    def top(self, symbol):
        """Best bid and ask of a symbol (number or name): a `Top`."""
        cdef uint32_t number = self.number(symbol)
        cdef MarketRecord copy
        # Before the record is read: a heartbeat seen afterwards may be a new writer's, and the record the old one's.
        cdef bint alive = self.is_alive()
        if not self.read(number, &copy, 88):
            return unreadable()
        state, reason = state_of(&copy, alive)
        return Top(
            state, reason, copy.update_id,
            copy.bid_price if copy.bids else None, copy.bid_quantity if copy.bids else None,
            copy.ask_price if copy.asks else None, copy.ask_quantity if copy.asks else None,
            copy.exchange_ns, copy.receive_ns, copy.publish_ns, Stamp(copy.stamp), copy.publish_ns - copy.stamp_age,
        )

    def depth(self, symbol):
        """(Top, bids, asks): up to 10 (price, quantity) a side from the best on, all of the same moment."""
        cdef uint32_t number = self.number(symbol)
        cdef MarketRecord copy
        cdef bint alive = self.is_alive()  # before the record is read, as in top()
        if not self.read(number, &copy, sizeof(copy)):
            return unreadable(), [], []
        state, reason = state_of(&copy, alive)
        bids = [(copy.bid_levels[2 * n], copy.bid_levels[2 * n + 1]) for n in range(copy.bids)]
        asks = [(copy.ask_levels[2 * n], copy.ask_levels[2 * n + 1]) for n in range(copy.asks)]
        bid, ask = (bids or [(None, None)])[0], (asks or [(None, None)])[0]
        top = Top(
            state, reason, copy.update_id, *bid, *ask, copy.exchange_ns, copy.receive_ns, copy.publish_ns,
            Stamp(copy.stamp), copy.publish_ns - copy.stamp_age,
        )
        return top, bids, asks

    def metrics(self):
        """The writer's counters, by name."""
        return self.header.metrics

    def histograms(self):
        """Counted so far for each stage, by name: (bins, negative), as lists that `latency.stage` takes."""
        return {
            name: (list(self.stages[<int> index].bins), self.stages[<int> index].negative)
            for index, name in enumerate(STAGE_NAMES)
        }

    def latency(self):
        """How long each stage took since the writer's start: a list of `latency.Stage`."""
        return [stage(name, bins, negative) for name, (bins, negative) in self.histograms().items()]

    @property
    def array(self):
        """All records as a numpy structured array over the shared memory itself: nothing is copied.

        It changes while you look at it. For one consistent record use `top` or `depth`, or compare `sequence` before
        and after as they do; `alive` is not looked at.
        """
        import numpy

        level = numpy.dtype([("price", "<i8"), ("quantity", "<i8")])
        record = numpy.dtype([
            ("sequence", "<u4"), ("state", "u1"), ("reason", "u1"), ("bids", "u1"), ("asks", "u1"),
            ("update_id", "<u8"),
            ("bid_price", "<i8"), ("bid_quantity", "<i8"), ("ask_price", "<i8"), ("ask_quantity", "<i8"),
            ("exchange_ns", "<u8"), ("receive_ns", "<u8"), ("publish_ns", "<u8"), ("events", "<u8"),
            ("price_decimals", "u1"), ("quantity_decimals", "u1"), ("stamp", "u1"), ("padding", "V1"),
            ("stamp_age", "<u4"), ("name", f"S{<int> NAME_BYTES}"),
            ("bid_levels", level, (DEPTH,)), ("ask_levels", level, (DEPTH,)), ("rest", "V64"),
        ])
        return numpy.frombuffer(self.memory, dtype=record, count=self.symbols, offset=HEADER_BYTES)


cdef object unreadable():
    """Of a record whose writer died, or sleeps, in the middle of it."""
    return Top(State.STALE, STOPPED, 0, None, None, None, None, 0, 0, 0, Stamp.STAMP_USER, 0)


cdef tuple state_of(MarketRecord* copy, bint alive):
    if copy.state != STATE_EMPTY and not alive:
        return State.STALE, STOPPED
    return State(copy.state), copy.reason


cdef str text(const char* name):
    return name[:NAME_BYTES].rstrip(b"\0").decode("ascii", "replace")
