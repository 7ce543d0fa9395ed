#include "path.h"
#include "clock.h"
#include "memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 16, DEPTH = 10, PACKET_RECORDS = 29 };

/* docs/wire-format.md */
struct header {
    uint32_t magic;
    uint8_t version, channel;
    uint16_t count, venue, stream;
    uint32_t epoch;
    uint64_t sequence, send_ns;
    uint32_t flags, reserved;
};
_Static_assert(sizeof(struct header) == 40, "the header of docs/wire-format.md");

/* The market cache's record, behind a seqlock. */
struct shown {
    _Atomic uint32_t sequence;
    uint8_t state, reason, bids, asks;
    uint64_t update_id;
    struct top top;
    uint64_t exchange_ns, receive_ns, publish_ns, events;
    char name[48];
    struct level levels[2][DEPTH];
    char rest[64];
};
_Static_assert(sizeof(struct shown) == 512, "as large as the market cache's");

struct path {
    struct array_books *books;
    struct shown *shown;
    uint32_t symbols;
    uint64_t expected, gaps, invalid, now, published;
};

static void publish(void *context, uint32_t symbol, int changed)
{
    struct path *path = context;
    struct shown *shown = path->shown + symbol;
    uint32_t sequence = atomic_load_explicit(&shown->sequence, memory_order_relaxed);
    atomic_store_explicit(&shown->sequence, sequence + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    shown->top = array_top(path->books, symbol);
    shown->publish_ns = path->now;
    shown->events++;
    if (changed & 1)
        shown->bids = (uint8_t) array_levels(path->books, symbol, BID, shown->levels[BID], DEPTH);
    if (changed & 2)
        shown->asks = (uint8_t) array_levels(path->books, symbol, ASK, shown->levels[ASK], DEPTH);
    atomic_store_explicit(&shown->sequence, sequence + 2, memory_order_release);
    path->published++;
}

struct path *path_new(uint32_t symbols, size_t bytes)
{
    struct path *path = calloc(1, sizeof *path);
    if (path == NULL)
        return NULL;
    path->books = array_new(symbols, bytes);
    path->shown = memory_take(symbols * sizeof(struct shown));
    path->symbols = symbols;
    if (path->books == NULL || path->shown == NULL)
        return NULL;
    array_listen(path->books, publish, path);
    return path;
}

void path_free(struct path *path)
{
    array_free(path->books);
    memory_give(path->shown, path->symbols * sizeof(struct shown));
    free(path);
}

struct array_books *path_books(struct path *path) { return path->books; }

uint64_t path_published(struct path *path) { return path->published; }

static inline void packet(struct path *path, const char *data, uint64_t length)
{
    const struct header *header = (const struct header *) data;
    if (UNLIKELY(length < sizeof *header || header->magic != 0x314B4257 || header->version != 1
                 || header->count > PACKET_RECORDS || length != sizeof *header + header->count * sizeof(struct record))) {
        path->invalid++;
        return;
    }
    if (UNLIKELY(header->sequence != path->expected))
        path->gaps++;
    path->expected = header->sequence + 1;
    const struct record *records = (const struct record *) (header + 1);
    for (ptrdiff_t done = 0; done < header->count; done += BATCH)
        array_apply(path->books, records + done, header->count - done < BATCH ? header->count - done : BATCH);
}

uint64_t path_packets(struct path *path, const char *slots, const uint64_t *lengths, ptrdiff_t count, ptrdiff_t slot_bytes,
                      ptrdiff_t burst, uint64_t *laps)
{
    uint64_t start = thread_ns(), before = path->now = steady_ns();
    for (ptrdiff_t done = 0; done < count; done += burst) {
        ptrdiff_t end = count - done < burst ? count : done + burst;
        for (ptrdiff_t index = done; index < end; index++)
            packet(path, slots + index * slot_bytes, lengths[index]);
        if (laps != NULL) {
            uint64_t now = steady_ns();
            *laps++ = now - before;
            before = now;
        }
    }
    return thread_ns() - start;
}
