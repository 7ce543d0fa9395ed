"""The record: what decoding makes, what packets carry, what books apply. 48 bytes, see docs/wire-format.md."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from wirebook.core.base.hints cimport unlikely

cpdef enum Kind:
    BID = 0
    ASK = 1
    CLEAR = 2
    LIVE = 3
    STALE = 4
    HEARTBEAT = 5
    DEFINE = 6
    SPAN = 7

cpdef enum Flag:
    EVENT_END = 1
    SNAPSHOT = 2

cpdef enum Reason:
    NO_REASON = 0
    GAP = 1
    DISCONNECTED = 2
    CHECKSUM = 3
    SILENCE = 4
    RESYNC = 5
    POOL_EXHAUSTED = 6
    TOO_SLOW = 7
    STOPPED = 8
    UNREADABLE = 9
    CROSSED = 10
    OUT_OF_SPAN = 11
    CONTESTED = 12

cdef enum:
    RECORD_BYTES = 48
    NAME_BYTES = 40
    SYMBOLS = 2048

cdef struct Record:
    uint32_t symbol
    uint8_t kind
    uint8_t flags
    uint16_t aux
    uint64_t update_id
    int64_t price
    int64_t quantity
    uint64_t exchange_ns
    uint64_t receive_ns


cdef class Batch:
    cdef Record* data
    cdef readonly Py_ssize_t capacity
    cdef Py_ssize_t size
    cdef Py_ssize_t shape  # of the buffers handed out

    cdef inline Record* push(self) noexcept nogil:
        """The next free record, uninitialised, or NULL when the batch is full."""
        if unlikely(self.size == self.capacity):
            return NULL
        self.size += 1
        return self.data + (self.size - 1)

    cdef inline bint add(self, uint32_t symbol, uint8_t kind, uint8_t flags, uint16_t aux, uint64_t update_id,
                         int64_t price, int64_t quantity, uint64_t exchange_ns, uint64_t receive_ns) noexcept nogil:
        """Append one record; False when the batch is full."""
        cdef Record* record = self.push()
        if unlikely(record == NULL):
            return False
        record.symbol = symbol
        record.kind = kind
        record.flags = flags
        record.aux = aux
        record.update_id = update_id
        record.price = price
        record.quantity = quantity
        record.exchange_ns = exchange_ns
        record.receive_ns = receive_ns
        return True
