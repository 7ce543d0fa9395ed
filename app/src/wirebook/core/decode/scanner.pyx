"""The fast path from a depth message's bytes to records: one pass, no Python object per level.

It accepts exactly the text that a venue is known to send: this order of keys, no blanks, plain decimals. Anything
else, be it valid JSON or not, is left to the slow decoder, and the batch is as it was before. So the fast path never
has to be lenient, and the slow one says what is wrong.

This is what all scanners share; the text of each venue is in the module of its name, and `levels` reads the levels.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.stdlib cimport posix_memalign

from wirebook.core.base.hints cimport likely, unlikely
from wirebook.core.decode.cursor cimport Cursor, begin, plain_run, room
from wirebook.core.decode.levels cimport NAME_WORDS, SHAPES, Entry, Shape
from wirebook.core.wire.records cimport EVENT_END, LIVE, Batch, Record

cdef enum:
    SLOTS = 4096  # twice the symbols of a node: probes stay short


cdef inline Entry* slot_of(Entry* table, const uint64_t* name) noexcept nogil:
    """The instrument's entry in the table, or the free one where it would be."""
    cdef uint64_t slot = (name[0] * 0x9E3779B97F4A7C15u ^ name[1] * 0xC2B2AE3D27D4EB4Fu
                          ^ name[2] * 0x165667B19E3779F9u) >> 52
    cdef Entry* entry
    while True:
        entry = table + slot
        if likely(((entry.name[0] ^ name[0]) | (entry.name[1] ^ name[1]) | (entry.name[2] ^ name[2])) == 0):
            return entry
        if entry.name[0] == 0:
            return entry
        slot = (slot + 1) % SLOTS


cdef class Scanner:
    """Decodes one kind of depth event for a fixed set of instruments; which one is the subclass's `run`.

    `instruments` are (symbol id, name, price decimals, quantity decimals). After a `scan` that returned True, `symbol`,
    `first`, `last`, `previous` and `exchange_ns` are the event's.
    """

    def __cinit__(self, instruments):
        cdef bytes encoded
        cdef Entry* entry
        cdef Entry wanted
        cdef uint32_t index = 0
        self.before = UINT64_MAX
        self.table = <Entry*> calloc(SLOTS, sizeof(Entry))
        if self.table == NULL or posix_memalign(<void**> &self.shapes, 64, (SHAPES + 1) * sizeof(Shape)) != 0:
            raise MemoryError
        memset(self.shapes, 0, (SHAPES + 1) * sizeof(Shape))
        rows = list(instruments)
        if len(rows) > SLOTS // 2:
            raise ValueError(f"a scanner knows at most {SLOTS // 2} instruments, not {len(rows)}")
        for symbol, name, price_decimals, quantity_decimals in rows:
            encoded = name.encode()
            if not encoded:
                raise ValueError("an instrument has a name")
            if not (0 <= price_decimals <= 18 and 0 <= quantity_decimals <= 18):
                raise ValueError(f"{name}: {price_decimals} and {quantity_decimals} decimals are not both 0 to 18")
            if not name.isascii() or len(encoded) > NAME_WORDS * 8:  # events of it are the slow decoder's
                index += 1
                continue
            memset(&wanted, 0, sizeof(wanted))
            memcpy(wanted.name, <char*> encoded, <size_t> len(encoded))
            entry = slot_of(self.table, wanted.name)
            wanted.symbol = symbol
            wanted.index = index
            wanted.price_decimals = price_decimals
            wanted.quantity_decimals = quantity_decimals
            wanted.shape = self.shapes + SHAPES
            entry[0] = wanted
            index += 1

    def __dealloc__(self):
        free(self.table)
        free(self.shapes)

    @property
    def previous(self):
        """The id that the event says it continues; None where such events don't say."""
        return None if self.before == UINT64_MAX else self.before

    def scan(self, bytes raw not None, Batch batch not None, uint64_t receive_ns):
        """Append the records of one depth event and return True; or leave the batch as it was and return False.

        The last record has the flag EVENT_END. An event without levels becomes one LIVE record: the book is whole at
        its update id too.
        """
        return self.take(raw, batch, receive_ns)

    cdef bint take(self, bytes raw, Batch batch, uint64_t receive_ns) noexcept:
        cdef Cursor cursor
        cdef Py_ssize_t mark = batch.size
        begin(&cursor, PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw))
        if likely(self.run(&cursor, batch, receive_ns)):
            return True
        batch.size = mark
        return False

    cdef bint run(self, Cursor* cursor, Batch batch, uint64_t receive_ns) noexcept nogil:
        """Append the records of an event that has the one accepted form; False, with records to be removed, else."""
        return False

    cdef Entry* named(self, Cursor* cursor, Record* pattern) noexcept nogil:
        """Read an instrument's name up to its quote, and begin the pattern of its records; NULL if it isn't known."""
        cdef uint64_t name[NAME_WORDS]
        cdef Entry* entry
        cdef int length, word, left
        room(cursor)
        length = plain_run(cursor.at)
        if length == 16:
            length += plain_run(cursor.at + 16)
        if unlikely(length == 0 or length > NAME_WORDS * 8):
            return NULL
        memcpy(name, cursor.at, sizeof(name))
        for word in range(NAME_WORDS):
            left = length - 8 * word
            if left < 8:
                name[word] &= (<uint64_t> 1 << (8 * left)) - 1 if left > 0 else 0
        cursor.at += length
        entry = slot_of(self.table, name)
        if unlikely(entry.name[0] == 0):
            return NULL
        memset(pattern, 0, sizeof(Record))
        pattern.symbol = self.symbol = entry.symbol
        self.index = entry.index
        return entry

    cdef bint finish(self, Batch batch, Py_ssize_t mark, uint64_t receive_ns) noexcept nogil:
        """Give the event's records, from `mark` on, what was only known behind the levels, and end the event."""
        cdef Py_ssize_t index
        if unlikely(batch.size == mark):
            return batch.add(self.symbol, LIVE, EVENT_END, 0, self.last, 0, 0, self.exchange_ns, receive_ns)
        for index in range(mark, batch.size):
            batch.data[index].update_id = self.last
            batch.data[index].exchange_ns = self.exchange_ns
        batch.data[batch.size - 1].flags |= EVENT_END
        return True
