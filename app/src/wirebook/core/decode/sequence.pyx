"""Sequence rules: what a depth event means to a book that is at a certain update id.

Each is here once, for the compiled path of the steady state and for the follower's rare paths alike. Which venue has
which, and where the venue says so, is in the venue's module.
"""

from enum import IntEnum

from libc.stdint cimport UINT64_MAX


class Verdict(IntEnum):
    """What an event means to a book that is at a certain update id."""

    APPLY = 0
    REPEAT = 1
    """Older than the book, which holds what it says."""
    BREAK = 2
    """Something between the book and this event is missing."""


cdef tuple VERDICTS = tuple(Verdict)


def may_follow(uint64_t at, uint64_t last):
    """Whether a book at id `at` may come to `last`, whatever its venue's rule allows."""
    return goes_on(at, last)


cdef class Rule:
    """Nothing to judge by: a checksum, or the connection's own numbers, tell if an event is missing."""

    def judge(self, uint64_t at, bint chained, first, last, previous):
        """The Verdict on an event to a book at id `at`, `chained` once an event has followed the snapshot.

        `first` and `last` are negative where the venue gives its events no ids; `previous` is None where events don't
        say which one they continue.
        """
        return VERDICTS[self.verdict(
            at, chained, UINT64_MAX if first < 0 else first, UINT64_MAX if last < 0 else last,
            UINT64_MAX if previous is None else previous,
        )]

    cdef int verdict(self, uint64_t at, bint chained, uint64_t first, uint64_t last, uint64_t previous) noexcept nogil:
        """The same without Python; UINT64_MAX stands for what isn't there."""
        return APPLY


cdef class Ranges(Rule):
    """An event covers ids `first` to `last` and begins after the previous one; the snapshot may lie within an event."""

    cdef int verdict(self, uint64_t at, bint chained, uint64_t first, uint64_t last, uint64_t previous) noexcept nogil:
        if last <= at:
            return REPEAT
        return APPLY if (first == at + 1 if chained else first <= at + 1) else BREAK


cdef class Links(Rule):
    """An event names the last id of the previous one; the first one after a snapshot may also be the one it ends in.

    A chained book's own last event again is a repeat; anything else is a break.
    """

    cdef int verdict(self, uint64_t at, bint chained, uint64_t first, uint64_t last, uint64_t previous) noexcept nogil:
        if previous == at:
            return APPLY
        if chained:
            return REPEAT if last == at else BREAK
        if last < at:
            return REPEAT
        return APPLY if first <= at else BREAK


cdef class Steps(Rule):
    """Ids go up one by one. One from before the book's is no repeat: a restart whose snapshot was lost has such ids."""

    cdef int verdict(self, uint64_t at, bint chained, uint64_t first, uint64_t last, uint64_t previous) noexcept nogil:
        if last == at + 1:
            return APPLY
        return REPEAT if last == at else BREAK


cdef class Identity(Rule):
    """An event names the id of the previous one, or the snapshot's; without ids, its checksum decides."""

    cdef int verdict(self, uint64_t at, bint chained, uint64_t first, uint64_t last, uint64_t previous) noexcept nogil:
        if previous == UINT64_MAX or previous == at:
            return APPLY
        return REPEAT if last == at else BREAK
