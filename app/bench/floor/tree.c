/* The engine's own data structure as a bare C program would have it: the floor that its Cython is measured against.

   A side is a radix tree of six bits a level. Each object is a cache line that begins with a bitmap: a leaf is a page of
   64 ticks, a node has up to 64 children. A line holds its entries packed behind the bitmap (7 quantities, 14 children);
   when they become more, it is spread over parts, lines that are indexed directly. The best key is the highest one. */
#include "book.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    LEAF_PACKED = 7, NODE_PACKED = 14,
    LEAF_REPACK = 4, NODE_REPACK = 10, /* well below, so that a line at the limit doesn't flicker */
    LEAF_PART = 8, NODE_PART = 16,
    HIGHEST = 10,
};
#define SPREAD (1u << 31)

union line {
    struct {
        uint64_t bits;
        union {
            int64_t quantities[LEAF_PACKED];
            uint32_t children[NODE_PACKED];
            uint32_t parts[NODE_PACKED];
        };
    };
    int64_t part_quantities[LEAF_PART];
    uint32_t part_children[NODE_PART];
    uint32_t next_free;
};
_Static_assert(sizeof(union line) == 64, "a line is a cache line");

struct side {
    uint64_t prefix; /* of all keys, above the tree's bits */
    uint64_t best;
    int64_t best_quantity;
    uint64_t flip;
    uint32_t root;
    uint32_t levels;
    uint8_t height;
    uint8_t best_known;
    uint8_t padding[22];
};

struct book {
    struct side sides[2];
    uint64_t update_id, exchange_ns, receive_ns;
    uint64_t state;
    uint64_t padding[4];
};

struct tree_books {
    struct book *books;
    union line *lines;
    uint32_t symbols, free, fresh, total;
    uint64_t events, out_of_order, unknown, crossed, absent;
    size_t bytes;
};

static inline int count_ones(uint64_t bits) { return __builtin_popcountll(bits); }
static inline unsigned top_bit(uint64_t bits) { return 63 - (unsigned) __builtin_clzll(bits); }
static inline int rank(uint64_t bits, unsigned bit) { return count_ones(bits & (((uint64_t) 1 << bit) - 1)); }
static inline uint64_t above(uint64_t key, int height) { return height < HIGHEST ? key >> (6 * (height + 1)) : 0; }
static inline unsigned digit(uint64_t key, int height) { return key >> (6 * height) & 63; }
static inline union line *at(struct tree_books *books, uint32_t line) { return books->lines + (line & ~SPREAD); }

static inline uint32_t take(struct tree_books *books)
{
    uint32_t line = books->free;
    if (line != 0)
        books->free = at(books, line)->next_free;
    else if (UNLIKELY((line = books->fresh++) == books->total))
        abort();
    at(books, line)->bits = 0;
    return line;
}

static inline void give(struct tree_books *books, uint32_t line)
{
    at(books, line)->next_free = books->free;
    books->free = line & ~SPREAD;
}

static inline int64_t *quantity_at(struct tree_books *books, uint32_t leaf, unsigned bit)
{
    union line *line = at(books, leaf);
    if (leaf & SPREAD)
        return &at(books, line->parts[bit / LEAF_PART])->part_quantities[bit % LEAF_PART];
    return &line->quantities[rank(line->bits, bit)];
}

static inline uint32_t *child_at(struct tree_books *books, uint32_t node, unsigned bit)
{
    union line *line = at(books, node);
    if (node & SPREAD)
        return &at(books, line->parts[bit / NODE_PART])->part_children[bit % NODE_PART];
    return &line->children[rank(line->bits, bit)];
}

