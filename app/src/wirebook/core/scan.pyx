"""The fast path from a depth message's bytes to records: one pass, no Python object per level.

It accepts exactly the text that a venue is known to send: this order of keys, no blanks, plain decimals. Anything
else, be it valid JSON or not, is left to the slow decoder, and the batch is as it was before. So the fast path never
has to be lenient, and the slow one says what is wrong.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from wirebook.core.records cimport ASK, BID, EVENT_END, LIVE, Batch, Record, unlikely

cdef uint64_t[19] TENS
cdef int _power
for _power in range(19):
    TENS[_power] = <uint64_t> 10 ** _power


cdef inline bint is_digit(char character) noexcept nogil:
    return c"0" <= character and character <= c"9"


cdef inline bint skip(const char** at, const char* end, const char* text, Py_ssize_t length) noexcept nogil:
    """Step over `text`; False, and no step, if it isn't what comes next."""
    if end - at[0] < length or memcmp(at[0], text, <size_t> length) != 0:
        return False
    at[0] += length
    return True


cdef inline bint integer(const char** at, const char* end, int most, uint64_t* value) noexcept nogil:
    """A JSON integer of at most `most` digits (18 can't overflow); no sign, no leading zero."""
    cdef const char* start = at[0]
    cdef const char* here = start
    cdef uint64_t sum = 0
    while here < end and is_digit(here[0]):
        if unlikely(here - start == most):
            return False
        sum = sum * 10 + <uint64_t> (here[0] - c"0")
        here += 1
    if unlikely(here == start or (start[0] == c"0" and here - start > 1)):
        return False
    at[0] = here
    value[0] = sum
    return True


cdef inline bint scaled(const char** at, const char* end, int decimals, int64_t* value) noexcept nogil:
    """A quoted plain decimal as an integer in units of 10^-decimals; False unless that is exact and below 10^18."""
    cdef const char* here = at[0]
    cdef const char* start
    cdef uint64_t sum = 0
    cdef int digits, missing = decimals
    if unlikely(here == end or here[0] != c'"'):
        return False
    here += 1
    start = here
    while here < end and is_digit(here[0]):
        if unlikely(here - start == 18):
            return False
        sum = sum * 10 + <uint64_t> (here[0] - c"0")
        here += 1
    digits = <int> (here - start)
    if unlikely(digits == 0 or digits + decimals > 18):
        return False
    if here < end and here[0] == c".":
        here += 1
        start = here
        while here < end and is_digit(here[0]):
            if missing > 0:
                sum = sum * 10 + <uint64_t> (here[0] - c"0")
                missing -= 1
            elif unlikely(here[0] != c"0"):
                return False  # would have to be rounded
            here += 1
        if unlikely(not 0 < here - start <= 18):
            return False
    if unlikely(here == end or here[0] != c'"'):
        return False
    at[0] = here + 1
    value[0] = <int64_t> (sum * TENS[missing])
    return True


cdef inline bint plain(const char** at, const char* end) noexcept nogil:
    """Step over characters that mean themselves in JSON text: no escape, no control character, nothing beyond ASCII."""
    while at[0] < end and c" " <= at[0][0] and at[0][0] <= c"~" and at[0][0] != c'"' and at[0][0] != c"\\":
        at[0] += 1
    return True


cdef inline bint quoted(const char** at, const char* end) noexcept nogil:
    """Step over `,"digits"`."""
    if unlikely(not skip(at, end, b',"', 2)):
        return False
    while at[0] < end and is_digit(at[0][0]):
        at[0] += 1
    return skip(at, end, b'"', 1)


cdef inline bint levels(const char** at, const char* end, Entry* entry, Batch batch, Record* pattern,
                        int more) noexcept nogil:
    """`[["price","quantity"],…]`: a record per level, like `pattern` but for price and quantity.

    A level has `more` numbers behind the two, which say nothing about the book.
    """
    cdef Record* record
    cdef int _more
    if unlikely(not skip(at, end, b"[", 1)):
        return False
    if skip(at, end, b"]", 1):
        return True
    while True:
        record = batch.push()
        if unlikely(record == NULL):
            return False
        record[0] = pattern[0]
        if unlikely(
            not skip(at, end, b"[", 1)
            or not scaled(at, end, entry.price_decimals, &record.price)
            or not skip(at, end, b",", 1)
            or not scaled(at, end, entry.quantity_decimals, &record.quantity)
        ):
            return False
        for _more in range(more):
            if unlikely(not quoted(at, end)):
                return False
        if unlikely(not skip(at, end, b"]", 1)):
            return False
        if not skip(at, end, b",", 1):
            return skip(at, end, b"]", 1)


cdef inline uint64_t hashed(const char* name, Py_ssize_t length) noexcept nogil:
    """FNV-1a."""
    cdef uint64_t value = 14695981039346656037u
    cdef Py_ssize_t i
    for i in range(length):
        value = (value ^ <unsigned char> name[i]) * 1099511628211u
    return value


