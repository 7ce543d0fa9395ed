/* Order books as sorted arrays, the usual way in C: levels in contiguous memory, the best one last, a binary search for
   each update and a memmove for each insertion and removal. */
#include "book.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

struct side {
    struct level *levels; /* ascending bids, descending asks: what changes most is at the end */
    uint32_t held;
    uint32_t room;
};

struct book {
    struct side sides[2];
    uint64_t update_id, exchange_ns, receive_ns;
    uint32_t live;
    uint32_t changed; /* sides whose ten best levels an update touched */
};

struct array_books {
    struct book *books;
    uint32_t symbols;
    size_t bytes;
    uint64_t events, out_of_order, unknown, crossed, absent;
    on_event *listener;
    void *context;
};

/* `bytes` is shared out evenly: an array can't borrow from another. */
struct array_books *array_new(uint32_t symbols, size_t bytes)
{
    struct array_books *books = calloc(1, sizeof *books);
    char *memory = memory_take(bytes);
    if (books == NULL || memory == NULL) {
        free(books);
        return NULL;
    }
    books->books = (struct book *) memory;
    books->symbols = symbols;
    books->bytes = bytes;
    struct level *levels = (struct level *) (memory + ((symbols * sizeof(struct book) + 63) & ~(size_t) 63));
    uint32_t room = (uint32_t) ((size_t) ((struct level *) (memory + bytes) - levels) / (2 * symbols) & ~(size_t) 3);
    for (uint32_t symbol = 0; symbol < symbols; symbol++)
        for (int side = 0; side < 2; side++) {
            books->books[symbol].sides[side].levels = levels;
            books->books[symbol].sides[side].room = room;
            levels += room;
        }
    return books;
}

void array_listen(struct array_books *books, on_event *listener, void *context)
{
    books->listener = listener;
    books->context = context;
}

void array_free(struct array_books *books)
{
    memory_give(books->books, books->bytes);
    free(books);
}

/* Index of the first level that is not worse than `price`. */
static inline uint32_t find(const struct side *side, int64_t price, int64_t sign)
{
    const struct level *base = side->levels;
    uint32_t count = side->held;
    price *= sign;
    while (count > 1) { /* without a branch to mispredict */
        uint32_t half = count / 2;
        base += base[half - 1].price * sign < price ? half : 0;
        count -= half;
    }
    if (count == 1 && base->price * sign < price)
        base++;
    return (uint32_t) (base - side->levels);
}

static inline void apply(struct array_books *books, const struct record *record)
{
    if (UNLIKELY(record->symbol >= books->symbols)) {
        books->unknown++;
        return;
    }
    struct book *book = books->books + record->symbol;
    if (UNLIKELY(record->kind > ASK)) {
        if (record->kind == CLEAR) {
            book->sides[BID].held = book->sides[ASK].held = 0;
            book->update_id = record->update_id;
        }
        book->live = record->kind == LIVE;
        book->changed = 3;
        return;
    }
    if (UNLIKELY(record->update_id < book->update_id)) {
        books->out_of_order++;
        return;
    }
    book->update_id = record->update_id;
    book->exchange_ns = record->exchange_ns;
    book->receive_ns = record->receive_ns;
    struct side *side = book->sides + record->kind;
    uint32_t at = find(side, record->price, record->kind == BID ? 1 : -1);
    struct level *level = side->levels + at;
    if (at + 10 >= side->held)
        book->changed |= 1u << record->kind;
    if (at < side->held && level->price == record->price) {
        if (record->quantity != 0) {
            level->quantity = record->quantity;
        } else {
            side->held--;
            memmove(level, level + 1, (side->held - at) * sizeof *level);
        }
    } else if (record->quantity != 0) {
        if (UNLIKELY(side->held == side->room))
            abort();
        memmove(level + 1, level, (side->held - at) * sizeof *level);
        level->price = record->price;
        level->quantity = record->quantity;
        side->held++;
    } else {
        books->absent++;
    }
    if (record->flags & EVENT_END) {
        books->events++;
        const struct side *bid = book->sides, *ask = book->sides + 1;
        if (book->live && bid->held && ask->held && bid->levels[bid->held - 1].price >= ask->levels[ask->held - 1].price)
            books->crossed++;
        if (books->listener != NULL) {
            books->listener(books->context, record->symbol, (int) book->changed);
            book->changed = 0;
        }
    }
}

void array_apply(struct array_books *books, const struct record *records, ptrdiff_t count)
{
    for (ptrdiff_t index = 0; index < count; index++)
        if (records[index].symbol < books->symbols)
            __builtin_prefetch(books->books + records[index].symbol);
    for (ptrdiff_t index = 0; index < count; index++)
        if (records[index].symbol < books->symbols && records[index].kind <= ASK) {
            const struct side *side = books->books[records[index].symbol].sides + records[index].kind;
            __builtin_prefetch(side->levels + side->held / 2);
            __builtin_prefetch(side->levels + side->held);
        }
    for (ptrdiff_t index = 0; index < count; index++)
        apply(books, records + index);
}

size_t array_levels(struct array_books *books, uint32_t symbol, int side, struct level *levels, size_t most)
{
    const struct side *from = books->books[symbol].sides + side;
    size_t count = from->held < most ? from->held : most;
    for (size_t index = 0; index < count; index++)
        levels[index] = from->levels[from->held - 1 - index];
    return count;
}

struct top array_top(struct array_books *books, uint32_t symbol)
{
    struct level bid = {0, 0}, ask = {0, 0};
    array_levels(books, symbol, BID, &bid, 1);
    array_levels(books, symbol, ASK, &ask, 1);
    return (struct top){bid.price, bid.quantity, ask.price, ask.quantity};
}
