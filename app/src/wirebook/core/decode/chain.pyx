"""The chain of a followed book: a message that continues a live book, from its bytes to the sink, without Python.

Everything else (snapshots, gaps, messages that no scanner takes) is the business of `wirebook.venues.follower`, which
is told by `other`.
"""

from enum import IntEnum

from wirebook.core.base.hints cimport likely, unlikely
from wirebook.core.books.books cimport books_apply
from wirebook.core.decode.sequence cimport APPLY, goes_on


class Phase(IntEnum):
    """Where a book is between a connection and its venue's sequence."""

    IDLE = 0
    """Not connected."""
    AWAITING = 1
    """A snapshot has been asked for."""
    UNCHAINED = 2
    """The snapshot is applied; the first event that continues it proves it right."""
    LIVE = CHAIN_LIVE


cdef class Chain:
    """Where one book is in its venue's sequence.

    `phase` is a Phase, `at` the last update id in the book, `events` how many it has taken. `texts` is for a book whose
    messages have checksums; a scanner takes none that has one, so it's None after each of these.
    """

    def __init__(self, symbol):
        self.symbol = symbol


cdef class BookSink:
    """A sink that applies every event to `books` at once, for a program that wants them in its own process."""

    def __init__(self, Books books not None, Py_ssize_t records):
        self.books = books
        self.batch = Batch(records)

    cdef void drain(self) noexcept:
        books_apply(&self.books.set, self.batch.data, self.batch.size)
        self.batch.size = 0

    def commit(self, _symbol):
        """Apply the records of the batch, and empty it."""
        self.drain()


cdef class ChainFollower:
    """What a follower does with every message. `chains` are in the order of the scanner's instruments."""

    def __init__(self, Rule rule not None, list chains not None, Scanner scanner, sink):
        self.rule = rule
        self.chains = chains
        self.scanner = scanner
        self.sink = sink

    @property
    def sink(self):
        """Where the records go."""
        return self._sink

    @sink.setter
    def sink(self, sink):
        self._sink = sink
        self.batch = sink.batch
        self.direct = sink if type(sink) is BookSink else None

    def message(self, bytes raw not None, uint64_t receive_ns):
        """Take one whole message of the stream, received at `receive_ns` (ns since 1970)."""
        cdef Scanner scanner = self.scanner
        cdef Batch batch = self.batch
        cdef Py_ssize_t mark = batch.size
        cdef Chain chain
        self.messages += 1
        if likely(scanner is not None and scanner.take(raw, batch, receive_ns)):
            chain = <Chain> self.chains[scanner.index]
            if likely(
                chain.phase == CHAIN_LIVE and goes_on(chain.at, scanner.last)
                and self.rule.verdict(chain.at, True, scanner.first, scanner.last, scanner.before) == APPLY
            ):
                chain.at = scanner.last
                chain.events += 1
                chain.texts = None
                if unlikely(chain.kept is not None):
                    chain.kept.append((raw, receive_ns))
                self.updates += 1
                if self.direct is not None:
                    self.direct.drain()
                else:
                    self._sink.commit(chain.symbol)
                return
            batch.size = mark
        self.other(raw, receive_ns)

    def other(self, bytes raw, uint64_t receive_ns):
        """Do what a message asks for that isn't just the next event of a live book."""
        raise NotImplementedError
