"""The one way of a book into the market cache, whatever made it change: an event, a rebuild, a silence."""

import os

from libc.errno cimport errno as c_errno
from libc.stdint cimport int64_t, uint8_t
from libc.stdio cimport fclose, fflush, fopen, fprintf

from wirebook.core.base.hints cimport unlikely
from wirebook.core.books.book cimport STATE_LIVE, STATE_STALE, Book, book_best
from wirebook.core.books.books cimport Books, books_listen
from wirebook.core.market.layout cimport Arrival, MarketRecord
from wirebook.core.market.writer cimport MarketWriter
from wirebook.core.wire.records cimport ASK, BID, OUT_OF_SPAN, POOL_EXHAUSTED
from wirebook.errors import UserError


cdef void on_event(void* context, Book* book, const char* tail) noexcept nogil:
    # What waited in the ring has its packet's arrival behind it: the packet at hand may be a later one.
    publish(<Publisher> context, book, <const Arrival*> tail if tail != NULL else &(<Publisher> context).arrival)


cdef inline void publish(Publisher self, Book* book, const Arrival* arrival) noexcept nogil:
    cdef int64_t bid, bid_quantity, ask, ask_quantity
    cdef uint8_t state = book.state, reason = book.reason
    if unlikely(self.quiet):
        return
    if unlikely((book.beyond | book.doubt) != 0) and state == STATE_LIVE:
        state = STATE_STALE
        reason = book.doubt if book.doubt != 0 else OUT_OF_SPAN
    if unlikely(book.reason == POOL_EXHAUSTED):
        self.gates[book.symbol] = 0  # only a snapshot can help
    self.market.publish(&self.books.set, book, state, reason, self.now, arrival)
    if unlikely(self.audit != NULL):
        book_best(&self.books.set, book, BID, &bid, &bid_quantity)
        book_best(&self.books.set, book, ASK, &ask, &ask_quantity)
        fprintf(self.audit, "%u,%llu,%u,%lld,%lld,%lld,%lld\n", book.symbol, <unsigned long long> book.update_id,
                <unsigned> state, <long long> bid, <long long> bid_quantity, <long long> ask,
                <long long> ask_quantity)


cdef class Publisher:
    """Publishes `books` in `market` whenever one changes, or what may be believed of it does.

    `audit` is a file that gets a line for each time: symbol, update id, state, bid price and quantity, ask price and
    quantity. The books are this publisher's to listen to from now on, until it is gone.
    """

    def __cinit__(self, Books books not None, MarketWriter market not None, audit=None):
        if market.symbols < books.set.symbols:
            raise ValueError(f"a market cache of {market.symbols} symbols for {books.set.symbols} books")
        self.books = books
        self.market = market
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

    cdef void show(self, Book* book) noexcept nogil:
        """Publish a book as it is, outside of any record."""
        publish(self, book, &self.arrival)

    cdef void flush(self) noexcept nogil:
        """Let the audit be read up to here."""
        if self.audit != NULL:
            fflush(self.audit)
