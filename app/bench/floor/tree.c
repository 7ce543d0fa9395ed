/* The engine's own data structure as a bare C program would have it: the floor that its Cython is measured against.

   One hash table of cache lines holds the pages and nodes of all sides, found by what they are: side, height, place. A page
   (leaf) is 64 ticks: a bitmap, and up to 10 quantities of 32 bits packed behind it, or a block with a place for each tick.
   A node is a bitmap of 64 leaves or nodes. The best key is the highest one. Empty leaves stay until others need the room. */
#include "book.h"
#include "memory.h"

#include <stdlib.h>
#include <string.h>

enum {
    PACKED = 10,
    REPACK = 5,
    BLOCK = 64,
    HIGHEST = 10,
    BATCH_MOST = 64,
    CACHED_LINES = 8192, /* what a second-level cache of 2 MB holds by itself: no prefetching below it */
    SWEEP = 16,         /* lines that are looked at for an empty leaf when one is added to a table that fills up */
};

struct line {
    uint64_t key; /* of its first tick; a node's height in the six bits that are 0 */
    uint64_t bits;
    uint32_t owner; /* side of a symbol + 1; 0: the line is free */
    uint32_t block; /* 64 quantities, one for each tick; 0: the leaf is packed */
    uint32_t packed[PACKED]; /* quantities in order */
};
_Static_assert(sizeof(struct line) == 64, "a line is a cache line");

/* What an update needs of its book: one cache line. */
struct book {
    _Alignas(64) uint64_t update_id;
    uint64_t exchange_ns, receive_ns;
    uint64_t best[2]; /* 0: none */
    uint32_t levels[2];
    uint8_t live, watch; /* watch: a best price changed, or the book is crossed */
};
_Static_assert(sizeof(struct book) == 64, "a book is a cache line");

struct side {
    uint64_t prefix; /* of all keys, above the tree's bits */
    int64_t best_quantity;
    int height; /* -1: no leaf */
};

struct tree_books {
    struct book *books;
    struct side *sides;
    struct line *table;
    int64_t *blocks;
    uint64_t lines, used, swept;
    uint32_t free_block, fresh_block, total_blocks;
    uint32_t symbols;
    uint64_t events, out_of_order, unknown, crossed, absent;
    size_t bytes;
};

static inline unsigned top_bit(uint64_t bits) { return 63 - (unsigned) __builtin_clzll(bits); }
static inline uint64_t above(uint64_t key, int height) { return height < HIGHEST ? key >> (6 * (height + 1)) : 0; }
static inline unsigned digit(uint64_t key, int height) { return key >> (6 * height) & 63; }
static inline uint64_t tag(uint64_t key, int height) { return above(key, height) << 6 | (unsigned) height; }
static inline uint64_t below(unsigned bit) { return ((uint64_t) 1 << bit) - 1; }
/* Between a price and its key, either way: the highest key of a side is its best. */
static inline uint64_t flipped(uint64_t value, unsigned kind)
{
    return value ^ ((uint64_t) INT64_MIN ^ (0 - (uint64_t) (kind & 1)));
}
static inline uint64_t key_of(const struct record *record) { return flipped((uint64_t) record->price, record->kind); }
static inline uint32_t owner_of(uint32_t symbol, unsigned kind) { return symbol * 2 + kind + 1; }

static inline int count_ones(uint64_t bits) { return __builtin_popcountll(bits); }
static inline int rank(uint64_t bits, unsigned bit) { return count_ones(bits & below(bit)); }
static inline int64_t *block_at(struct tree_books *books, uint32_t block) { return books->blocks + (size_t) block * BLOCK; }
static inline void block_give(struct tree_books *books, uint32_t block)
{
    block_at(books, block)[0] = books->free_block;
    books->free_block = block;
}

