"""A reader of the market cache, in any process of this host.

It copies a record and looks at its sequence before and after: it never gets a torn one.
"""

import mmap
from pathlib import Path
from typing import NamedTuple

from libc.string cimport memcpy, memset

from wirebook.core.base.atomics cimport fence_acquire, load_acquire_32, load_acquire_64, load_relaxed_32, pause
from wirebook.core.base.clock cimport steady_ns
from wirebook.core.books.book cimport STATE_EMPTY
from wirebook.core.books.books import State
from wirebook.core.market.latency cimport Histogram
from wirebook.core.market.latency import STAGE_NAMES, stage
from wirebook.core.market.layout cimport MARKET_HEADER_BYTES, header_fault, named_bytes, top_bytes
from wirebook.core.market.layout import record_type
from wirebook.core.transport.base import Stamp
from wirebook.core.wire.records cimport NAME_BYTES, STOPPED
from wirebook.errors import UserError

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef enum:
    READ_SPINS = 1000         # a record is written in well under that many looks
    READ_ATTEMPTS = 100000    # unless its writer lost the CPU in the middle: some tens of milliseconds
    FUTURE_NS = 1000000000


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


class Levels(NamedTuple):
    """A symbol's best levels: up to 10 (price, quantity) a side from the best on, and the top of the same moment."""

    top: Top
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Depth(Levels):
    """The three of `Levels`, and how far each side is known: `bid_edge` and `ask_edge`.

    An edge is the price of the worst level that the venue's snapshot told. Beyond it there may be levels that nobody
    told, so a book of which one of the ten is beyond is STALE. None: all of the side is known, or the venue keeps
    telling its best levels, of which the ten are the first.
    """

    bid_edge = None
    ask_edge = None


class Symbol(NamedTuple):
    """What is known of a symbol besides its prices. `events` were published for it since the writer's start."""

    number: int
    name: str
    price_decimals: int
    quantity_decimals: int
    events: int


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
        self.records = <const MarketRecord*> (&memory[0] + MARKET_HEADER_BYTES)
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
            if self.read(number, &copy, named_bytes()) and copy.name[0]:
                self.numbers[text(copy.name)] = number
        if symbol not in self.numbers or self.symbol(self.numbers[symbol]).name != symbol:
            raise KeyError(symbol)
        return self.numbers[symbol]

    def symbol(self, symbol):
        """What is known of a symbol: a `Symbol`."""
        cdef uint32_t number = self.number(symbol)
        cdef MarketRecord copy
        if not self.read(number, &copy, named_bytes()):
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
        if not self.read(number, &copy, top_bytes()):
            return unreadable()
        state, reason = state_of(&copy, alive)
        return Top(
            state, reason, copy.update_id,
            copy.bid_price if copy.bids else None, copy.bid_quantity if copy.bids else None,
            copy.ask_price if copy.asks else None, copy.ask_quantity if copy.asks else None,
            copy.exchange_ns, copy.receive_ns, copy.publish_ns, Stamp(copy.stamp), copy.publish_ns - copy.stamp_age,
        )

    def depth(self, symbol):
        """The best levels of a symbol (number or name), all of the same moment: a `Depth`."""
        cdef uint32_t number = self.number(symbol)
        cdef MarketRecord copy
        cdef bint alive = self.is_alive()  # before the record is read, as in top()
        if not self.read(number, &copy, sizeof(copy)):
            return Depth(unreadable(), [], [])
        state, reason = state_of(&copy, alive)
        bids = [(copy.bid_levels[2 * n], copy.bid_levels[2 * n + 1]) for n in range(copy.bids)]
        asks = [(copy.ask_levels[2 * n], copy.ask_levels[2 * n + 1]) for n in range(copy.asks)]
        bid, ask = (bids or [(None, None)])[0], (asks or [(None, None)])[0]
        top = Top(
            state, reason, copy.update_id, *bid, *ask, copy.exchange_ns, copy.receive_ns, copy.publish_ns,
            Stamp(copy.stamp), copy.publish_ns - copy.stamp_age,
        )
        depth = Depth(top, bids, asks)
        depth.bid_edge = copy.bid_edge if copy.edges & 1 else None
        depth.ask_edge = copy.ask_edge if copy.edges & 2 else None
        return depth

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

        return numpy.frombuffer(self.memory, dtype=record_type(), count=self.symbols, offset=MARKET_HEADER_BYTES)


cdef object unreadable():
    """Of a record whose writer died, or sleeps, in the middle of it."""
    return Top(State.STALE, STOPPED, 0, None, None, None, None, 0, 0, 0, Stamp.STAMP_USER, 0)


cdef tuple state_of(MarketRecord* copy, bint alive):
    if copy.state != STATE_EMPTY and not alive:
        return State.STALE, STOPPED
    return State(copy.state), copy.reason


cdef str text(const char* name):
    return name[:NAME_BYTES].rstrip(b"\0").decode("utf-8", "replace")
