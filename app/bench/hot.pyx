# cython: language_level=3, boundscheck=False, wraparound=False
"""The engine's hot functions for the loops that time them: no Python between two updates, packets or messages."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

from wirebook.core.base.atomics cimport pause
from wirebook.core.base.clock cimport steady_ns
from wirebook.core.base.ring cimport Ring, RingMemory, ring_claim, ring_peek, ring_publish, ring_ready, ring_release
from wirebook.core.books.books cimport Books, books_apply
from wirebook.core.engine.engine cimport Engine
from wirebook.core.transport.base cimport Received, Receiver


cdef inline uint64_t thread_ns() noexcept nogil:
    """CPU time of this thread: what another process took the CPU for isn't in it."""
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return <uint64_t> now.tv_sec * 1000000000 + <uint64_t> now.tv_nsec


def of_books(Books books):
    """(address of `books_apply`, address of its first argument), for `drive` in floor/; valid while `books` lives."""
    return <size_t> <void*> books_apply, <size_t> &books.set


def packets(Engine engine, const unsigned char[::1] slots, const uint64_t[::1] lengths, Py_ssize_t slot_bytes,
            Py_ssize_t burst, uint64_t[::1] laps=None):
    """CPU time in ns that the engine takes for packets in `slots`, `burst` of them received at once.

    With `laps`, also the time of each burst.
    """
    cdef uint64_t before = steady_ns(), now, start
    cdef Py_ssize_t index, done = 0, part = 0
    cdef Received received
    memset(&received, 0, sizeof(received))
    start = thread_ns()
    with nogil:
        engine.take_clock()
        while done < lengths.shape[0]:
            engine.begin()
            for index in range(done, min(done + burst, lengths.shape[0])):
                received.data = <const char*> &slots[index * slot_bytes]
                received.length = <uint32_t> lengths[index]
                engine.packet(&received)
            engine.end()
            done += burst
            if laps is not None:
                now = steady_ns()
                laps[part] = now - before
                before = now
                part += 1
    return thread_ns() - start


# ---- ring: the same four loops as in floor/ring.c -------------------------------------------------------------------

cdef inline void put(RingMemory* ring, uint64_t value) noexcept nogil:
    cdef char* slot = ring_claim(ring)
    while slot == NULL:
        pause()
        slot = ring_claim(ring)
    (<uint64_t*> slot)[0] = value
    ring_publish(ring)


cdef inline uint64_t get(RingMemory* ring) noexcept nogil:
    cdef uint64_t value
    while ring_ready(ring) == 0:
        pause()
    value = (<uint64_t*> ring_peek(ring, 0))[0]
    ring_release(ring, 1)
    return value


def ring_ping(Ring there, Ring back, uint64_t[::1] laps not None):
    """Nanoseconds for as many round trips as `laps` has places, and each one's there."""
    cdef uint64_t start = steady_ns(), before = start, now
    cdef Py_ssize_t index
    with nogil:
        for index in range(laps.shape[0]):
            put(there.ring, index)
            get(back.ring)
            now = steady_ns()
            laps[index] = now - before
            before = now
    return before - start


def ring_pong(Ring there, Ring back, uint64_t count):
    """Answer `count` round trips."""
    cdef uint64_t _index
    with nogil:
        for _index in range(count):
            put(back.ring, get(there.ring))


def ring_produce(Ring ring, uint64_t count):
    """Push `count` slots as fast as there is room."""
    cdef uint64_t index
    with nogil:
        for index in range(count):
            put(ring.ring, index)


def ring_consume(Ring ring, uint64_t count):
    """Nanoseconds until `count` slots have been taken, in their order."""
    cdef uint64_t start = steady_ns(), index, wrong = 0
    with nogil:
        for index in range(count):
            wrong += get(ring.ring) != index
    if wrong:
        raise AssertionError(f"{wrong} slots of {count} came out of order")
    return steady_ns() - start


# ---- transports: what floor/xdp/loop.c does -------------------------------------------------------------------------

def drain(Receiver receiver):
    """Take what is there: (CPU time in ns, packets, sum of their sequences)."""
    cdef uint64_t start = thread_ns(), packets = 0, sequences = 0, sequence
    cdef int count = 1, index
    with nogil:
        while count > 0:
            count = receiver.receive()
            for index in range(count):
                memcpy(&sequence, receiver.received[index].data + 16, sizeof(sequence))
                sequences += sequence
            if count > 0:
                packets += count
    return thread_ns() - start, packets, sequences
