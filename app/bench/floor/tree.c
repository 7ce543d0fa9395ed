/* The engine's own data structure as a bare C program would have it: the floor that its Cython is measured against.

   A side is a radix tree of six bits a level. Each object is a cache line that begins with a bitmap: a leaf is a page of
   64 ticks, a node has up to 64 children. A line holds its entries packed behind the bitmap (7 quantities, 14 children);
   when they become more, it is spread over parts, lines that are indexed directly. The best key is the highest one.
   A directory, which is a cache, knows the leaf of a page without a walk; empty leaves stay until others need the room. */
#include "book.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    LEAF_PACKED = 7, NODE_PACKED = 14,
    LEAF_REPACK = 4, NODE_REPACK = 10, /* well below, so that a line at the limit doesn't flicker */
    LEAF_PART = 8, NODE_PART = 16,
    HIGHEST = 10,
    BATCH_MOST = 64,
    CACHED_LINES = 32768, /* what a second-level cache of 2 MB holds by itself: no prefetching below it */
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
    int64_t lanes[8];
    int64_t part_quantities[LEAF_PART];
    uint32_t part_children[NODE_PART];
    uint32_t next_free;
};
_Static_assert(sizeof(union line) == 64, "a line is a cache line");

struct side {
    _Alignas(64) uint64_t prefix; /* of all keys, above the tree's bits */
    uint64_t best;
    int64_t best_quantity;
    uint32_t root;
    uint32_t levels;
    uint8_t height;
    uint8_t best_known;
    uint64_t of_book[2]; /* the bids' line keeps the book's first two words, the asks' line the other two */
};
enum { UPDATE_ID, STATE };
enum { EXCHANGE_NS, RECEIVE_NS };

/* Two cache lines. */
struct book {
    struct side sides[2];
};
_Static_assert(sizeof(struct book) == 128, "two cache lines");

struct entry {
    uint64_t page;
    uint32_t owner; /* side of a symbol + 1; 0: nobody's */
    uint32_t leaf;
};

struct pair {
    struct entry entries[2];
};

struct grave {
    uint64_t page;
    uint32_t owner;
};

struct tree_books {
    struct book *books;
    union line *lines;
    struct pair *directory;
    struct grave *graves; /* a ring of leaves that became empty */
    uint64_t directory_mask, graves_mask, laid, buried;
    uint32_t symbols, free, fresh, total;
    uint64_t events, out_of_order, unknown, crossed, absent;
    size_t bytes;
};

static inline int count_ones(uint64_t bits) { return __builtin_popcountll(bits); }
static inline unsigned top_bit(uint64_t bits) { return 63 - (unsigned) __builtin_clzll(bits); }
static inline int rank(uint64_t bits, unsigned bit) { return count_ones(bits & (((uint64_t) 1 << bit) - 1)); }
static inline uint64_t above(uint64_t key, int height) { return height < HIGHEST ? key >> (6 * (height + 1)) : 0; }
static inline unsigned digit(uint64_t key, int height) { return key >> (6 * height) & 63; }
/* Between a price and its key, either way: the highest key of a side is its best. */
static inline uint64_t flipped(uint64_t value, unsigned kind)
{
    return value ^ ((uint64_t) INT64_MIN ^ (0 - (uint64_t) (kind & 1)));
}
static inline uint64_t key_of(const struct record *record) { return flipped((uint64_t) record->price, record->kind); }
static inline union line *at(struct tree_books *books, uint32_t line) { return books->lines + (line & ~SPREAD); }

static inline uint32_t owner_of(uint32_t symbol, unsigned kind) { return symbol * 2 + kind + 1; }
static inline struct side *side_of(struct tree_books *books, uint32_t owner)
{
    return &books->books[(owner - 1) / 2].sides[(owner - 1) % 2];
}
static inline struct pair *pair_of(struct tree_books *books, uint32_t owner, uint64_t page)
{
    return books->directory + ((page + owner * (uint64_t) 0x9E3779B1) & books->directory_mask);
}
static inline int is(const struct entry *entry, uint32_t owner, uint64_t page)
{
    return ((entry->page ^ page) | (entry->owner ^ owner)) == 0;
}
static inline struct entry *pick(struct pair *pair, uint32_t owner, uint64_t page)
{
    return &pair->entries[!is(&pair->entries[0], owner, page)];
}

static void forget(struct tree_books *books, uint32_t owner, uint64_t page)
{
    struct entry *entry = pick(pair_of(books, owner, page), owner, page);
    if (is(entry, owner, page))
        entry->owner = 0;
}

