"""Books of one process: all of them, and the pages of their levels, in one arena."""

from libc.stdint cimport uint8_t, uint32_t

from wirebook.core.base.memory cimport Arena
from wirebook.core.books.book cimport Book, BookSet, Listener
from wirebook.core.wire.records cimport Record

cdef void books_apply(BookSet* books, const Record* records, Py_ssize_t count) noexcept nogil
cdef void books_apply_slots(BookSet* books, const char* slots, Py_ssize_t count) noexcept nogil
cdef void books_listen(BookSet* books, Listener on_event, void* context, char* memory,
                       size_t memory_bytes) noexcept nogil
cdef void book_stale(BookSet* books, Book* book, uint8_t reason) noexcept nogil
cdef void book_clear(BookSet* books, Book* book) noexcept nogil
cdef void book_measure(BookSet* books, Book* book) noexcept nogil


cdef class Books:
    cdef BookSet set
    cdef readonly Arena arena

    cdef Book* book(self, uint32_t symbol) except NULL
    cdef uint8_t doubt_of(self, Book* book)
