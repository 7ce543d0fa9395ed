from wirebook.core.decode.scanner cimport Scanner


cdef class OkxScanner(Scanner):
    pass
