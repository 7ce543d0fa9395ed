"""The fast path from a depth message's bytes to records: one pass, no Python object per level.

It accepts exactly the text that a venue is known to send: this order of keys, no blanks, plain decimals. Anything
else, be it valid JSON or not, is left to the slow decoder, and the batch is as it was before. So the fast path never
has to be lenient, and the slow one says what is wrong.

Levels are read as vectors (levels.h) while they are laid out as one before them was, and else byte by byte, which
teaches their layout.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT64_MAX, int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.stdlib cimport posix_memalign

from wirebook.core.cursor cimport Cursor, begin, decimal, integer, plain, plain_run, quoted, room, skip
from wirebook.core.records cimport ASK, BID, EVENT_END, LIVE, Batch, Record, likely, unlikely

cdef extern from "levels.h":
    int layout "wb_layout"(const char* at, uint64_t* quotes, uint64_t* points) nogil
    bint fits "wb_fits"(const Shape* shape, const char* at) nogil
    void numbers "wb_numbers"(const Shape* shape, const char* at, int64_t* price_and_quantity) nogil
    bint learn "wb_learn"(Shape* shape, const char* at, int length, int price_decimals, int quantity_decimals) nogil


cdef inline Entry* slot_of(Entry* table, const uint64_t* name) noexcept nogil:
    """The instrument's place in the table, or the free one where it would be."""
    cdef uint64_t place = (name[0] * 0x9E3779B97F4A7C15u ^ name[1] * 0xC2B2AE3D27D4EB4Fu
                           ^ name[2] * 0x165667B19E3779F9u) >> 52
    cdef Entry* entry
    while True:
        entry = table + place
        if likely(((entry.name[0] ^ name[0]) | (entry.name[1] ^ name[1]) | (entry.name[2] ^ name[2])) == 0):
            return entry
        if entry.name[0] == 0:
            return entry
        place = (place + 1) % SLOTS


cdef bint odd_level(Cursor* cursor, Entry* entry, Shape* shapes, Record* record, int more) noexcept nogil:
    """A level that isn't laid out as the one before it; False if it isn't one."""
    cdef const char* start = cursor.at
    cdef uint64_t quotes = 0, points = 0
    cdef int length = layout(start, &quotes, &points), _more
    cdef Shape* shape = shapes + ((quotes * 0x9E3779B97F4A7C15u ^ points * 0xC2B2AE3D27D4EB4Fu) >> 32) % SHAPES
    if (
        shape.quotes == quotes and shape.points == points
        and shape.price_decimals == entry.price_decimals and shape.quantity_decimals == entry.quantity_decimals
        and fits(shape, start)
    ):
        numbers(shape, start, &record.price)
        cursor.at += length
        entry.shape = shape
        return True
    if unlikely(
        not skip(cursor, b"[", 1)
        or not decimal(cursor, entry.price_decimals, &record.price)
        or not skip(cursor, b",", 1)
        or not decimal(cursor, entry.quantity_decimals, &record.quantity)
    ):
        return False
    for _more in range(more):
        if unlikely(not quoted(cursor)):
            return False
    if unlikely(not skip(cursor, b"]", 1)):
        return False
    if length > 0 and learn(shape, start, length, entry.price_decimals, entry.quantity_decimals):
        entry.shape = shape
    return True


cdef bint levels(Cursor* cursor, Entry* entry, Shape* shapes, Batch batch, Record* pattern, int more) noexcept nogil:
    """`[["price","quantity"],…]`: a record per level, like `pattern` but for price and quantity.

    A level has `more` numbers behind the two, which say nothing about the book.
    """
    cdef Record* record = batch.data + batch.size
    cdef const Record* full = batch.data + batch.capacity
    cdef const Shape* shape
    cdef const char* at
    if unlikely(not skip(cursor, b"[", 1)):
        return False
    if skip(cursor, b"]", 1):
        return True
    if unlikely(entry.shape.price_decimals != entry.price_decimals
                or entry.shape.quantity_decimals != entry.quantity_decimals):
        entry.shape = shapes + SHAPES  # that of another instrument has taken its place
    while True:
        room(cursor)
        shape = entry.shape
        at = cursor.at
        # In registers: what is stored here could be the cursor, as far as the compiler knows.
        while record != full and at <= cursor.wide and fits(shape, at):
            record[0] = pattern[0]
            numbers(shape, at, &record.price)
            record += 1
            at += shape.length
            if at[0] != c",":
                cursor.at = at
                batch.size = record - batch.data
                return skip(cursor, b"]", 1)
            at += 1
        cursor.at = at
        if at > cursor.wide:
            continue
        if unlikely(record == full):
            return False
        record[0] = pattern[0]
        if not odd_level(cursor, entry, shapes, record, more):
            return False
        record += 1
        if cursor.at[0] != c",":
            batch.size = record - batch.data
            return skip(cursor, b"]", 1)
        cursor.at += 1


cdef class Scanner:
    """Decodes one kind of depth event for a fixed set of instruments; which one is the subclass's `run`.

    `instruments` are (symbol id, name, price decimals, quantity decimals). After a `scan` that returned True, `symbol`,
    `first`, `last`, `previous` and `exchange_ns` are the event's.
    """

    def __cinit__(self, instruments):
        cdef bytes encoded
        cdef Entry* entry
        cdef Entry wanted
        cdef uint32_t place = 0
        self.before = UINT64_MAX
        self.table = <Entry*> calloc(SLOTS, sizeof(Entry))
        if self.table == NULL or posix_memalign(<void**> &self.shapes, 64, (SHAPES + 1) * sizeof(Shape)) != 0:
            raise MemoryError
        memset(self.shapes, 0, (SHAPES + 1) * sizeof(Shape))
        rows = list(instruments)
        if len(rows) > SLOTS // 2:
            raise ValueError(f"a scanner knows at most {SLOTS // 2} instruments, not {len(rows)}")
        for symbol, name, price_decimals, quantity_decimals in rows:
            encoded = name.encode("ascii")
            if not 0 < len(encoded) <= NAME_WORDS * 8:
                raise ValueError(f"an instrument's name has 1 to {NAME_WORDS * 8} characters: {name!r}")
            if not (0 <= price_decimals <= 18 and 0 <= quantity_decimals <= 18):
                raise ValueError(f"{name}: {price_decimals} and {quantity_decimals} decimals are not both 0 to 18")
            memset(&wanted, 0, sizeof(wanted))
            memcpy(wanted.name, <char*> encoded, <size_t> len(encoded))
            entry = slot_of(self.table, wanted.name)
            wanted.symbol = symbol
            wanted.place = place
            wanted.price_decimals = price_decimals
            wanted.quantity_decimals = quantity_decimals
            wanted.shape = self.shapes + SHAPES
            entry[0] = wanted
            place += 1

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
        self.place = entry.place
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


cdef class DepthScanner(Scanner):
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


cdef class FuturesScanner(DepthScanner):
    """The same of Binance's futures: an event without `pu` is none."""

    cdef bint run(self, Cursor* cursor, Batch batch, uint64_t receive_ns) noexcept nogil:
        return DepthScanner.run(self, cursor, batch, receive_ns) and self.before != UINT64_MAX


cdef class OrderbookScanner(Scanner):
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


cdef class BooksScanner(Scanner):
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