static __attribute__((noinline)) void spread(struct tree_books *books, uint32_t *slot, int leaf)
{
    union line *line = at(books, *slot), packed = *line;
    memset(line->parts, 0, sizeof line->parts);
    *slot |= SPREAD;
    int index = 0;
    for (uint64_t rest = line->bits; rest; rest &= rest - 1, index++) {
        unsigned bit = (unsigned) __builtin_ctzll(rest);
        uint32_t *part = &line->parts[bit / (leaf ? LEAF_PART : NODE_PART)];
        if (*part == 0)
            *part = take(books);
        if (leaf)
            *quantity_at(books, *slot, bit) = packed.quantities[index];
        else
            *child_at(books, *slot, bit) = packed.children[index];
    }
}

static __attribute__((noinline)) void pack(struct tree_books *books, uint32_t *slot, int leaf)
{
    union line *line = at(books, *slot), packed = *line;
    int index = 0;
    for (uint64_t rest = line->bits; rest; rest &= rest - 1, index++) {
        unsigned bit = (unsigned) __builtin_ctzll(rest);
        if (leaf)
            packed.quantities[index] = *quantity_at(books, *slot, bit);
        else
            packed.children[index] = *child_at(books, *slot, bit);
    }
    for (int part = 0; part < (leaf ? 64 / LEAF_PART : 64 / NODE_PART); part++)
        if (line->parts[part] != 0)
            give(books, line->parts[part]);
    *line = packed;
    *slot &= ~SPREAD;
}

static inline void open_entry(struct tree_books *books, uint32_t *slot, unsigned bit, int leaf)
{
    union line *line = at(books, *slot);
    int held = count_ones(line->bits);
    if (UNLIKELY(!(*slot & SPREAD) && held == (leaf ? LEAF_PACKED : NODE_PACKED)))
        spread(books, slot, leaf);
    if (*slot & SPREAD) {
        uint32_t *part = &line->parts[bit / (leaf ? LEAF_PART : NODE_PART)];
        if (UNLIKELY(*part == 0))
            *part = take(books);
    } else if (leaf) {
        for (int index = held, below = rank(line->bits, bit); index > below; index--)
            line->quantities[index] = line->quantities[index - 1];
    } else {
        int below = rank(line->bits, bit);
        memmove(line->children + below + 1, line->children + below, (size_t) (held - below) * sizeof(uint32_t));
    }
    line->bits |= (uint64_t) 1 << bit;
}

/* Take an entry out; whether the line is empty now. */
static inline int close_entry(struct tree_books *books, uint32_t *slot, unsigned bit, int leaf)
{
    union line *line = at(books, *slot);
    int held = count_ones(line->bits);
    line->bits ^= (uint64_t) 1 << bit;
    if (*slot & SPREAD) {
        unsigned width = leaf ? LEAF_PART : NODE_PART, part = bit / width;
        if (!(line->bits >> (part * width) & (((uint64_t) 1 << width) - 1))) {
            give(books, line->parts[part]);
            line->parts[part] = 0;
        }
        if (held - 1 <= (leaf ? LEAF_REPACK : NODE_REPACK))
            pack(books, slot, leaf);
        return 0;
    }
    int below = rank(line->bits, bit);
    if (leaf)
        for (int index = below; index < held - 1; index++)
            line->quantities[index] = line->quantities[index + 1];
    else
        memmove(line->children + below, line->children + below + 1, (size_t) (held - below - 1) * sizeof(uint32_t));
    return held == 1;
}

static __attribute__((noinline)) void grow(struct tree_books *books, struct side *side, uint64_t key)
{
    while (above(key, side->height) != side->prefix) {
        uint32_t node = take(books);
        at(books, node)->bits = (uint64_t) 1 << (side->prefix & 63);
        at(books, node)->children[0] = side->root;
        side->root = node;
        side->prefix >>= 6;
        side->height++;
    }
}

static __attribute__((noinline)) uint32_t *add_child(struct tree_books *books, uint32_t *slot, unsigned bit)
{
    open_entry(books, slot, bit, 0);
    uint32_t *child = child_at(books, *slot, bit);
    *child = take(books);
    return child;
}

