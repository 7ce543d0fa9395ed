cdef class Arena:
    cdef char* base
    cdef readonly size_t size
    cdef size_t used
    cdef size_t mapped
    cdef void* mapping
    cdef readonly str kind
    cdef readonly size_t huge_bytes

    cdef void* take(self, size_t size) except NULL
