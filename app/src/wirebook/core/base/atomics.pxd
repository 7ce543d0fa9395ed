"""The few atomic operations that rings and seqlocks need: plain moves on x86-64, and a promise to the compiler."""

from libc.stdint cimport uint32_t, uint64_t

cdef extern from *:
    """
    #define wb_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define wb_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
    #define wb_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define wb_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
    #define wb_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    #define wb_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
    """
    uint32_t load_acquire_32 "wb_load_acquire"(const uint32_t* place) nogil
    uint32_t load_relaxed_32 "wb_load_relaxed"(const uint32_t* place) nogil
    uint64_t load_acquire_64 "wb_load_acquire"(const uint64_t* place) nogil
    uint64_t load_relaxed_64 "wb_load_relaxed"(const uint64_t* place) nogil
    void store_release_32 "wb_store_release"(uint32_t* place, uint32_t value) nogil
    void store_relaxed_32 "wb_store_relaxed"(uint32_t* place, uint32_t value) nogil
    void store_release_64 "wb_store_release"(uint64_t* place, uint64_t value) nogil
    void store_relaxed_64 "wb_store_relaxed"(uint64_t* place, uint64_t value) nogil
    void fence_acquire "wb_fence_acquire"() nogil
    void fence_release "wb_fence_release"() nogil
    void pause "__builtin_ia32_pause"() nogil
