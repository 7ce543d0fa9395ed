"""The levels of a depth message, from their text to records.

They are read as vectors (levels.h) while they are laid out as one before them was, and else byte by byte, which
teaches their layout.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from wirebook.core.base.hints cimport unlikely
from wirebook.core.decode.cursor cimport Cursor, decimal, quoted, room, skip
from wirebook.core.wire.records cimport Batch, Record

cdef extern from "decode/levels.h":
    ctypedef struct Shape "wb_shape":
        uint64_t quotes
        uint64_t points
        int32_t length
        int32_t price_decimals
        int32_t quantity_decimals
    int layout "wb_layout"(const char* at, uint64_t* quotes, uint64_t* points) nogil
    bint fits "wb_fits"(const Shape* shape, const char* at) nogil
    void numbers "wb_numbers"(const Shape* shape, const char* at, int64_t* price_and_quantity) nogil
    bint learn "wb_learn"(Shape* shape, const char* at, int length, int price_decimals, int quantity_decimals) nogil

cdef enum:
    NAME_WORDS = 3  # of 8 characters
    SHAPES = 64     # those seen last, by a hash of their layout; behind them one that fits nothing

cdef struct Entry:
    uint64_t name[NAME_WORDS]  # zero padded; all zeros: a free slot
    uint32_t symbol
    uint32_t index             # among the scanner's instruments
    int price_decimals
    int quantity_decimals
    Shape* shape               # of its last level


cdef inline bint odd_level(Cursor* cursor, Entry* entry, Shape* shapes, Record* record, int more) noexcept nogil:
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


cdef inline bint levels(Cursor* cursor, Entry* entry, Shape* shapes, Batch batch, Record* pattern,
                        int more) noexcept nogil:
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
