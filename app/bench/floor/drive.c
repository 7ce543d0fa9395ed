/* The one loop that every book, ours and the floors', is timed in. */
#include "clock.h"
#include "record.h"

typedef void apply_batch(void *books, const struct record *records, ptrdiff_t count);

/* CPU time in nanoseconds for all records in batches of `batch`; with `laps`, also the time of each batch. */
uint64_t drive(apply_batch *apply, void *books, const struct record *records, ptrdiff_t count, ptrdiff_t batch, uint64_t *laps)
{
    uint64_t start = thread_ns(), before = laps == NULL ? 0 : steady_ns();
    for (ptrdiff_t done = 0; done < count; done += batch) {
        /* The records to come: in the engine they are in a ring in the first-level cache, not in a file's memory. */
        const char *next = (const char *) (records + done + batch);
        for (ptrdiff_t ahead = 0; ahead < batch * (ptrdiff_t) sizeof *records; ahead += 64)
            __builtin_prefetch(next + ahead);
        apply(books, records + done, count - done < batch ? count - done : batch);
        if (laps != NULL) {
            uint64_t now = steady_ns();
            *laps++ = now - before;
            before = now;
        }
    }
    return thread_ns() - start;
}