cdef class Scanner:
    """Decodes one kind of depth event for a fixed set of instruments; which one is the subclass's `run`.

    `instruments` are (symbol id, name, price decimals, quantity decimals). After a `scan` that returned True, `symbol`,
    `first`, `last`, `previous` and `exchange_ns` are the event's.
    """

    def __cinit__(self, instruments):
        cdef bytes encoded
        cdef Entry* entry
        cdef uint64_t slot
        self.table = <Entry*> calloc(SLOTS, sizeof(Entry))
        if self.table == NULL:
            raise MemoryError
        rows = list(instruments)
        if len(rows) > SLOTS // 2:
            raise ValueError(f"a scanner knows at most {SLOTS // 2} instruments, not {len(rows)}")
        for symbol, name, price_decimals, quantity_decimals in rows:
            encoded = name.encode("ascii")
            if not 0 < len(encoded) <= NAME_LIMIT:
                raise ValueError(f"an instrument's name has 1 to {NAME_LIMIT} characters: {name!r}")
            if not (0 <= price_decimals <= 18 and 0 <= quantity_decimals <= 18):
                raise ValueError(f"{name}: {price_decimals} and {quantity_decimals} decimals are not both 0 to 18")
            slot = hashed(encoded, len(encoded)) % SLOTS
            while self.table[slot].length:
                slot = (slot + 1) % SLOTS
            entry = &self.table[slot]
            memcpy(entry.name, <char*> encoded, <size_t> len(encoded))
            entry.length = len(encoded)
            entry.symbol = symbol
            entry.price_decimals = price_decimals
            entry.quantity_decimals = quantity_decimals

    def __dealloc__(self):
        free(self.table)

    cdef Entry* find(self, const char* name, Py_ssize_t length) noexcept nogil:
        cdef uint64_t slot = hashed(name, length) % SLOTS
        cdef Entry* entry
        while True:
            entry = &self.table[slot]
            if entry.length == 0:
                return NULL
            if entry.length == length and memcmp(entry.name, name, <size_t> length) == 0:
                return entry
            slot = (slot + 1) % SLOTS

    @property
    def previous(self):
        """The id that the event says it continues; None where such events don't say."""
        return self.before if self.chained else None

    def scan(self, bytes raw not None, Batch batch not None, uint64_t receive_ns):
        """Append the records of one depth event and return True; or leave the batch as it was and return False.

        The last record has the flag EVENT_END. An event without levels becomes one LIVE record: the book is whole at
        its update id too.
        """
        cdef const char* text = PyBytes_AS_STRING(raw)
        cdef Py_ssize_t mark = batch.size
        if self.run(text, text + PyBytes_GET_SIZE(raw), batch, receive_ns):
            return True
        batch.size = mark
        return False

    cdef bint run(self, const char* at, const char* end, Batch batch, uint64_t receive_ns) noexcept nogil:
        """Append the records of an event that has the one accepted form; False, with records to be removed, else."""
        return False

    cdef Entry* begin(self, const char** at, const char* end, Record* pattern) noexcept nogil:
        """Read an instrument's name up to its quote, and begin the pattern of its records."""
        cdef const char* name = at[0]
        cdef Entry* entry
        while at[0] < end and at[0][0] != c'"':
            at[0] += 1
        entry = self.find(name, at[0] - name)
        if entry != NULL:
            memset(pattern, 0, sizeof(Record))
            pattern.symbol = self.symbol = entry.symbol
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

    cdef bint run(self, const char* at, const char* end, Batch batch, uint64_t receive_ns) noexcept nogil:
        cdef Entry* entry
        cdef Record pattern
        cdef uint64_t milliseconds, matched
        cdef Py_ssize_t mark = batch.size
        cdef bint wrapped = skip(&at, end, b'{"stream":"', 11)
        if wrapped:
            plain(&at, end)
            if unlikely(not skip(&at, end, b'","data":', 9)):
                return False
        if not skip(&at, end, b'{"e":"depthUpdate","E":', 23):
            return False
        if unlikely(not integer(&at, end, 13, &milliseconds)):
            return False
        if skip(&at, end, b',"T":', 5) and unlikely(not integer(&at, end, 13, &matched)):
            return False
        if unlikely(not skip(&at, end, b',"s":"', 6)):
            return False
        entry = self.begin(&at, end, &pattern)
        if unlikely(entry == NULL):
            return False
        if skip(&at, end, b'","ps":"', 8):
            plain(&at, end)
        if unlikely(
            not skip(&at, end, b'","U":', 6)
            or not integer(&at, end, 18, &self.first)
            or not skip(&at, end, b',"u":', 5)
            or not integer(&at, end, 18, &self.last)
            or self.first > self.last
        ):
            return False
        self.chained = skip(&at, end, b',"pu":', 6)
        if self.chained and unlikely(not integer(&at, end, 18, &self.before)):
            return False
        self.exchange_ns = milliseconds * 1000000
        pattern.kind = BID
        pattern.update_id = self.last
        pattern.exchange_ns = self.exchange_ns
        pattern.receive_ns = receive_ns
        if unlikely(not skip(&at, end, b',"b":', 5) or not levels(&at, end, entry, batch, &pattern, 0)):
            return False
        pattern.kind = ASK
        if unlikely(
            not skip(&at, end, b',"a":', 5)
            or not levels(&at, end, entry, batch, &pattern, 0)
            or not skip(&at, end, b"}", 1)
            or (wrapped and not skip(&at, end, b"}", 1))
            or at != end
        ):
            return False
        if unlikely(batch.size == mark):
            return batch.add(entry.symbol, LIVE, EVENT_END, 0, self.last, 0, 0, self.exchange_ns, receive_ns)
        batch.data[batch.size - 1].flags |= EVENT_END
        return True