static inline struct line *home(struct tree_books *books, uint32_t owner, uint64_t key)
{
    uint64_t hash = (key + owner * 0xD6E8FEB86659FD93u) * 0x9E3779B97F4A7C15u;
    return books->table + (uint64_t) (((unsigned __int128) hash * books->lines) >> 64);
}

static inline int is(const struct line *line, uint32_t owner, uint64_t key)
{
    return ((line->key ^ key) | (line->owner ^ owner)) == 0;
}

static inline struct line *next_line(struct tree_books *books, struct line *line)
{
    return ++line == books->table + books->lines ? books->table : line;
}

static inline struct line *find(struct tree_books *books, uint32_t owner, uint64_t key)
{
    struct line *line = home(books, owner, key);
    while (UNLIKELY(!is(line, owner, key))) {
        if (line->owner == 0)
            return NULL;
        line = next_line(books, line);
    }
    return line;
}

static struct line *add(struct tree_books *books, uint32_t owner, uint64_t key)
{
    struct line *line = home(books, owner, key);
    while (line->owner != 0)
        line = next_line(books, line);
    if (UNLIKELY(++books->used == books->lines))
        abort();
    *line = (struct line){.key = key, .owner = owner};
    return line;
}

/* Free a line, and move those behind it that couldn't get nearer to their homes because of it. */
static void drop(struct tree_books *books, struct line *hole)
{
    if (hole->block != 0)
        block_give(books, hole->block);
    books->used--;
    for (struct line *line = next_line(books, hole); line->owner != 0; line = next_line(books, line)) {
        struct line *wanted = home(books, line->owner, line->key);
        if (hole <= line ? wanted > hole && wanted <= line : wanted > hole || wanted <= line)
            continue;
        *hole = *line;
        hole = line;
    }
    hole->owner = 0;
}

static inline int64_t quantity_at(struct tree_books *books, const struct line *leaf, unsigned bit)
{
    return leaf->block ? block_at(books, leaf->block)[bit] : leaf->packed[rank(leaf->bits, bit)];
}

static __attribute__((noinline)) void spread(struct tree_books *books, struct line *leaf)
{
    uint32_t block = books->free_block;
    if (block != 0)
        books->free_block = (uint32_t) block_at(books, block)[0];
    else if (UNLIKELY((block = books->fresh_block++) == books->total_blocks))
        abort();
    int64_t *quantities = block_at(books, block);
    memset(quantities, 0, BLOCK * sizeof *quantities);
    uint32_t *packed = leaf->packed;
    for (uint64_t rest = leaf->bits; rest; rest &= rest - 1)
        quantities[__builtin_ctzll(rest)] = *packed++;
    leaf->block = block;
}

/* Unless a quantity is too large for that. */
static __attribute__((noinline)) void pack(struct tree_books *books, struct line *leaf)
{
    int64_t *quantities = block_at(books, leaf->block), all = 0;
    uint32_t *packed = leaf->packed;
    for (uint64_t rest = leaf->bits; rest; rest &= rest - 1)
        all |= quantities[__builtin_ctzll(rest)];
    if (all >> 32)
        return;
    for (uint64_t rest = leaf->bits; rest; rest &= rest - 1)
        *packed++ = (uint32_t) quantities[__builtin_ctzll(rest)];
    block_give(books, leaf->block);
    leaf->block = 0;
}

/* Take a line that holds nothing out of its tree, and the nodes that then hold nothing. */
static void prune(struct tree_books *books, struct line *line)
{
    uint32_t owner = line->owner;
    struct side *side = books->sides + owner;
    uint64_t key = line->key;
    drop(books, line);
    for (int height = 1; height <= side->height; height++) {
        line = find(books, owner, tag(key, height));
        line->bits ^= (uint64_t) 1 << digit(key, height);
        if (line->bits != 0)
            return;
        drop(books, line);
    }
    side->height = -1;
}