static inline void set(struct tree_books *books, struct side *side, uint64_t key, int64_t quantity)
{
    if (UNLIKELY(side->levels == 0)) {
        side->root = take(books);
        side->height = 0;
        side->prefix = above(key, 0);
    } else if (UNLIKELY(above(key, side->height) != side->prefix)) {
        grow(books, side, key);
    }
    uint32_t *slot = &side->root;
    for (int height = side->height; height > 0; height--) {
        unsigned bit = digit(key, height);
        slot = at(books, *slot)->bits >> bit & 1 ? child_at(books, *slot, bit) : add_child(books, slot, bit);
    }
    unsigned bit = digit(key, 0);
    if (!(at(books, *slot)->bits >> bit & 1)) {
        open_entry(books, slot, bit, 1);
        side->levels++;
    }
    *quantity_at(books, *slot, bit) = quantity;
    if (key >= side->best) {
        side->best = key;
        side->best_quantity = quantity;
        side->best_known = 1;
    }
}

static __attribute__((noinline)) void drop_leaf(struct tree_books *books, struct side *side, uint32_t **path, uint64_t key)
{
    give(books, *path[0]);
    for (int height = 1; height <= side->height && close_entry(books, path[height], digit(key, height), 0); height++)
        give(books, *path[height]);
    if (side->levels == 0)
        return;
    while (side->height > 0 && !(side->root & SPREAD) && count_ones(at(books, side->root)->bits) == 1) {
        uint32_t root = side->root;
        side->prefix = side->prefix << 6 | top_bit(at(books, root)->bits);
        side->root = at(books, root)->children[0];
        side->height--;
        give(books, root);
    }
}

static inline int unset(struct tree_books *books, struct side *side, uint64_t key)
{
    uint32_t *path[HIGHEST + 1], *slot = &side->root;
    if (side->levels == 0 || above(key, side->height) != side->prefix)
        return 0;
    for (int height = side->height; height >= 0; height--) {
        path[height] = slot;
        if (!(at(books, *slot)->bits >> digit(key, height) & 1))
            return 0;
        if (height > 0)
            slot = child_at(books, *slot, digit(key, height));
    }
    side->levels--;
    if (close_entry(books, slot, digit(key, 0), 1))
        drop_leaf(books, side, path, key);
    if (key == side->best) {
        side->best_known = 0;
        if (side->levels == 0)
            side->best = 0;
    }
    return 1;
}

static __attribute__((noinline)) void find_best(struct tree_books *books, struct side *side)
{
    uint32_t line = side->root;
    uint64_t key = side->prefix;
    for (int height = side->height; height > 0; height--) {
        unsigned bit = top_bit(at(books, line)->bits);
        key = key << 6 | bit;
        line = *child_at(books, line, bit);
    }
    unsigned bit = top_bit(at(books, line)->bits);
    side->best = key << 6 | bit;
    side->best_quantity = *quantity_at(books, line, bit);
    side->best_known = 1;
}

static inline int best(struct tree_books *books, struct side *side, int64_t *price, int64_t *quantity)
{
    *price = *quantity = 0;
    if (side->levels == 0)
        return 0;
    if (!side->best_known)
        find_best(books, side);
    *price = (int64_t) (side->best ^ side->flip);
    *quantity = side->best_quantity;
    return 1;
}

static void walk_free(struct tree_books *books, uint32_t line, int height)
{
    for (uint64_t rest = height > 0 ? at(books, line)->bits : 0; rest; rest &= rest - 1)
        walk_free(books, *child_at(books, line, (unsigned) __builtin_ctzll(rest)), height - 1);
    if (line & SPREAD)
        for (int part = 0; part < (height > 0 ? 64 / NODE_PART : 64 / LEAF_PART); part++)
            if (at(books, line)->parts[part] != 0)
                give(books, at(books, line)->parts[part]);
    give(books, line);
}

