"""A ring for one producer and one consumer, in any memory that both see."""

from libc.stdint cimport uint64_t

from wirebook.core.base.atomics cimport load_acquire_64, store_release_64
from wirebook.core.base.hints cimport unlikely

cdef enum:
    RING_SLOT = 64
    RING_HEADER = 640

# Each cursor has a pair of cache lines to itself (the prefetcher of x86-64 fetches pairs), and so has each side's own
# copy of the other's cursor: a side touches the other's line only when its copy says full, or empty.
cdef struct RingMemory:
    uint64_t magic
    uint64_t slots
    char pad_0[112]
    uint64_t head          # written by the producer: slots ever filled
    char pad_1[120]
    uint64_t seen_tail     # the producer's copy
    uint64_t full          # pushes that found no room
    char pad_2[112]
    uint64_t tail          # written by the consumer: slots ever emptied
    char pad_3[120]
    uint64_t seen_head     # the consumer's copy
    char pad_4[120]

cdef void ring_make(RingMemory* ring, uint64_t slots) noexcept nogil

cdef inline char* ring_slot(RingMemory* ring, uint64_t cursor) noexcept nogil:
    return <char*> ring + RING_HEADER + (cursor & (ring.slots - 1)) * RING_SLOT

cdef inline char* ring_claim(RingMemory* ring) noexcept nogil:
    """Producer: the next free slot to fill, or NULL (and counted) when there is none."""
    cdef uint64_t head = ring.head
    if unlikely(head - ring.seen_tail == ring.slots):
        ring.seen_tail = load_acquire_64(&ring.tail)
        if head - ring.seen_tail == ring.slots:
            ring.full += 1
            return NULL
    return ring_slot(ring, head)

cdef inline void ring_publish(RingMemory* ring) noexcept nogil:
    """Producer: hand the claimed slot over."""
    store_release_64(&ring.head, ring.head + 1)

cdef inline uint64_t ring_ready(RingMemory* ring) noexcept nogil:
    """Consumer: how many slots there are to read, by its copy of the producer's cursor as long as that has any."""
    if ring.seen_head == ring.tail:
        ring.seen_head = load_acquire_64(&ring.head)
    return ring.seen_head - ring.tail

cdef inline uint64_t ring_held(RingMemory* ring) noexcept nogil:
    """Consumer: how many slots there are to read at this moment, for who won't begin with fewer than some."""
    ring.seen_head = load_acquire_64(&ring.head)
    return ring.seen_head - ring.tail

cdef inline char* ring_peek(RingMemory* ring, uint64_t ahead) noexcept nogil:
    """Consumer: a slot that is ready, the oldest first."""
    return ring_slot(ring, ring.tail + ahead)

cdef inline void ring_release(RingMemory* ring, uint64_t count) noexcept nogil:
    """Consumer: give back the `count` oldest slots."""
    store_release_64(&ring.tail, ring.tail + count)


cdef class Ring:
    cdef object memory
    cdef RingMemory* ring
