/* What both C books offer; `floor.py` calls it. `books` is what `*_new` returned. */
#ifndef FLOOR_BOOK_H
#define FLOOR_BOOK_H

#include "record.h"

struct top {
    int64_t bid_price, bid_quantity, ask_price, ask_quantity; /* a quantity of 0: that side is empty */
};

#define BOOK_INTERFACE(name)                                                                                                \
    struct name##_books;                                                                                                    \
    struct name##_books *name##_new(uint32_t symbols, size_t bytes);                                                        \
    void name##_free(struct name##_books *books);                                                                           \
    /* Apply records in their order; all of them are prefetched for first, so give a small batch at a time. */              \
    void name##_apply(struct name##_books *books, const struct record *records, ptrdiff_t count);                           \
    struct top name##_top(struct name##_books *books, uint32_t symbol);                                                     \
    /* Up to `most` levels of a side from the best on; returns how many. */                                                 \
    size_t name##_levels(struct name##_books *books, uint32_t symbol, int side, struct level *levels, size_t most);

BOOK_INTERFACE(tree)
BOOK_INTERFACE(array)

/* Called by the array's books at the end of an event; `changed` has bit 0 (bids) or 1 (asks) set when one of the side's
   ten best levels may have changed since the last call for this symbol. */
typedef void on_event(void *context, uint32_t symbol, int changed);
void array_listen(struct array_books *books, on_event *listener, void *context);

#endif
