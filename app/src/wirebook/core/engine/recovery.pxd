from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wirebook.core.base.memory cimport Arena
from wirebook.core.books.books cimport Books
from wirebook.core.engine.arbiter cimport Arbiter
from wirebook.core.engine.publisher cimport Publisher
from wirebook.core.engine.streams cimport Source
from wirebook.core.wire.packet cimport Header
from wirebook.core.wire.records cimport Record

# How a symbol follows its source. Incrementals that can't be applied yet are kept, in a list per symbol.
cdef struct Follow:
    uint32_t owner             # source + 1, 0: not claimed
    uint32_t first_kept        # slot of the history + 1, 0: none
    uint32_t last_kept
    uint64_t forgotten         # highest sequence of a record that the history had no room for
    uint64_t marked            # sequence of the packet in which the publisher itself said STALE

# One line of the history.
cdef struct Kept:
    Record record
    uint64_t sequence
    uint32_t next
    uint32_t padding


cdef class Recovery:
    cdef Books books
    cdef Publisher publisher
    cdef uint8_t* gates        # per symbol: source + 1 when its incrementals are applied as they come, else 0
    cdef Follow* follows
    cdef Kept* history
    cdef uint32_t history_size
    cdef uint32_t history_next
    cdef Arena arena
    cdef uint64_t recoveries
    cdef uint64_t stale_marks
    cdef uint64_t foreign
    cdef Arbiter arbiter       # which remembers whom not to believe
    cdef char* names           # NAME_BYTES a symbol, what its DEFINE must say; NULL: any name that nobody else has

    cdef void special(self, Source* source, const Header* header, const Record* record) noexcept nogil
    cdef void snapshots(self, Source* source, const Header* header, const Record* records) noexcept nogil
    cdef void lose(self, Source* source, uint8_t reason) noexcept nogil
    cdef void doubt(self, Source* source, uint8_t reason) noexcept nogil
    cdef void rebuilt(self, Source* source, const Record* record) noexcept nogil
    cdef void define(self, Source* source, const Record* record) noexcept nogil
    cdef bint name_fits(self, const Record* record) noexcept nogil
    cdef void refuse(self, Source* source, uint8_t kind) noexcept nogil
    cdef void part(self, uint32_t symbol, uint8_t reason) noexcept nogil
    cdef bint redefined(self, const Record* record) noexcept nogil
    cdef bint claim(self, Source* source, uint32_t symbol) noexcept nogil
    cdef void keep(self, const Record* record, uint64_t sequence) noexcept nogil
