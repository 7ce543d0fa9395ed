"""Batches of records (docs/wire-format.md), the same in memory as on the wire."""

from cpython.buffer cimport PyBUF_FORMAT, PyBUF_WRITABLE
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from posix.stdlib cimport posix_memalign

# Read by numpy and memoryview; field order and sizes are those of the wire.
cdef const char* FORMAT = (
    b"T{<I:symbol:B:kind:B:flags:<H:aux:<Q:update_id:<q:price:<q:quantity:<Q:exchange_ns:<Q:receive_ns:}"
)


cdef class Batch:
    """A preallocated array of records: nothing is allocated after construction.

    Records are appended until `capacity`, then `clear()` makes room again. The buffer protocol gives the records that
    are in the batch at that moment, without a copy.
    """

    def __cinit__(self, Py_ssize_t capacity):
        assert sizeof(Record) == RECORD_BYTES
        if not 0 < capacity <= 1 << 24:
            raise ValueError(f"a batch holds 1 to 16777216 records, not {capacity}")
        if posix_memalign(<void**> &self.data, 64, <size_t> capacity * sizeof(Record)) != 0:
            raise MemoryError
        memset(self.data, 0, <size_t> capacity * sizeof(Record))
        self.capacity = capacity

    def __dealloc__(self):
        free(self.data)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer* view, int flags):
        if flags & PyBUF_WRITABLE == PyBUF_WRITABLE:
            raise BufferError("a batch is read-only: append to it")
        self.shape = self.size
        view.buf = self.data
        view.obj = self
        view.len = self.size * <Py_ssize_t> sizeof(Record)
        view.readonly = 1
        view.itemsize = sizeof(Record)
        view.format = <char*> FORMAT if flags & PyBUF_FORMAT else NULL
        view.ndim = 1
        view.shape = &self.shape
        view.strides = &view.itemsize
        view.suboffsets = NULL
        view.internal = NULL

    @property
    def array(self):
        """The records as a numpy structured array, read-only, sharing the batch's memory."""
        import numpy

        return numpy.frombuffer(self, dtype=numpy.dtype([
            ("symbol", "<u4"), ("kind", "u1"), ("flags", "u1"), ("aux", "<u2"), ("update_id", "<u8"), ("price", "<i8"),
            ("quantity", "<i8"), ("exchange_ns", "<u8"), ("receive_ns", "<u8"),
        ])) if self.size else numpy.asarray(self)

    def clear(self):
        """Empty the batch; the memory stays."""
        self.size = 0

    def truncate(self, Py_ssize_t size):
        """Take out the records from `size` on: those of an event that turned out not to continue its book."""
        if not 0 <= size <= self.size:
            raise ValueError(f"the batch holds {self.size} records, which can't be cut to {size}")
        self.size = size

    def times(self):
        """(exchange_ns, receive_ns) of the record appended last; IndexError when there is none."""
        if not self.size:
            raise IndexError("the batch is empty")
        return self.data[self.size - 1].exchange_ns, self.data[self.size - 1].receive_ns

    def append(self, uint32_t symbol, uint8_t kind, uint8_t flags=0, uint16_t aux=0, uint64_t update_id=0,
               int64_t price=0, int64_t quantity=0, uint64_t exchange_ns=0, uint64_t receive_ns=0):
        """Append one record; OverflowError when the batch is full."""
        if not self.add(symbol, kind, flags, aux, update_id, price, quantity, exchange_ns, receive_ns):
            raise OverflowError(f"the batch holds {self.capacity} records and is full")

    def define(self, uint32_t symbol, str name, uint8_t price_decimals, uint8_t quantity_decimals):
        """Append a DEFINE record: `name` is `venue:INSTRUMENT`, at most 40 bytes of UTF-8."""
        cdef bytes text = name.encode()
        cdef Record* record
        if not 0 < len(text) <= NAME_BYTES:
            raise ValueError(f"a symbol's name has 1 to {NAME_BYTES} bytes: {name!r}")
        record = self.push()
        if record == NULL:
            raise OverflowError(f"the batch holds {self.capacity} records and is full")
        memset(record, 0, sizeof(Record))
        record.symbol = symbol
        record.kind = DEFINE
        record.aux = price_decimals | <uint16_t> quantity_decimals << 8
        memcpy(&record.update_id, <char*> text, len(text))

    def extend(self, data):
        """Append the records of a bytes-like object, as they were on the wire."""
        cdef const unsigned char[::1] source = memoryview(data).cast("B")
        cdef Py_ssize_t count = source.shape[0] // <Py_ssize_t> sizeof(Record)
        if count * <Py_ssize_t> sizeof(Record) != source.shape[0]:
            raise ValueError(f"{source.shape[0]} bytes are no whole number of records")
        if self.size + count > self.capacity:
            raise OverflowError(f"the batch holds {self.capacity} records and is full")
        if count:
            memcpy(self.data + self.size, &source[0], source.shape[0])
            self.size += count
