/* A ring of 64-byte slots for one producer and one consumer, as a bare C program would have it. */
#ifndef FLOOR_RING_H
#define FLOOR_RING_H

#include <stdint.h>

struct ring;

struct ring *ring_new(uint64_t slots); /* a power of two */
void ring_free(struct ring *ring);
/* The four loops of the benchmark; nanoseconds where they return something. */
uint64_t ring_ping(struct ring *there, struct ring *back, uint64_t count, uint64_t *laps);
void ring_pong(struct ring *there, struct ring *back, uint64_t count);
void ring_produce(struct ring *ring, uint64_t count);
uint64_t ring_consume(struct ring *ring, uint64_t count); /* 0: a slot came out of order */

#endif
