# cython: language_level=3
"""Where the engine's books and their hot function are in memory, for the loop in C that times every book alike."""

from wirebook.core.books cimport Books, BookSet, books_apply
from wirebook.core.records cimport Batch


def of_books(Books books):
    """(address of `books_apply`, address of its first argument); valid as long as `books` lives."""
    return <size_t> <void*> books_apply, <size_t> &books.set


def of_records(Batch batch):
    """(address of the first record, how many); valid as long as `batch` lives."""
    return <size_t> batch.data, batch.size