/* A leaf that isn't there yet. */
static struct line *plant(struct tree_books *books, uint32_t owner, uint64_t key)
{
    struct side *side = books->sides + owner;
    if (books->used > books->lines / 2)
        for (int looked = 0; looked < SWEEP; looked++) {
            struct line *line = books->table + books->swept;
            if (line->owner != 0 && line->bits == 0)
                prune(books, line);
            else if (++books->swept == books->lines)
                books->swept = 0;
        }
    if (side->height < 0) {
        side->height = 0;
        side->prefix = above(key, 0);
    }
    while (above(key, side->height) != side->prefix) {
        struct line *root = add(books, owner, side->prefix >> 6 << 6 | (unsigned) (side->height + 1));
        root->bits = (uint64_t) 1 << (side->prefix & 63);
        side->prefix >>= 6;
        side->height++;
    }
    for (int height = 1; height <= side->height; height++) {
        struct line *node = find(books, owner, tag(key, height));
        uint64_t had = 0;
        if (node == NULL)
            node = add(books, owner, tag(key, height));
        else
            had = 1;
        node->bits |= (uint64_t) 1 << digit(key, height);
        if (had)
            break;
    }
    return add(books, owner, tag(key, 0));
}

/* The highest key of a tree, or the highest below `key`, which is not above the tree; whether there is one. */
static int highest(struct tree_books *books, uint32_t owner, uint64_t *key, int64_t *quantity, int from_top)
{
    struct side *side = books->sides + owner;
    struct line *line;
again:
    if (side->height < 0)
        return 0;
    int height = 0;
    uint64_t found = 0, bits = 0;
    if (from_top) {
        height = side->height;
        line = find(books, owner, side->prefix << 6 | (unsigned) height);
        bits = line->bits;
        found = side->prefix;
    } else {
        for (;; height++) {
            if (height > side->height)
                return 0;
            line = find(books, owner, tag(*key, height));
            bits = line == NULL ? 0 : line->bits & below(digit(*key, height));
            if (bits != 0)
                break;
        }
        found = above(*key, height);
    }
    while (height > 0) {
        found = found << 6 | top_bit(bits);
        height--;
        line = find(books, owner, found << 6 | (unsigned) height);
        bits = line->bits;
    }
    if (bits == 0) { /* empty since a while */
        prune(books, line);
        goto again;
    }
    *key = found << 6 | top_bit(bits);
    *quantity = quantity_at(books, line, top_bit(bits));
    return 1;
}

static void free_all(struct tree_books *books, uint32_t owner, uint64_t prefix, int height)
{
    struct line *line = find(books, owner, prefix << 6 | (unsigned) height);
    uint64_t bits = height > 0 ? line->bits : 0;
    drop(books, line);
    for (; bits; bits &= bits - 1)
        free_all(books, owner, prefix << 6 | (unsigned) __builtin_ctzll(bits), height - 1);
}

static void clear(struct tree_books *books, uint32_t owner)
{
    struct side *side = books->sides + owner;
    if (side->height >= 0)
        free_all(books, owner, side->prefix, side->height);
    side->height = -1;
}

static __attribute__((noinline)) void control(struct tree_books *books, struct book *book, const struct record *record)
{
    if (record->kind == CLEAR) {
        for (unsigned kind = 0; kind < 2; kind++) {
            clear(books, owner_of(record->symbol, kind));
            book->levels[kind] = 0;
            book->best[kind] = 0;
        }
        book->update_id = record->update_id;
    }
    book->live = record->kind == LIVE;
}

/* An update at or above the best. */
static __attribute__((noinline)) void at_best(struct tree_books *books, struct book *book, const struct record *record,
                                              uint64_t key)
{
    uint32_t owner = owner_of(record->symbol, record->kind);
    struct side *side = books->sides + owner;
    book->watch = 1;
    if (record->quantity != 0) {
        book->best[record->kind] = key;
        side->best_quantity = record->quantity;
    } else if (key == book->best[record->kind]) {
        side->best_quantity = 0;
        book->best[record->kind] = 0;
        if (book->levels[record->kind] == 0)
            clear(books, owner);
        else if (highest(books, owner, &key, &side->best_quantity, 0))
            book->best[record->kind] = key;
    }
}

