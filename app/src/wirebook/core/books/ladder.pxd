"""The best levels of each side in order."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from wirebook.core.books.book cimport Book, BookSet

cdef void ladder_make(BookSet* books, Book* book, uint32_t kind) noexcept nogil
cdef void ladder_set(BookSet* books, Book* book, uint32_t kind, uint64_t key, int64_t quantity) noexcept nogil