static void learn(struct tree_books *books, uint32_t owner, uint64_t page, uint32_t leaf)
{
    struct pair *pair = pair_of(books, owner, page);
    forget(books, owner, page);
    if (pair->entries[0].owner != 0)
        pair->entries[1] = pair->entries[0];
    pair->entries[0] = (struct entry){page, owner, leaf};
}

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
        if (!leaf && !(line->bits >> (part * width) & (((uint64_t) 1 << width) - 1))) {
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

/* Walk down and set a level; its leaf. */
static uint32_t set(struct tree_books *books, struct side *side, uint64_t key, int64_t quantity)
{
    if (side->root == 0) {
        side->root = take(books);
        side->height = 0;
        side->prefix = above(key, 0);
    } else if (above(key, side->height) != side->prefix) {
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
    return *slot;
}

/* Where the leaf of `key` is, or NULL; `path` has the slots above it. */
static uint32_t *find(struct tree_books *books, struct side *side, uint64_t key, uint32_t **path)
{
    uint32_t *slot = &side->root;
    if (side->root == 0 || above(key, side->height) != side->prefix)
        return NULL;
    for (int height = side->height; height > 0; height--) {
        path[height] = slot;
        if (!(at(books, *slot)->bits >> digit(key, height) & 1))
            return NULL;
        slot = child_at(books, *slot, digit(key, height));
    }
    return slot;
}

/* Walk down and remove a level; its leaf, 0 when there is none. */
static uint32_t unset(struct tree_books *books, struct side *side, uint64_t key)
{
    uint32_t *path[HIGHEST + 1], *slot = find(books, side, key, path);
    if (slot == NULL || !(at(books, *slot)->bits >> digit(key, 0) & 1)) {
        books->absent++;
        return slot == NULL ? 0 : *slot;
    }
    side->levels--;
    close_entry(books, slot, digit(key, 0), 1);
    return *slot;
}

/* Take a leaf out of its tree if it is empty. */
static void prune(struct tree_books *books, uint32_t owner, uint64_t page)
{
    struct side *side = side_of(books, owner);
    uint64_t key = page << 6;
    uint32_t *path[HIGHEST + 1], *slot = find(books, side, key, path);
    if (slot == NULL || at(books, *slot)->bits != 0)
        return;
    forget(books, owner, page);
    give(books, *slot);
    for (int height = 1; height <= side->height && close_entry(books, path[height], digit(key, height), 0); height++)
        give(books, *path[height]);
    while (side->height > 0 && !(side->root & SPREAD) && count_ones(at(books, side->root)->bits) == 1) {
        uint32_t root = side->root;
        side->prefix = side->prefix << 6 | top_bit(at(books, root)->bits);
        side->root = at(books, root)->children[0];
        side->height--;
        give(books, root);
    }
}

static void walk_free(struct tree_books *books, uint32_t owner, uint32_t line, int height, uint64_t prefix)
{
    for (uint64_t rest = height > 0 ? at(books, line)->bits : 0; rest; rest &= rest - 1) {
        unsigned bit = (unsigned) __builtin_ctzll(rest);
        walk_free(books, owner, *child_at(books, line, bit), height - 1, prefix << 6 | bit);
    }
    if (height == 0)
        forget(books, owner, prefix);
    if (line & SPREAD)
        for (int part = 0; part < (height > 0 ? 64 / NODE_PART : 64 / LEAF_PART); part++)
            if (at(books, line)->parts[part] != 0)
                give(books, at(books, line)->parts[part]);
    give(books, line);
}

/* A leaf lost its last level: it waits for the next one, as most pages get one soon. */
static __attribute__((noinline)) void emptied(struct tree_books *books, uint32_t owner, uint64_t page)
{
    struct side *side = side_of(books, owner);
    if (side->levels == 0) {
        walk_free(books, owner, side->root, side->height, side->prefix);
        side->root = 0;
        return;
    }
    if (books->laid - books->buried > books->graves_mask) {
        struct grave *oldest = books->graves + (books->buried++ & books->graves_mask);
        struct grave *later = books->graves + ((books->buried + 8) & books->graves_mask);
        __builtin_prefetch(pair_of(books, later->owner, later->page));
        struct entry *entry = pick(pair_of(books, oldest->owner, oldest->page), oldest->owner, oldest->page);
        if (!is(entry, oldest->owner, oldest->page) || at(books, entry->leaf)->bits == 0)
            prune(books, oldest->owner, oldest->page);
    }
    books->graves[books->laid++ & books->graves_mask] = (struct grave){page, owner};
}

static __attribute__((noinline)) void find_best(struct tree_books *books, struct side *side, uint32_t owner)
{
    for (;;) {
        uint32_t line = side->root;
        uint64_t key = side->prefix;
        for (int height = side->height; height > 0; height--) {
            unsigned bit = top_bit(at(books, line)->bits);
            key = key << 6 | bit;
            line = *child_at(books, line, bit);
        }
        if (at(books, line)->bits != 0) {
            unsigned bit = top_bit(at(books, line)->bits);
            side->best = key << 6 | bit;
            side->best_quantity = *quantity_at(books, line, bit);
            side->best_known = 1;
            return;
        }
        prune(books, owner, key);
    }
}

static inline int best(struct tree_books *books, uint32_t owner, int64_t *price, int64_t *quantity)
{
    struct side *side = side_of(books, owner);
    *price = *quantity = 0;
    if (side->levels == 0)
        return 0;
    if (!side->best_known)
        find_best(books, side, owner);
    *price = (int64_t) flipped(side->best, (owner - 1) & 1);
    *quantity = side->best_quantity;
    return 1;
}

static __attribute__((noinline)) void control(struct tree_books *books, struct book *book, const struct record *record)
{
    if (record->kind == CLEAR) {
        for (unsigned kind = 0; kind < 2; kind++) {
            struct side *side = book->sides + kind;
            if (side->root != 0)
                walk_free(books, owner_of(record->symbol, kind), side->root, side->height, side->prefix);
            side->root = side->levels = 0;
            side->best = 0;
        }
        book->sides[BID].of_book[UPDATE_ID] = record->update_id;
    }
    book->sides[BID].of_book[STATE] = record->kind == LIVE;
}

/* What the directory can't answer, or what changes a leaf's form. */
static __attribute__((noinline)) void reshape(struct tree_books *books, struct side *side, const struct record *record,
                                              uint64_t key)
{
    uint32_t owner = owner_of(record->symbol, record->kind);
    uint32_t leaf = record->quantity != 0 ? set(books, side, key, record->quantity) : unset(books, side, key);
    if (leaf == 0)
        return;
    learn(books, owner, key >> 6, leaf);
    if (at(books, leaf)->bits == 0)
        emptied(books, owner, key >> 6);
}

typedef int64_t lanes __attribute__((vector_size(64), may_alias));

/* One level of a packed leaf appears, changes or goes, without a branch: lane 0 is the bitmap. */
static inline void write_packed(union line *line, int64_t place, int64_t had, int64_t has, uint64_t bits, int64_t quantity)
{
    const lanes lane = {0, 1, 2, 3, 4, 5, 6, 7};
    lanes old = *(lanes *) line->lanes;
    lanes up = __builtin_shufflevector(old, old, 0, 0, 1, 2, 3, 4, 5, 6);
    lanes down = __builtin_shufflevector(old, old, 1, 2, 3, 4, 5, 6, 7, 7);
    lanes grows = (lanes){} - (has & ~had), shrinks = (lanes){} - (had & ~has);
    lanes moved = (up & grows) | (down & shrinks) | (old & ~(grows | shrinks));
    lanes below = lane < place, here = (lane == place) & -has, first = lane == 0;
    lanes now = (old & below) | (moved & ~below);
    now = (now & ~here) | (quantity & here);
    *(lanes *) line->lanes = (now & ~first) | ((int64_t) bits & first);
}

static inline void update(struct tree_books *books, struct side *side, const struct record *record, uint64_t key,
                          struct pair *pair)
{
    uint32_t owner = owner_of(record->symbol, record->kind);
    struct entry *entry = pick(pair, owner, key >> 6);
    if (UNLIKELY(!is(entry, owner, key >> 6))) {
        reshape(books, side, record, key);
        return;
    }
    union line *line = at(books, entry->leaf);
    uint64_t bits = line->bits, bit = key & 63, had = bits >> bit & 1, has = record->quantity != 0;
    uint64_t after = (bits & ~((uint64_t) 1 << bit)) | has << bit;
    if (entry->leaf & SPREAD) {
        uint32_t part = line->parts[bit / LEAF_PART];
        if (UNLIKELY(part == 0 || (had > has && count_ones(bits) == LEAF_REPACK + 1))) {
            reshape(books, side, record, key);
            return;
        }
        line->bits = after;
        at(books, part)->part_quantities[bit % LEAF_PART] = record->quantity;
    } else {
        if (UNLIKELY(had < has && count_ones(bits) == LEAF_PACKED)) {
            reshape(books, side, record, key);
            return;
        }
        write_packed(line, 1 + rank(bits, (unsigned) bit), (int64_t) had, (int64_t) has, after, record->quantity);
    }
    side->levels += (uint32_t) (has - had);
    if (had > has && (bits & (bits - 1)) == 0)
        emptied(books, owner, key >> 6);
    books->absent += (had | has) ^ 1;
}

static inline void apply(struct tree_books *books, const struct record *record, struct pair *pair)
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
    if (UNLIKELY(record->update_id < book->sides[BID].of_book[UPDATE_ID])) {
        books->out_of_order++;
        return;
    }
    book->sides[BID].of_book[UPDATE_ID] = record->update_id;
    book->sides[ASK].of_book[EXCHANGE_NS] = record->exchange_ns;
    book->sides[ASK].of_book[RECEIVE_NS] = record->receive_ns;
    struct side *side = book->sides + record->kind;
    uint64_t key = key_of(record);
    update(books, side, record, key, pair);
    if (UNLIKELY(key >= side->best)) {
        if (record->quantity != 0) {
            side->best = key;
            side->best_quantity = record->quantity;
            side->best_known = 1;
        } else if (key == side->best) {
            side->best_known = 0;
            if (side->levels == 0)
                side->best = 0;
        }
    }
    if (record->flags & EVENT_END) {
        int64_t bid, ask, quantity;
        uint32_t owner = owner_of(record->symbol, BID);
        books->events++;
        int both = best(books, owner, &bid, &quantity) & best(books, owner + 1, &ask, &quantity);
        books->crossed += both && book->sides[BID].of_book[STATE] && bid >= ask;
    }
}

static inline void apply_some(struct tree_books *books, const struct record *records, ptrdiff_t count)
{
    struct pair *pairs[BATCH_MOST];
    int ahead = books->fresh > CACHED_LINES;
    for (ptrdiff_t index = 0; index < count; index++) {
        const struct record *record = records + index;
        pairs[index] = pair_of(books, owner_of(record->symbol, record->kind & 1), key_of(record) >> 6);
        if (ahead) {
            __builtin_prefetch(books->books + record->symbol);
            __builtin_prefetch((char *) (books->books + record->symbol) + 64);
            __builtin_prefetch(pairs[index]);
        }
    }
    if (ahead) {
        struct entry *entries[BATCH_MOST];
        for (ptrdiff_t index = 0; index < count; index++) {
            const struct record *record = records + index;
            entries[index] = pick(pairs[index], owner_of(record->symbol, record->kind & 1), key_of(record) >> 6);
            __builtin_prefetch(at(books, entries[index]->leaf));
        }
        for (ptrdiff_t index = 0; index < count; index++)
            if (entries[index]->leaf & SPREAD) {
                unsigned part = (key_of(records + index) & 63) / LEAF_PART;
                __builtin_prefetch(at(books, at(books, entries[index]->leaf)->parts[part]));
            }
    }
    for (ptrdiff_t index = 0; index < count; index++)
        apply(books, records + index, pairs[index]);
}

void tree_apply(struct tree_books *books, const struct record *records, ptrdiff_t count)
{
    for (ptrdiff_t done = 0; done < count; done += BATCH_MOST)
        apply_some(books, records + done, count - done < BATCH_MOST ? count - done : BATCH_MOST);
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
    char *rest = memory + symbols * sizeof(struct book), *end = memory + bytes;
    /* A pair of entries for every two lines, in a power of two, and an eighth as many graves. */
    uint64_t pairs = (uint64_t) 1 << top_bit((uint64_t) (end - rest) / sizeof(union line) / 2);
    books->directory = (struct pair *) rest;
    books->directory_mask = pairs - 1;
    rest += pairs * sizeof(struct pair);
    books->graves = (struct grave *) rest;
    books->graves_mask = pairs / 8 - 1;
    rest += pairs / 8 * sizeof(struct grave);
    books->lines = (union line *) rest;
    books->total = (uint32_t) ((uint64_t) (end - rest) / sizeof(union line));
    books->fresh = 1; /* line 0 says "none" */
    return books;
}

void tree_free(struct tree_books *books)
{
    memory_give(books->books, books->bytes);
    free(books);
}

static size_t walk(struct tree_books *books, int kind, uint32_t line, int height, uint64_t prefix, struct level *levels,
                   size_t most)
{
    size_t done = 0;
    for (uint64_t rest = at(books, line)->bits; rest && done < most;) {
        unsigned bit = top_bit(rest);
        rest ^= (uint64_t) 1 << bit;
        uint64_t key = prefix << 6 | bit;
        if (height > 0)
            done += walk(books, kind, *child_at(books, line, bit), height - 1, key, levels + done, most - done);
        else
            levels[done++] = (struct level){(int64_t) flipped(key, (unsigned) kind), *quantity_at(books, line, bit)};
    }
    return done;
}

size_t tree_levels(struct tree_books *books, uint32_t symbol, int kind, struct level *levels, size_t most)
{
    const struct side *side = books->books[symbol].sides + kind;
    return side->levels == 0 ? 0 : walk(books, kind, side->root, side->height, side->prefix, levels, most);
}

struct top tree_top(struct tree_books *books, uint32_t symbol)
{
    struct top top;
    best(books, owner_of(symbol, BID), &top.bid_price, &top.bid_quantity);
    best(books, owner_of(symbol, ASK), &top.ask_price, &top.ask_quantity);
    return top;
}
