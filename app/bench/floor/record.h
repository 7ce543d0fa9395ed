/* A decoded update as the books get it: the record of docs/wire-format.md. */
#ifndef FLOOR_RECORD_H
#define FLOOR_RECORD_H

#include <stddef.h>
#include <stdint.h>

enum { BID = 0, ASK = 1, CLEAR = 2, LIVE = 3 };
enum { EVENT_END = 1 };

struct record {
    uint32_t symbol;
    uint8_t kind;
    uint8_t flags;
    uint16_t aux;
    uint64_t update_id;
    int64_t price;
    int64_t quantity;
    uint64_t exchange_ns;
    uint64_t receive_ns;
};
_Static_assert(sizeof(struct record) == 48, "the record of docs/wire-format.md");

struct level {
    int64_t price;
    int64_t quantity;
};

#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#endif
