"""The best levels of each side, kept in order as updates come, so that nobody has to look for them.

A ladder holds as many levels as the market cache shows, and some more. An update on it corrects it in place; when too
few rungs are left, the next best levels are looked for in the pages. Without a listener it has one rung.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memset

from wirebook.core.books.book cimport RUNGS, Book, BookSet, Ladder, owner_of
from wirebook.core.books.pages cimport pages_below, pages_clear, pages_highest

cdef extern from *:
    """
    /* Room for a rung at `place`, or none at it any more: those from there on move, by shuffles within two vectors and
       not by loads one place off, which would wait for the stores before them. */
    typedef long long wb_rungs __attribute__((vector_size(64), may_alias));
    static const wb_rungs wb_places[2] = {{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 11, 12, 13, 14, 15}};
    static inline void wb_rungs_open(void *rungs, long long place, long long value)
    {
        wb_rungs *half = (wb_rungs *) rungs;
        const wb_rungs low = half[0], high = half[1], *places = wb_places;
        const wb_rungs moved[2] = {
            __builtin_shufflevector(low, low, 0, 0, 1, 2, 3, 4, 5, 6),
            __builtin_shufflevector(low, high, 7, 8, 9, 10, 11, 12, 13, 14),
        };
        half[0] = (low & (places[0] < place)) | (value & (places[0] == place)) | (moved[0] & (places[0] > place));
        half[1] = (high & (places[1] < place)) | (value & (places[1] == place)) | (moved[1] & (places[1] > place));
    }
    static inline void wb_rungs_close(void *rungs, long long place)
    {
        wb_rungs *half = (wb_rungs *) rungs;
        const wb_rungs low = half[0], high = half[1], none = {}, *places = wb_places;
        const wb_rungs moved[2] = {
            __builtin_shufflevector(low, high, 1, 2, 3, 4, 5, 6, 7, 8),
            __builtin_shufflevector(high, none, 1, 2, 3, 4, 5, 6, 7, 8),
        };
        half[0] = (low & (places[0] < place)) | (moved[0] & (places[0] >= place));
        half[1] = (high & (places[1] < place)) | (moved[1] & (places[1] >= place));
    }
    static inline int wb_rungs_above(const unsigned long long *keys, unsigned long long key)
    {
        int above = 0;
        for (int index = 0; index < 16; index++)
            above += keys[index] > key;
        return above;
    }
    """
    void rungs_open "wb_rungs_open"(void* rungs, int64_t place, int64_t value) nogil
    void rungs_close "wb_rungs_close"(void* rungs, int64_t place) nogil
    int rungs_above "wb_rungs_above"(const unsigned long long* keys, uint64_t key) nogil


cdef void ladder_fill(BookSet* books, Book* book, uint32_t kind, uint64_t key) noexcept nogil:
    """Add what comes below the last rung, or below `key`, which was the only one, until the ladder is full."""
    cdef uint32_t owner = owner_of(book.symbol, kind)
    cdef Ladder* ladder = books.ladders + owner
    cdef uint32_t most = RUNGS if books.depth > 1 else 1, held = book.rungs[kind]
    cdef int64_t quantity
    if held > 0:
        key = ladder.keys[held - 1]
    while held < most and held < book.levels[kind] and pages_below(&books.pages, owner, &key, &quantity):
        ladder.keys[held] = key
        ladder.quantities[held] = quantity
        held += 1
    book.rungs[kind] = <uint8_t> held


cdef void ladder_make(BookSet* books, Book* book, uint32_t kind) noexcept nogil:
    """From the pages alone."""
    cdef uint32_t owner = owner_of(book.symbol, kind)
    cdef Ladder* ladder = books.ladders + owner
    memset(ladder, 0, sizeof(Ladder))
    book.rungs[kind] = pages_highest(&books.pages, owner, &ladder.keys[0], &ladder.quantities[0])
    if book.rungs[kind] != 0:
        ladder_fill(books, book, kind, 0)
    book.floor[kind] = ladder.keys[book.rungs[kind] - 1] if book.rungs[kind] < book.levels[kind] else 0
    book.changed |= <uint8_t> (1 << kind)
    book.watch = 1


cdef void best_set(BookSet* books, Book* book, uint32_t kind, uint64_t key, int64_t quantity) noexcept nogil:
    """As ladder_set(), for a ladder of one rung."""
    cdef uint32_t owner = owner_of(book.symbol, kind)
    cdef Ladder* ladder = books.ladders + owner
    if quantity != 0:
        if key >= ladder.keys[0]:  # which is 0 for an empty side
            ladder.keys[0] = key
            ladder.quantities[0] = quantity
            book.rungs[kind] = 1
    elif key == ladder.keys[0] and book.rungs[kind] != 0:
        ladder.keys[0] = 0
        book.rungs[kind] = 0
        if book.levels[kind] == 0:
            pages_clear(&books.pages, owner)
        else:
            ladder_fill(books, book, kind, key)
    book.floor[kind] = ladder.keys[0] if book.levels[kind] > 1 else 0
    book.watch = 1


cdef void ladder_set(BookSet* books, Book* book, uint32_t kind, uint64_t key, int64_t quantity) noexcept nogil:
    """A level at or above the ladder's floor was set, or removed with quantity 0; pages and `levels` know already."""
    cdef Ladder* ladder = books.ladders + owner_of(book.symbol, kind)
    cdef int place
    cdef uint32_t held = book.rungs[kind]
    cdef bint there
    if books.depth == 1:
        best_set(books, book, kind, key, quantity)
        return
    place = rungs_above(<const unsigned long long*> ladder.keys, key)
    there = place < <int> held and ladder.keys[place] == key
    if quantity != 0:
        if there:
            ladder.quantities[place] = quantity
        elif place < RUNGS:
            rungs_open(ladder.keys, place, <int64_t> key)
            rungs_open(ladder.quantities, place, quantity)
            book.rungs[kind] = <uint8_t> min(held + 1, <uint32_t> RUNGS)
    elif there:
        rungs_close(ladder.keys, place)
        rungs_close(ladder.quantities, place)
        book.rungs[kind] = <uint8_t> (held - 1)
        if held <= books.depth and book.levels[kind] >= held:
            ladder_fill(books, book, kind, key)
        elif book.levels[kind] == 0:
            pages_clear(&books.pages, owner_of(book.symbol, kind))
    held = book.rungs[kind]
    book.floor[kind] = ladder.keys[held - 1] if held < book.levels[kind] else 0
    # Who listens looks at the end of every event: `watch` is set already.
    book.changed |= <uint8_t> ((place < <int> books.depth) << kind)
