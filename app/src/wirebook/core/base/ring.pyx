"""A ring of 64-byte slots for one producer and one consumer: two threads, or two processes over shared memory.

The producer never waits and never overwrites: a full ring is counted, and is the caller's loss.
"""

from libc.string cimport memcpy, memset

from wirebook.core.base.ring cimport (
    RING_HEADER, RING_SLOT, RingMemory, ring_claim, ring_peek, ring_publish, ring_ready, ring_release,
)

cdef uint64_t MAGIC = 0x474E495242575257


def ring_bytes(uint64_t slots):
    """How much memory a ring of that many slots takes."""
    return RING_HEADER + slots * RING_SLOT


cdef void ring_make(RingMemory* ring, uint64_t slots) noexcept nogil:
    """An empty ring in memory of `ring_bytes(slots)`."""
    memset(ring, 0, RING_HEADER)
    ring.slots = slots
    ring.magic = MAGIC


cdef class Ring:
    """A ring in `memory`, a writable buffer of `ring_bytes(slots)`, with a power of two of slots.

    One side makes it with `create=True`, the other then attaches to it. ValueError when the memory doesn't fit, or
    holds no ring.
    """

    def __cinit__(self, memory, bint create=False):
        assert sizeof(RingMemory) == RING_HEADER
        cdef unsigned char[::1] view = memoryview(memory).cast("B")
        cdef uint64_t slots = (view.shape[0] - RING_HEADER) // RING_SLOT if view.shape[0] > RING_HEADER else 0
        if slots == 0 or slots & (slots - 1) or <Py_ssize_t> ring_bytes(slots) != view.shape[0]:
            raise ValueError(f"a ring needs {RING_HEADER} bytes and 64 for each of a power of two of slots")
        self.memory = view
        self.ring = <RingMemory*> &view[0]
        if create:
            ring_make(self.ring, slots)
        elif self.ring.magic != MAGIC or self.ring.slots != slots:
            raise ValueError("this memory holds no ring of its size")

    def __len__(self):
        """How many slots are filled, as the consumer sees it."""
        return self.ring.head - self.ring.tail

    @property
    def full(self):
        """How many pushes found no room."""
        return self.ring.full

    def push(self, const unsigned char[::1] data not None):
        """Producer: append up to 64 bytes, zero padded; False when the ring is full."""
        cdef char* slot
        if data.shape[0] > RING_SLOT:
            raise ValueError(f"a slot has {<int> RING_SLOT} bytes, not {data.shape[0]}")
        slot = ring_claim(self.ring)
        if slot == NULL:
            return False
        memset(slot, 0, RING_SLOT)
        if data.shape[0]:
            memcpy(slot, &data[0], data.shape[0])
        ring_publish(self.ring)
        return True

    def pop(self):
        """Consumer: the oldest slot's 64 bytes, or None when the ring is empty."""
        if ring_ready(self.ring) == 0:
            return None
        data = ring_peek(self.ring, 0)[:RING_SLOT]
        ring_release(self.ring, 1)
        return data
