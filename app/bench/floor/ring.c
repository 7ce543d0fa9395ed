#include "ring.h"
#include "clock.h"

#include <stdatomic.h>
#include <stdlib.h>

struct slot {
    _Alignas(64) uint64_t value;
};

struct ring {
    uint64_t slots;
    /* Pairs of cache lines, because the prefetcher fetches pairs. */
    _Alignas(128) _Atomic uint64_t head; /* slots ever filled */
    _Alignas(128) uint64_t seen_tail;    /* the producer's copy of the other cursor */
    _Alignas(128) _Atomic uint64_t tail; /* slots ever emptied */
    _Alignas(128) uint64_t seen_head;
    _Alignas(128) struct slot slot[];
};

struct ring *ring_new(uint64_t slots)
{
    struct ring *ring = aligned_alloc(128, sizeof(struct ring) + slots * sizeof(struct slot));
    if (ring != NULL)
        *ring = (struct ring){.slots = slots};
    return ring;
}

void ring_free(struct ring *ring) { free(ring); }

static inline void put(struct ring *ring, uint64_t value)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    while (__builtin_expect(head - ring->seen_tail == ring->slots, 0)) {
        ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
        if (head - ring->seen_tail == ring->slots)
            __builtin_ia32_pause();
    }
    ring->slot[head & (ring->slots - 1)].value = value;
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

static inline uint64_t get(struct ring *ring)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    while (ring->seen_head == tail) {
        ring->seen_head = atomic_load_explicit(&ring->head, memory_order_acquire);
        if (ring->seen_head == tail)
            __builtin_ia32_pause();
    }
    uint64_t value = ring->slot[tail & (ring->slots - 1)].value;
    atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
    return value;
}

uint64_t ring_ping(struct ring *there, struct ring *back, uint64_t count, uint64_t *laps)
{
    uint64_t start = steady_ns(), before = start;
    for (uint64_t index = 0; index < count; index++) {
        put(there, index);
        get(back);
        uint64_t now = steady_ns();
        laps[index] = now - before;
        before = now;
    }
    return before - start;
}

void ring_pong(struct ring *there, struct ring *back, uint64_t count)
{
    for (uint64_t index = 0; index < count; index++)
        put(back, get(there));
}

void ring_produce(struct ring *ring, uint64_t count)
{
    for (uint64_t index = 0; index < count; index++)
        put(ring, index);
}

uint64_t ring_consume(struct ring *ring, uint64_t count)
{
    uint64_t start = steady_ns(), wrong = 0;
    for (uint64_t index = 0; index < count; index++)
        wrong += get(ring) != index;
    return wrong ? 0 : steady_ns() - start;
}
