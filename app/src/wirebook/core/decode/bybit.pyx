"""Bybit's order book deltas."""

from libc.stdint cimport uint64_t

from wirebook.core.base.hints cimport unlikely
from wirebook.core.decode.cursor cimport Cursor, integer, plain, skip
from wirebook.core.decode.levels cimport Entry, levels
from wirebook.core.decode.scanner cimport Scanner
from wirebook.core.wire.records cimport ASK, BID, Batch, Record


cdef class BybitScanner(Scanner):
    """Bybit's `delta` of a topic `orderbook.…`, with or without `cts`."""

    cdef bint run(self, Cursor* cursor, Batch batch, uint64_t receive_ns) noexcept nogil:
        cdef Entry* entry
        cdef Record pattern
        cdef uint64_t milliseconds, unused
        cdef Py_ssize_t mark = batch.size
        if not skip(cursor, b'{"topic":"orderbook.', 20):
            return False
        plain(cursor)
        if unlikely(
            not skip(cursor, b'","type":"delta","ts":', 22)
            or not integer(cursor, 13, &milliseconds)
            or not skip(cursor, b',"data":{"s":"', 14)
        ):
            return False
        entry = self.named(cursor, &pattern)
        if unlikely(entry == NULL):
            return False
        self.exchange_ns = milliseconds * 1000000
        pattern.kind = BID
        pattern.receive_ns = receive_ns
        if unlikely(not skip(cursor, b'","b":', 6) or not levels(cursor, entry, self.shapes, batch, &pattern, 0)):
            return False
        pattern.kind = ASK
        if unlikely(
            not skip(cursor, b',"a":', 5)
            or not levels(cursor, entry, self.shapes, batch, &pattern, 0)
            or not skip(cursor, b',"u":', 5)
            or not integer(cursor, 18, &self.last)
            or not skip(cursor, b',"seq":', 7)
            or not integer(cursor, 18, &unused)
            or not skip(cursor, b"}", 1)
        ):
            return False
        if skip(cursor, b',"cts":', 7) and unlikely(not integer(cursor, 13, &unused)):
            return False
        if unlikely(not skip(cursor, b"}", 1) or cursor.at != cursor.end):
            return False
        self.first = self.last
        return self.finish(batch, mark, receive_ns)