static __attribute__((noinline)) void event_end(struct tree_books *books, struct book *book)
{
    int crossed = book->live && book->levels[BID] && book->levels[ASK]
                  && (int64_t) flipped(book->best[BID], BID) >= (int64_t) flipped(book->best[ASK], ASK);
    books->crossed += (unsigned) crossed;
    book->watch = (uint8_t) crossed;
}

typedef int32_t lanes __attribute__((vector_size(64), may_alias));
typedef int64_t wide __attribute__((vector_size(64), may_alias));

/* One level of a packed leaf appears, changes or goes, without a branch: lanes 2 and 3 are the bitmap, 6 the first quantity. */
static inline void write_packed(struct line *line, int place, int had, int has, uint64_t bits, uint32_t quantity)
{
    const lanes lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const wide second = {0, -1, 0, 0, 0, 0, 0, 0};
    lanes old = *(lanes *) line;
    lanes up = __builtin_shufflevector(old, old, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
    lanes down = __builtin_shufflevector(old, old, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15);
    lanes grows = (lanes){} - (has & ~had), shrinks = (lanes){} - (had & ~has);
    lanes moved = (up & grows) | (down & shrinks) | (old & ~(grows | shrinks));
    lanes below = lane < place, here = (lane == place) & -has;
    lanes now = (old & below) | (moved & ~below);
    now = (now & ~here) | ((int32_t) quantity & here);
    *(wide *) line = ((wide) now & ~second) | ((int64_t) bits & second);
}

/* An update that changes the form of a leaf, or has none yet. */
static __attribute__((noinline)) void reshape(struct tree_books *books, struct book *book, const struct record *record,
                                              uint64_t key, struct line *leaf)
{
    unsigned bit = key & 63;
    uint64_t has = record->quantity != 0, had = leaf != NULL ? leaf->bits >> bit & 1 : 0;
    book->levels[record->kind] += (uint32_t) (has - had);
    books->absent += (had | has) ^ 1;
    if (!(had | has))
        return;
    if (leaf == NULL)
        leaf = plant(books, owner_of(record->symbol, record->kind), key);
    if (leaf->block == 0 && (record->quantity >> 32 || has > had))
        if (record->quantity >> 32 || count_ones(leaf->bits) == PACKED)
            spread(books, leaf);
    uint64_t bits = (leaf->bits & ~((uint64_t) 1 << bit)) | has << bit;
    if (leaf->block) {
        leaf->bits = bits;
        block_at(books, leaf->block)[bit] = record->quantity;
        if (count_ones(bits) == REPACK)
            pack(books, leaf);
    } else {
        write_packed(leaf, 6 + rank(leaf->bits, bit), (int) had, (int) has, bits, (uint32_t) record->quantity);
    }
}

static inline void apply(struct tree_books *books, const struct record *record, struct line *leaf)
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
    uint64_t key = key_of(record), bit = key & 63, page = key & ~(uint64_t) 63;
    uint32_t owner = owner_of(record->symbol, record->kind);
    if (UNLIKELY(!is(leaf, owner, page)))
        leaf = find(books, owner, page);
    if (UNLIKELY(leaf == NULL)) {
        reshape(books, book, record, key, NULL);
    } else {
        uint64_t bits = leaf->bits, had = bits >> bit & 1, has = record->quantity != 0;
        uint64_t after = (bits & ~((uint64_t) 1 << bit)) | has << bit;
        int held = count_ones(bits);
        if (leaf->block) {
            if (UNLIKELY(had > has && held == REPACK + 1)) {
                reshape(books, book, record, key, leaf);
                goto done;
            }
            leaf->bits = after;
            block_at(books, leaf->block)[bit] = record->quantity;
        } else {
            if (UNLIKELY(((had < has) & (held == PACKED)) | (record->quantity >> 32 != 0))) {
                reshape(books, book, record, key, leaf);
                goto done;
            }
            write_packed(leaf, 6 + rank(bits, (unsigned) bit), (int) had, (int) has, after, (uint32_t) record->quantity);
        }
        book->levels[record->kind] += (uint32_t) (has - had);
        books->absent += (had | has) ^ 1;
    }
done:
    if (UNLIKELY(key >= book->best[record->kind]))
        at_best(books, book, record, key);
    books->events += record->flags & EVENT_END;
    if (UNLIKELY(record->flags & book->watch & EVENT_END))
        event_end(books, book);
}

