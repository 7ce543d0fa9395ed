#ifndef FLOOR_CLOCK_H
#define FLOOR_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t) now.tv_sec * 1000000000u + (uint64_t) now.tv_nsec;
}

/* For single steps. */
static inline uint64_t steady_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* For whole runs of what never waits: the time that another process took the CPU for isn't in it. A system call. */
static inline uint64_t thread_ns(void) { return clock_ns(CLOCK_THREAD_CPUTIME_ID); }

#endif
