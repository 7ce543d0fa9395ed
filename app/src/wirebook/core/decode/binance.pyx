"""Binance's depth events."""

from libc.stdint cimport UINT64_MAX, uint64_t

from wirebook.core.base.hints cimport unlikely
from wirebook.core.decode.cursor cimport Cursor, integer, plain, skip
from wirebook.core.decode.levels cimport Entry, levels
from wirebook.core.decode.scanner cimport Scanner
from wirebook.core.wire.records cimport ASK, BID, EVENT_END, LIVE, Batch, Record


cdef class BinanceScanner(Scanner):
    """Binance's `depthUpdate`, bare or in the combined stream's wrapper; futures' with `T`, `pu` and COIN-M's `ps`."""

    cdef bint run(self, Cursor* cursor, Batch batch, uint64_t receive_ns) noexcept nogil:
        cdef Entry* entry
        cdef Record pattern
        cdef uint64_t milliseconds, matched
        cdef Py_ssize_t mark = batch.size
        cdef bint wrapped = skip(cursor, b'{"stream":"', 11)
        if wrapped:
            plain(cursor)
            if unlikely(not skip(cursor, b'","data":', 9)):
                return False
        if not skip(cursor, b'{"e":"depthUpdate","E":', 23):
            return False
        if unlikely(not integer(cursor, 13, &milliseconds)):
            return False
        if skip(cursor, b',"T":', 5) and unlikely(not integer(cursor, 13, &matched)):
            return False
        if unlikely(not skip(cursor, b',"s":"', 6)):
            return False
        entry = self.named(cursor, &pattern)
        if unlikely(entry == NULL):
            return False
        if skip(cursor, b'","ps":"', 8):
            plain(cursor)
        if unlikely(
            not skip(cursor, b'","U":', 6)
            or not integer(cursor, 18, &self.first)
            or not skip(cursor, b',"u":', 5)
            or not integer(cursor, 18, &self.last)
            or self.first > self.last
        ):
            return False
        self.before = UINT64_MAX
        if skip(cursor, b',"pu":', 6) and unlikely(not integer(cursor, 18, &self.before)):
            return False
        self.exchange_ns = milliseconds * 1000000
        pattern.kind = BID
        pattern.update_id = self.last
        pattern.exchange_ns = self.exchange_ns
        pattern.receive_ns = receive_ns
        if unlikely(not skip(cursor, b',"b":', 5) or not levels(cursor, entry, self.shapes, batch, &pattern, 0)):
            return False
        pattern.kind = ASK
        if unlikely(
            not skip(cursor, b',"a":', 5)
            or not levels(cursor, entry, self.shapes, batch, &pattern, 0)
            or not skip(cursor, b"}", 1)
            or (wrapped and not skip(cursor, b"}", 1))
            or cursor.at != cursor.end
        ):
            return False
        if unlikely(batch.size == mark):
            return batch.add(entry.symbol, LIVE, EVENT_END, 0, self.last, 0, 0, self.exchange_ns, receive_ns)
        batch.data[batch.size - 1].flags |= EVENT_END
        return True


cdef class BinanceFuturesScanner(BinanceScanner):
    """The same of Binance's futures: an event without `pu` is none."""

    cdef bint run(self, Cursor* cursor, Batch batch, uint64_t receive_ns) noexcept nogil:
        return BinanceScanner.run(self, cursor, batch, receive_ns) and self.before != UINT64_MAX
