"""OKX's book updates."""

from libc.stdint cimport uint64_t

from wirebook.core.base.hints cimport unlikely
from wirebook.core.decode.cursor cimport Cursor, integer, skip
from wirebook.core.decode.levels cimport Entry, levels
from wirebook.core.decode.scanner cimport Scanner
from wirebook.core.wire.records cimport ASK, BID, Batch, Record


cdef class OkxScanner(Scanner):
    """OKX's `update` of the channel `books`, if it has ids and its checksum is 0 or absent."""

    cdef bint run(self, Cursor* cursor, Batch batch, uint64_t receive_ns) noexcept nogil:
        cdef Entry* entry
        cdef Record pattern
        cdef uint64_t milliseconds
        cdef Py_ssize_t mark = batch.size
        if not skip(cursor, b'{"arg":{"channel":"books","instId":"', 36):
            return False
        entry = self.named(cursor, &pattern)
        if unlikely(entry == NULL or not skip(cursor, b'"},"action":"update","data":[{"asks":', 37)):
            return False
        pattern.kind = ASK
        pattern.receive_ns = receive_ns
        if unlikely(not levels(cursor, entry, self.shapes, batch, &pattern, 2) or not skip(cursor, b',"bids":', 8)):
            return False
        pattern.kind = BID
        if unlikely(
            not levels(cursor, entry, self.shapes, batch, &pattern, 2)
            or not skip(cursor, b',"ts":"', 7)
            or not integer(cursor, 13, &milliseconds)
            or not skip(cursor, b'"', 1)
        ):
            return False
        skip(cursor, b',"checksum":0', 13)
        if skip(cursor, b',"prevSeqId":', 13):
            if unlikely(
                not integer(cursor, 18, &self.before)
                or not skip(cursor, b',"seqId":', 9)
                or not integer(cursor, 18, &self.last)
            ):
                return False
        elif unlikely(
            not skip(cursor, b',"seqId":', 9)
            or not integer(cursor, 18, &self.last)
            or not skip(cursor, b',"prevSeqId":', 13)
            or not integer(cursor, 18, &self.before)
        ):
            return False
        if unlikely(not skip(cursor, b"}]}", 3) or cursor.at != cursor.end):
            return False
        self.first = self.last
        self.exchange_ns = milliseconds * 1000000
        return self.finish(batch, mark, receive_ns)