static __attribute__((noinline)) void control(struct tree_books *books, struct book *book, const struct record *record)
{
    if (record->kind == CLEAR) {
        for (struct side *side = book->sides; side < book->sides + 2; side++) {
            if (side->levels != 0)
                walk_free(books, side->root, side->height);
            side->levels = 0;
            side->best = 0;
        }
        book->update_id = record->update_id;
    }
    book->state = record->kind == LIVE;
}

static inline void apply(struct tree_books *books, const struct record *record)
{
    if (UNLIKELY(record->symbol >= books->symbols)) {
        books->unknown++;
        return;
    }
    struct book *book = books->books + record->symbol;
    if (UNLIKELY(record->kind > ASK)) {
        control(books, book, record);
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
    uint64_t key = (uint64_t) record->price ^ side->flip;
    if (record->quantity != 0)
        set(books, side, key, record->quantity);
    else if (!unset(books, side, key))
        books->absent++;
    if (record->flags & EVENT_END) {
        int64_t bid, ask, quantity;
        books->events++;
        if (book->state && (best(books, book->sides, &bid, &quantity) & best(books, book->sides + 1, &ask, &quantity)) && bid >= ask)
            books->crossed++;
    }
}

void tree_apply(struct tree_books *books, const struct record *records, ptrdiff_t count)
{
    for (ptrdiff_t index = 0; index < count; index++)
        if (records[index].symbol < books->symbols) {
            struct book *book = books->books + records[index].symbol;
            __builtin_prefetch(&book->update_id);
            __builtin_prefetch(book->sides + (records[index].kind == ASK));
        }
    for (ptrdiff_t index = 0; index < count; index++)
        if (records[index].symbol < books->symbols)
            __builtin_prefetch(at(books, books->books[records[index].symbol].sides[records[index].kind == ASK].root));
    for (ptrdiff_t index = 0; index < count; index++)
        apply(books, records + index);
}

struct tree_books *tree_new(uint32_t symbols, size_t bytes)
{
    struct tree_books *books = calloc(1, sizeof *books);
    char *memory = memory_take(bytes);
    if (books == NULL || memory == NULL) {
        free(books);
        return NULL;
    }
    books->books = (struct book *) memory;
    books->symbols = symbols;
    books->bytes = bytes;
    books->lines = (union line *) (memory + symbols * sizeof(struct book));
    books->total = (uint32_t) ((bytes - symbols * sizeof(struct book)) / sizeof(union line));
    books->fresh = 1; /* line 0 says "none" */
    for (uint32_t symbol = 0; symbol < symbols; symbol++) {
        books->books[symbol].sides[BID].flip = (uint64_t) INT64_MIN;
        books->books[symbol].sides[ASK].flip = (uint64_t) INT64_MAX;
    }
    return books;
}

void tree_free(struct tree_books *books)
{
    memory_give(books->books, books->bytes);
    free(books);
}

static size_t walk(struct tree_books *books, const struct side *side, uint32_t line, int height, uint64_t prefix,
                   struct level *levels, size_t most)
{
    size_t done = 0;
    for (uint64_t rest = at(books, line)->bits; rest && done < most;) {
        unsigned bit = top_bit(rest);
        rest ^= (uint64_t) 1 << bit;
        uint64_t key = prefix << 6 | bit;
        if (height > 0)
            done += walk(books, side, *child_at(books, line, bit), height - 1, key, levels + done, most - done);
        else
            levels[done++] = (struct level){(int64_t) (key ^ side->flip), *quantity_at(books, line, bit)};
    }
    return done;
}

size_t tree_levels(struct tree_books *books, uint32_t symbol, int side, struct level *levels, size_t most)
{
    const struct side *from = books->books[symbol].sides + side;
    return from->levels == 0 ? 0 : walk(books, from, from->root, from->height, from->prefix, levels, most);
}

struct top tree_top(struct tree_books *books, uint32_t symbol)
{
    struct top top;
    best(books, books->books[symbol].sides, &top.bid_price, &top.bid_quantity);
    best(books, books->books[symbol].sides + 1, &top.ask_price, &top.ask_quantity);
    return top;
}