cdef class FuturesScanner(DepthScanner):
    """The same of Binance's futures: an event without `pu` is none."""

    cdef bint run(self, const char* at, const char* end, Batch batch, uint64_t receive_ns) noexcept nogil:
        return DepthScanner.run(self, at, end, batch, receive_ns) and self.chained


cdef class OrderbookScanner(Scanner):
    """Bybit's `delta` of a topic `orderbook.…`, with or without `cts`."""

    cdef bint run(self, const char* at, const char* end, Batch batch, uint64_t receive_ns) noexcept nogil:
        cdef Entry* entry
        cdef Record pattern
        cdef uint64_t milliseconds, unused
        cdef Py_ssize_t mark = batch.size
        if not skip(&at, end, b'{"topic":"orderbook.', 20):
            return False
        plain(&at, end)
        if unlikely(
            not skip(&at, end, b'","type":"delta","ts":', 22)
            or not integer(&at, end, 13, &milliseconds)
            or not skip(&at, end, b',"data":{"s":"', 14)
        ):
            return False
        entry = self.begin(&at, end, &pattern)
        if unlikely(entry == NULL):
            return False
        self.exchange_ns = milliseconds * 1000000
        pattern.kind = BID
        pattern.receive_ns = receive_ns
        if unlikely(not skip(&at, end, b'","b":', 6) or not levels(&at, end, entry, batch, &pattern, 0)):
            return False
        pattern.kind = ASK
        if unlikely(
            not skip(&at, end, b',"a":', 5)
            or not levels(&at, end, entry, batch, &pattern, 0)
            or not skip(&at, end, b',"u":', 5)
            or not integer(&at, end, 18, &self.last)
            or not skip(&at, end, b',"seq":', 7)
            or not integer(&at, end, 18, &unused)
            or not skip(&at, end, b"}", 1)
        ):
            return False
        if skip(&at, end, b',"cts":', 7) and unlikely(not integer(&at, end, 13, &unused)):
            return False
        if unlikely(not skip(&at, end, b"}", 1) or at != end):
            return False
        self.first = self.last
        return self.finish(batch, mark, receive_ns)


cdef class BooksScanner(Scanner):
    """OKX's `update` of the channel `books`, if it has ids and its checksum is 0 or absent."""

    cdef bint run(self, const char* at, const char* end, Batch batch, uint64_t receive_ns) noexcept nogil:
        cdef Entry* entry
        cdef Record pattern
        cdef uint64_t milliseconds
        cdef Py_ssize_t mark = batch.size
        if not skip(&at, end, b'{"arg":{"channel":"books","instId":"', 36):
            return False
        entry = self.begin(&at, end, &pattern)
        if unlikely(entry == NULL or not skip(&at, end, b'"},"action":"update","data":[{"asks":', 37)):
            return False
        pattern.kind = ASK
        pattern.receive_ns = receive_ns
        if unlikely(not levels(&at, end, entry, batch, &pattern, 2) or not skip(&at, end, b',"bids":', 8)):
            return False
        pattern.kind = BID
        if unlikely(
            not levels(&at, end, entry, batch, &pattern, 2)
            or not skip(&at, end, b',"ts":"', 7)
            or not integer(&at, end, 13, &milliseconds)
            or not skip(&at, end, b'"', 1)
        ):
            return False
        skip(&at, end, b',"checksum":0', 13)
        if skip(&at, end, b',"prevSeqId":', 13):
            if unlikely(
                not integer(&at, end, 18, &self.before)
                or not skip(&at, end, b',"seqId":', 9)
                or not integer(&at, end, 18, &self.last)
            ):
                return False
        elif unlikely(
            not skip(&at, end, b',"seqId":', 9)
            or not integer(&at, end, 18, &self.last)
            or not skip(&at, end, b',"prevSeqId":', 13)
            or not integer(&at, end, 18, &self.before)
        ):
            return False
        if unlikely(not skip(&at, end, b"}]}", 3) or at != end):
            return False
        self.chained = True
        self.first = self.last
        self.exchange_ns = milliseconds * 1000000
        return self.finish(batch, mark, receive_ns)
