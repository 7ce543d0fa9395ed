"""Reading a message's bytes: what all venues' scanners are made of.

The compiled core reads 8 to 64 bytes at a time. It must not touch memory behind the message, so a cursor that comes
within 64 bytes of the end goes on in a copy of these, with zeros behind them. No text that a scanner accepts has a
zero byte; so who asked for `room` needs no other check of the end.
"""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcmp

from wirebook.core.base.hints cimport unlikely

cdef extern from "decode/cursor.h":
    enum:
        WINDOW "WB_WINDOW"
    ctypedef struct Cursor "wb_cursor":
        const char* at
        const char* end
        const char* wide  # up to here WINDOW bytes can be read
    void cursor_tail "wb_cursor_tail"(Cursor* cursor) nogil
    const uint64_t* TENS "wb_tens"
    int digit_run "wb_digit_run"(const char* at, uint64_t* digits) nogil
    int plain_run "wb_plain_run"(const char* at) nogil
    void prefetch "__builtin_prefetch"(const void* address) nogil
    uint64_t eight_digits "wb_eight_digits"(uint64_t digits) nogil

cdef enum:
    LINE = 64
    AHEAD = 2048  # bytes asked for at once, for a message that isn't in the cache

cdef inline void begin(Cursor* cursor, const char* text, Py_ssize_t length) noexcept nogil:
    cdef Py_ssize_t line = LINE
    while line < length and line < AHEAD:
        prefetch(text + line)
        line += LINE
    cursor.at = text
    cursor.end = text + length
    cursor.wide = cursor.end - WINDOW
    if unlikely(length < WINDOW):
        cursor_tail(cursor)

cdef inline void room(Cursor* cursor) noexcept nogil:
    """Make WINDOW bytes readable."""
    if unlikely(cursor.at > cursor.wide):
        cursor_tail(cursor)

cdef inline bint skip(Cursor* cursor, const char* text, Py_ssize_t length) noexcept nogil:
    """Step over `text`, of at most WINDOW bytes; False, and no step, if it isn't what comes next."""
    room(cursor)
    if memcmp(cursor.at, text, <size_t> length) != 0:
        return False
    cursor.at += length
    return True

cdef inline void plain(Cursor* cursor) noexcept nogil:
    """Step over characters that mean themselves."""
    cdef int run
    while True:
        room(cursor)
        run = plain_run(cursor.at)
        cursor.at += run
        if run < 16:
            return

cdef inline bint is_digit(char character) noexcept nogil:
    return c"0" <= character and character <= c"9"

cdef inline bint integer(Cursor* cursor, int most, uint64_t* value) noexcept nogil:
    """A JSON integer of at most `most` digits (18 can't overflow); no sign, no leading zero."""
    cdef const char* start
    cdef uint64_t sum = 0, digits
    cdef int run
    room(cursor)
    start = cursor.at
    while True:
        run = digit_run(cursor.at, &digits)
        cursor.at += run
        if run < 8:
            break
        if unlikely(cursor.at - start > most):
            return False
        sum = sum * 100000000 + eight_digits(digits)
    if run > 0:
        sum = sum * TENS[run] + eight_digits(digits << (64 - 8 * run))
    if unlikely(cursor.at == start or cursor.at - start > most or start[0] == c"0" and cursor.at - start > 1):
        return False
    value[0] = sum
    return True

cdef inline bint decimal(Cursor* cursor, int decimals, int64_t* value) noexcept nogil:
    """A quoted plain decimal as an integer in units of 10^-decimals; False unless that is exact and below 10^18."""
    cdef const char* here
    cdef const char* start
    cdef uint64_t sum = 0
    cdef int digits, missing = decimals
    room(cursor)
    here = cursor.at
    if unlikely(here[0] != c'"'):
        return False
    here += 1
    start = here
    while is_digit(here[0]):
        if unlikely(here - start == 18):
            return False
        sum = sum * 10 + <uint64_t> (here[0] - c"0")
        here += 1
    digits = <int> (here - start)
    if unlikely(digits == 0 or digits + decimals > 18):
        return False
    if here[0] == c".":
        here += 1
        start = here
        while is_digit(here[0]):
            if missing > 0:
                sum = sum * 10 + <uint64_t> (here[0] - c"0")
                missing -= 1
            elif unlikely(here[0] != c"0" or here - start == 18):
                return False  # would have to be rounded, or is longer than any venue's
            here += 1
        if unlikely(here == start):
            return False
    if unlikely(here[0] != c'"'):
        return False
    cursor.at = here + 1
    value[0] = <int64_t> (sum * TENS[missing])
    return True

cdef inline bint quoted(Cursor* cursor) noexcept nogil:
    """Step over `,"digits"`, of at most 48 digits."""
    cdef const char* start
    if unlikely(not skip(cursor, b',"', 2)):
        return False
    room(cursor)
    start = cursor.at
    while is_digit(cursor.at[0]) and cursor.at - start < 48:
        cursor.at += 1
    return skip(cursor, b'"', 1)
