from wirebook.core.decode.scanner cimport Scanner


cdef class BybitScanner(Scanner):
    pass