static inline void apply_some(struct tree_books *books, const struct record *records, ptrdiff_t count)
{
    struct line *lines[BATCH_MOST];
    int ahead = books->used > CACHED_LINES;
    for (ptrdiff_t index = 0; index < count; index++) {
        const struct record *record = records + index;
        lines[index] = home(books, owner_of(record->symbol, record->kind & 1), key_of(record) & ~(uint64_t) 63);
        __builtin_prefetch(lines[index], 1);
        if (ahead)
            __builtin_prefetch(books->books + record->symbol, 1);
    }
    if (ahead)
        for (ptrdiff_t index = 0; index < count; index++) {
            const struct record *record = records + index;
            uint32_t owner = owner_of(record->symbol, record->kind & 1);
            uint64_t key = key_of(record) & ~(uint64_t) 63;
            while (UNLIKELY(!is(lines[index], owner, key)) && lines[index]->owner != 0)
                lines[index] = next_line(books, lines[index]);
            __builtin_prefetch(lines[index]->block ? (void *) &block_at(books, lines[index]->block)[key_of(record) & 63] : (void *) lines[index], 1);
        }
    for (ptrdiff_t index = 0; index < count; index++)
        apply(books, records + index, lines[index]);
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
    books->sides = (struct side *) (memory + symbols * sizeof(struct book));
    char *rest = memory + symbols * sizeof(struct book) + (((2 * symbols + 1) * sizeof(struct side) + 63) & ~(size_t) 63);
    books->lines = (uint64_t) (memory + bytes - rest) / 4 * 3 / sizeof(struct line);
    books->table = (struct line *) rest;
    books->blocks = (int64_t *) (books->table + books->lines);
    books->fresh_block = 1;
    books->total_blocks = (uint32_t) ((uint64_t) (memory + bytes - (char *) books->blocks) / (BLOCK * sizeof(int64_t)));
    for (uint32_t side = 0; side <= 2 * symbols; side++)
        books->sides[side].height = -1;
    return books;
}

void tree_free(struct tree_books *books)
{
    memory_give(books->books, books->bytes);
    free(books);
}

size_t tree_levels(struct tree_books *books, uint32_t symbol, int kind, struct level *levels, size_t most)
{
    size_t done = 0;
    uint64_t key = 0;
    int64_t quantity;
    while (done < most && highest(books, owner_of(symbol, (unsigned) kind), &key, &quantity, done == 0))
        levels[done++] = (struct level){(int64_t) flipped(key, (unsigned) kind), quantity};
    return done;
}

struct top tree_top(struct tree_books *books, uint32_t symbol)
{
    const struct book *book = books->books + symbol;
    const struct side *sides = books->sides + owner_of(symbol, BID);
    struct top top = {0, 0, 0, 0};
    if (book->levels[BID])
        top.bid_price = (int64_t) flipped(book->best[BID], BID), top.bid_quantity = sides[BID].best_quantity;
    if (book->levels[ASK])
        top.ask_price = (int64_t) flipped(book->best[ASK], ASK), top.ask_quantity = sides[ASK].best_quantity;
    return top;
}
