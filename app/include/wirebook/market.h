/* Reading wirebook's market cache from C or C++: layout 3. See docs/market-cache.md.

   The file is shared memory: a page of header, then a record of 512 bytes for each symbol, then histograms of latency;
   little-endian. Map it read-only,
   check it once with wirebook_market_fault(), and read records with wirebook_market_read(), which never gives a torn one.
   Needs GCC or Clang, C11 or C++11. */
#ifndef WIREBOOK_MARKET_H
#define WIREBOOK_MARKET_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { WIREBOOK_MARKET_VERSION = 3, WIREBOOK_HEADER_BYTES = 4096, WIREBOOK_DEPTH = 10, WIREBOOK_METRICS = 96 };
enum { WIREBOOK_EMPTY = 0, WIREBOOK_STALE = 1, WIREBOOK_LIVE = 2 };
enum { WIREBOOK_STAMP_USER = 0, WIREBOOK_STAMP_KERNEL = 1, WIREBOOK_STAMP_HARDWARE = 2 };
enum { WIREBOOK_HISTOGRAM_BINS = 608 };

struct wirebook_level {
    int64_t price;    /* divide by 10 to the power of price_decimals */
    int64_t quantity; /* divide by 10 to the power of quantity_decimals */
};

struct wirebook_market_header {
    char magic[8]; /* "WBMARKET" */
    uint32_t version;
    uint32_t record_bytes;
    uint32_t records;
    uint32_t depth;
    uint64_t start_ns; /* when the writer started, ns since 1970 */
    uint32_t pid;
    uint32_t histograms;
    uint64_t heartbeat_ns; /* CLOCK_MONOTONIC, ten times a second or more; 0: the writer stopped in order */
    uint64_t histograms_at; /* bytes from here to the first struct wirebook_histogram */
    uint32_t histogram_bins;
    char padding[68];
    uint64_t metrics[WIREBOOK_METRICS];
};

struct wirebook_market_record {
    uint32_t sequence; /* odd while it is written */
    uint8_t state;     /* WIREBOOK_LIVE: the venue's book. Else don't use it */
    uint8_t reason;    /* why it is stale, docs/wire-format.md */
    uint8_t bids;      /* levels shown, 0 when the side is empty */
    uint8_t asks;
    uint64_t update_id;           /* the venue's, of the last event */
    struct wirebook_level bid;    /* best ones; all zero when the side is empty */
    struct wirebook_level ask;
    uint64_t exchange_ns;         /* the venue's time of the event, ns since 1970; 0 if it gave none */
    uint64_t receive_ns;          /* when the feed handler received it */
    uint64_t publish_ns;          /* when its packet was taken, to be written here */
    uint64_t events;              /* published so far */
    uint8_t price_decimals;
    uint8_t quantity_decimals;
    uint8_t stamp;      /* who wrote down when the packet came: WIREBOOK_STAMP_... */
    uint8_t edges;      /* bit 0, 1: the bids, the asks are known as far as their edge, and not beyond */
    uint32_t stamp_age; /* ns from then to publish_ns, at most 2^32 - 1 */
    char name[40]; /* "venue:INSTRUMENT", zero padded */
    struct wirebook_level bid_levels[WIREBOOK_DEPTH]; /* from the best on */
    struct wirebook_level ask_levels[WIREBOOK_DEPTH];
    int64_t bid_edge; /* price of the worst level that the snapshot told; see edges */
    int64_t ask_edge;
    char rest[48];
};

/* How often a stage took how long, since the writer's start. Bin n below 32 counts n ns; bin n from there on counts times
   from (16 + n % 16) << (n / 16 - 1) ns up to the next one's. Stages: venue to feed, feed to sent, sent to received,
   received to taken, taken to published. */
struct wirebook_histogram {
    uint64_t negative; /* the end came before the beginning: the clocks of both differ */
    uint64_t padding[7];
    uint64_t bins[WIREBOOK_HISTOGRAM_BINS];
};

/* NULL when `length` bytes mapped at `memory` are a market cache that this header understands; else what is wrong. */
static inline const char *wirebook_market_fault(const void *memory, size_t length)
{
    const struct wirebook_market_header *header = (const struct wirebook_market_header *) memory;
    if (length < WIREBOOK_HEADER_BYTES || memcmp(header->magic, "WBMARKET", 8) != 0)
        return "not a market cache";
    if (header->version != WIREBOOK_MARKET_VERSION || header->record_bytes != sizeof(struct wirebook_market_record)
        || header->depth != WIREBOOK_DEPTH)
        return "another layout: use the market.h of the wirebook that writes it";
    if (header->histogram_bins != WIREBOOK_HISTOGRAM_BINS
        || header->histograms_at < WIREBOOK_HEADER_BYTES + (size_t) header->records * header->record_bytes
        || length < header->histograms_at + header->histograms * sizeof(struct wirebook_histogram))
        return "shorter than it says";
    return NULL;
}

/* Whether the writer gave a sign of life within `silence_ns`. If not, every record is stale whatever it says: a writer
   that was killed can't say so. Ask before you read a record, not after: the answer may be a new writer's. */
static inline int wirebook_market_alive(const void *memory, uint64_t silence_ns)
{
    const struct wirebook_market_header *header = (const struct wirebook_market_header *) memory;
    uint64_t last = __atomic_load_n(&header->heartbeat_ns, __ATOMIC_ACQUIRE);
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    uint64_t now = (uint64_t) time.tv_sec * 1000000000u + (uint64_t) time.tv_nsec;
    /* A beat long after now is of an earlier boot; one just after it came while we looked. */
    return last != 0 && (last > now ? last - now < 1000000000u : now - last < silence_ns);
}

/* Copy the record of `symbol`, which is less than header->records. 1: `copy` is whole and of one moment. 0: it was being
   written each time we looked, so its writer is asleep or dead; try again, or take it as stale. */
static inline int wirebook_market_read(const void *memory, uint32_t symbol, struct wirebook_market_record *copy)
{
    const struct wirebook_market_record *record =
        (const struct wirebook_market_record *) ((const char *) memory + WIREBOOK_HEADER_BYTES) + symbol;
    for (int attempt = 0; attempt < 1000; attempt++) {
        uint32_t sequence = __atomic_load_n(&record->sequence, __ATOMIC_ACQUIRE);
        if (!(sequence & 1)) {
            memcpy(copy, record, sizeof *copy);
            __atomic_thread_fence(__ATOMIC_ACQUIRE);
            if (__atomic_load_n(&record->sequence, __ATOMIC_RELAXED) == sequence)
                return 1;
        }
    }
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
