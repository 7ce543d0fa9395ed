"""Order books of all symbols in one arena.

A side is a radix tree over the price, six bits a level, in which every object is one cache line. A leaf covers a page
of 64 ticks, an inner node 64 leaves or nodes; both begin with a bitmap of what they hold. Real books are sparse away
from the touch (1.4 levels a page on Binance spot BTCUSDT, 6 on USD-M ETHUSDT), so a line is *packed* while it can be: a
leaf of up to 7 levels, a node of up to 14 children, in order behind the bitmap, found by counting ones below the bit.
Beyond that it is *spread*: the line then refers to parts, lines that are indexed directly (8 levels or 16 children).

Keys are prices mapped so that unsigned order is the order of preference, hence the best level is the highest key and is
found by counting leading zeros on the way down. The tree grows at the root when a price lies outside, up to the whole
64 bits, and lines go back to the common pool with their last level: no price is out of range, none is approximated.

An update of a page that was touched before doesn't walk down the tree: the *directory*, a table of all books, has the
leaf's reference. The tree is walked for what changes its shape, out of line, and for the best price.
"""

from enum import IntEnum

from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memmove, memset

from wirebook.core.memory cimport Arena
from wirebook.core.records cimport (
    ASK, BID, CLEAR, DEFINE, EVENT_END, HEARTBEAT, LIVE, POOL_EXHAUSTED, RESYNC, SNAPSHOT, STALE, SYMBOLS, Batch,
    Record, unlikely,
)
from wirebook.core.ring cimport RING_SLOT
from wirebook.errors import UserError

cdef extern from *:
    """
    /* A packed leaf after an update of one level, without a branch that traffic could make the CPU mispredict. Lane 0
       is the bitmap, quantities follow. `place` is the level's lane; `had` and `has` say if it was and will be there.
       Two shuffles and a choice, not a load one place off: that would touch the line beside this one. */
    typedef long long wb_lanes __attribute__((vector_size(64), may_alias));
    static inline void wb_leaf_write(void *line, long long place, long long had, long long has, long long bits,
                                     long long quantity)
    {
        const wb_lanes lane = {0, 1, 2, 3, 4, 5, 6, 7};
        const wb_lanes old = *(const wb_lanes *) line;
        const wb_lanes up = __builtin_shufflevector(old, old, 0, 0, 1, 2, 3, 4, 5, 6);
        const wb_lanes down = __builtin_shufflevector(old, old, 1, 2, 3, 4, 5, 6, 7, 7);
        const wb_lanes grows = (wb_lanes) {} - (has & ~had), shrinks = (wb_lanes) {} - (had & ~has);
        const wb_lanes below = lane < place, at = (lane == place) & -has, first = lane == 0;
        const wb_lanes moved = (up & grows) | (down & shrinks) | (old & ~(grows | shrinks));
        wb_lanes now = (old & below) | (moved & ~below);
        now = (now & ~at) | (quantity & at);
        *(wb_lanes *) line = (now & ~first) | (bits & first);
    }
    """
    void leaf_write "wb_leaf_write"(void* line, int64_t place, int64_t had, int64_t has, int64_t bits,
                                    int64_t quantity) nogil
    int popcount "__builtin_popcountll"(uint64_t bits) nogil
    int leading_zeros "__builtin_clzll"(uint64_t bits) nogil
    void prefetch "__builtin_prefetch"(const void* address) nogil

cdef enum:
    LINE = 64
    LEAF_PACKED = 7      # quantities beside the bitmap in a line
    NODE_PACKED = 14     # references beside the bitmap in a line
    LEAF_REPACK = 4      # a spread line is packed again well below the limit, not at it: levels flicker
    NODE_REPACK = 10
    PART_LEVELS = 8
    PART_CHILDREN = 16
    HEIGHT_MAX = 10      # 6 * 11 bits hold any 64-bit key
    # More than one update can take: 10 nodes grown at the root, 10 down to a new leaf, one spread node or leaf on the
    # way. Checked once per level, so that no step below it can fail half-way.
    RESERVE = 64
    PREFETCH_LINES = 32768  # up to here books stay in a second-level cache of 2 MB by themselves
    BATCH = 16           # of those who apply more at a time
    AHEAD = 8            # graves between asking for a directory's line and its use
    LINES_MIN = 64       # a symbol: some 50 levels a side, below which a book is not worth starting

# As a constant of an enum it would not fit an int.
cdef uint32_t SPREAD = 1u << 31


class State(IntEnum):
    """What a book may be used for: only a LIVE one is the venue's book."""

    EMPTY = STATE_EMPTY
    STALE = STATE_STALE
    LIVE = STATE_LIVE


# ---- lines ----------------------------------------------------------------------------------------------------------

cdef inline uint64_t* line_at(Pool* pool, uint32_t reference) noexcept nogil:
    return <uint64_t*> (pool.lines + (<size_t> (reference & ~SPREAD)) * LINE)


cdef inline uint32_t line_take(Pool* pool) noexcept nogil:
    """A line with an empty bitmap; RESERVE says that there is one."""
    cdef uint32_t reference = pool.free_line
    cdef uint64_t* line
    if reference != 0:
        line = line_at(pool, reference)
        pool.free_line = <uint32_t> line[0]
        pool.free_lines -= 1
    else:
        reference = pool.fresh
        pool.fresh += 1
        line = line_at(pool, reference)
    line[0] = 0
    return reference


cdef inline void line_give(Pool* pool, uint32_t reference) noexcept nogil:
    reference &= ~SPREAD
    line_at(pool, reference)[0] = pool.free_line
    pool.free_line = reference
    pool.free_lines += 1


cdef inline bint pool_dry(Pool* pool) noexcept nogil:
    return pool.free_lines + (pool.total - pool.fresh) < RESERVE


cdef inline int rank(uint64_t bits, unsigned bit) noexcept nogil:
    """How many entries a packed line holds below `bit`."""
    return popcount(bits & ((<uint64_t> 1 << bit) - 1))


cdef inline int highest(uint64_t bits) noexcept nogil:
    return 63 - leading_zeros(bits)


cdef inline uint32_t* parts_of(uint64_t* line) noexcept nogil:
    return <uint32_t*> (line + 1)


cdef inline uint32_t* child(Pool* pool, uint32_t reference, uint64_t* line, unsigned bit) noexcept nogil:
    """Where the node at `line` keeps its child of `bit`, which it has."""
    if reference & SPREAD:
        return <uint32_t*> line_at(pool, parts_of(line)[bit // PART_CHILDREN]) + bit % PART_CHILDREN
    return parts_of(line) + rank(line[0], bit)


cdef inline int64_t* level(Pool* pool, uint32_t reference, uint64_t* line, unsigned bit) noexcept nogil:
    """Where the leaf at `line` keeps its quantity of `bit`, which it has."""
    if reference & SPREAD:
        return <int64_t*> line_at(pool, parts_of(line)[bit // PART_LEVELS]) + bit % PART_LEVELS
    return <int64_t*> line + 1 + rank(line[0], bit)


# ---- the directory --------------------------------------------------------------------------------------------------

cdef inline uint64_t record_key(const Record* record) noexcept nogil:
    # As side_key(), but without the book's header, whose line may still be on its way.
    return <uint64_t> record.price ^ (<uint64_t> INT64_MIN ^ (0 - <uint64_t> (record.kind & 1)))


cdef inline uint32_t owner_of(uint32_t symbol, uint32_t kind) noexcept nogil:
    return symbol * 2 + (kind & 1) + 1  # 0 says "nobody's"


cdef inline uint32_t owner_of_side(BookSet* books, Side* side) noexcept nogil:
    return <uint32_t> ((<char*> side - <char*> books.books) // LINE) + 1  # a book is two lines, a side in each


cdef inline Pair* directory_pair(BookSet* books, uint32_t owner, uint64_t page) noexcept nogil:
    # Pages that are neighbours have neighbouring pairs; the sides' starts are spread by the golden ratio.
    return books.directory + ((page + <uint64_t> owner * <uint64_t> 0x9E3779B1u) & books.directory_mask)


cdef inline Entry* directory_find(Pair* pair, uint32_t owner, uint64_t page) noexcept nogil:
    """The page's entry, or the one of the pair that certainly isn't."""
    cdef bint other = ((pair.entries[0].page ^ page) | (pair.entries[0].owner ^ owner)) != 0
    return &pair.entries[<int> other]


cdef void directory_forget(BookSet* books, uint32_t owner, uint64_t page) noexcept nogil:
    cdef Entry* entry = directory_find(directory_pair(books, owner, page), owner, page)
    if entry.page == page and entry.owner == owner:
        entry.owner = 0


cdef void directory_learn(BookSet* books, uint32_t owner, uint64_t page, uint32_t leaf) noexcept nogil:
    cdef Pair* pair = directory_pair(books, owner, page)
    directory_forget(books, owner, page)
    if pair.entries[0].owner != 0:
        pair.entries[1] = pair.entries[0]
    pair.entries[0].page = page
    pair.entries[0].owner = owner
    pair.entries[0].leaf = leaf


# ---- spreading and packing: rare, out of line -----------------------------------------------------------------------

cdef void leaf_spread(Pool* pool, uint32_t* slot) noexcept nogil:
    cdef uint64_t* line = line_at(pool, slot[0])
    cdef int64_t packed[LEAF_PACKED]
    cdef uint64_t bits = line[0], rest = line[0]
    cdef int index = popcount(bits), bit
    memcpy(packed, line + 1, sizeof(packed))
    memset(line + 1, 0, LINE - sizeof(uint64_t))
    slot[0] |= SPREAD
    while rest:
        bit = highest(rest)
        rest ^= <uint64_t> 1 << bit
        index -= 1
        if parts_of(line)[bit // PART_LEVELS] == 0:
            parts_of(line)[bit // PART_LEVELS] = line_take(pool)
        level(pool, slot[0], line, bit)[0] = packed[index]


cdef void leaf_pack(Pool* pool, uint32_t* slot) noexcept nogil:
    cdef uint64_t* line = line_at(pool, slot[0])
    cdef int64_t packed[LEAF_PACKED]
    cdef uint64_t rest = line[0]
    cdef int index = popcount(rest), bit, part
    while rest:
        bit = highest(rest)
        rest ^= <uint64_t> 1 << bit
        index -= 1
        packed[index] = level(pool, slot[0], line, bit)[0]
    for part in range(64 // PART_LEVELS):
        if parts_of(line)[part] != 0:
            line_give(pool, parts_of(line)[part])
    memcpy(line + 1, packed, LEAF_REPACK * sizeof(int64_t))
    slot[0] &= ~SPREAD


cdef void node_spread(Pool* pool, uint32_t* slot) noexcept nogil:
    cdef uint64_t* line = line_at(pool, slot[0])
    cdef uint32_t packed[NODE_PACKED]
    cdef uint64_t rest = line[0]
    cdef int index = popcount(rest), bit
    memcpy(packed, line + 1, sizeof(packed))
    memset(line + 1, 0, LINE - sizeof(uint64_t))
    slot[0] |= SPREAD
    while rest:
        bit = highest(rest)
        rest ^= <uint64_t> 1 << bit
        index -= 1
        if parts_of(line)[bit // PART_CHILDREN] == 0:
            parts_of(line)[bit // PART_CHILDREN] = line_take(pool)
        child(pool, slot[0], line, bit)[0] = packed[index]


cdef void node_pack(Pool* pool, uint32_t* slot) noexcept nogil:
    cdef uint64_t* line = line_at(pool, slot[0])
    cdef uint32_t packed[NODE_PACKED]
    cdef uint64_t rest = line[0]
    cdef int index = popcount(rest), bit, part
    while rest:
        bit = highest(rest)
        rest ^= <uint64_t> 1 << bit
        index -= 1
        packed[index] = child(pool, slot[0], line, bit)[0]
    for part in range(64 // PART_CHILDREN):
        if parts_of(line)[part] != 0:
            line_give(pool, parts_of(line)[part])
    memcpy(line + 1, packed, NODE_REPACK * sizeof(uint32_t))
    slot[0] &= ~SPREAD


# ---- trees ----------------------------------------------------------------------------------------------------------

cdef inline uint64_t above(uint64_t key, int height) noexcept nogil:
    """What a tree of this height has in common in all its keys."""
    return key >> (6 * (height + 1)) if height < HEIGHT_MAX else 0


cdef inline int64_t price_of(Side* side, uint64_t key) noexcept nogil:
    return <int64_t> (key ^ (<uint64_t> INT64_MIN ^ (0 - <uint64_t> side.flip)))


cdef void tree_grow(Pool* pool, Side* side, uint64_t key) noexcept nogil:
    """Put nodes above the root until the tree covers `key`."""
    cdef uint32_t reference
    cdef uint64_t* line
    while above(key, side.height) != side.prefix:
        reference = line_take(pool)
        line = line_at(pool, reference)
        line[0] = <uint64_t> 1 << (side.prefix & 63)
        parts_of(line)[0] = side.root
        side.root = reference
        side.prefix >>= 6
        side.height += 1


cdef uint32_t* node_add(Pool* pool, uint32_t* slot, unsigned bit) noexcept nogil:
    """Give the node in `slot` a child of `bit`, an empty line; returns where the child's reference is."""
    cdef uint64_t* line = line_at(pool, slot[0])
    cdef uint32_t* place
    cdef int held = popcount(line[0]), below
    if unlikely(held == NODE_PACKED and not slot[0] & SPREAD):
        node_spread(pool, slot)
    if slot[0] & SPREAD:
        if parts_of(line)[bit // PART_CHILDREN] == 0:
            parts_of(line)[bit // PART_CHILDREN] = line_take(pool)
        line[0] |= <uint64_t> 1 << bit
        place = child(pool, slot[0], line, bit)
    else:
        below = rank(line[0], bit)
        place = parts_of(line) + below
        memmove(place + 1, place, (held - below) * sizeof(uint32_t))
        line[0] |= <uint64_t> 1 << bit
    place[0] = line_take(pool)
    return place


cdef inline void leaf_add(Pool* pool, uint32_t* slot, unsigned bit, int64_t quantity) noexcept nogil:
    cdef uint64_t* line = line_at(pool, slot[0])
    cdef int64_t* place
    cdef int held = popcount(line[0]), below, index
    if unlikely(held == LEAF_PACKED and not slot[0] & SPREAD):
        leaf_spread(pool, slot)
    if slot[0] & SPREAD:
        if unlikely(parts_of(line)[bit // PART_LEVELS] == 0):
            parts_of(line)[bit // PART_LEVELS] = line_take(pool)
        line[0] |= <uint64_t> 1 << bit
        level(pool, slot[0], line, bit)[0] = quantity
        return
    below = rank(line[0], bit)
    place = <int64_t*> line + 1
    for index in range(held, below, -1):
        place[index] = place[index - 1]
    place[below] = quantity
    line[0] |= <uint64_t> 1 << bit


cdef uint32_t tree_set(BookSet* books, Side* side, uint64_t key, int64_t quantity) noexcept nogil:
    """Set a level; returns its leaf. The pool has at least RESERVE lines, or the level is there already."""
    cdef Pool* pool = &books.pool
    cdef uint32_t* slot = &side.root
    cdef uint64_t* line
    cdef int height
    cdef unsigned bit
    if unlikely(side.root == 0):
        side.root = line_take(pool)
        side.height = 0
        side.prefix = above(key, 0)
    elif unlikely(above(key, side.height) != side.prefix):
        tree_grow(pool, side, key)
    height = side.height
    while height > 0:
        line = line_at(pool, slot[0])
        bit = (key >> (6 * height)) & 63
        if line[0] >> bit & 1:
            slot = child(pool, slot[0], line, bit)
        else:
            slot = node_add(pool, slot, bit)
        height -= 1
    line = line_at(pool, slot[0])
    bit = key & 63
    if line[0] >> bit & 1:
        level(pool, slot[0], line, bit)[0] = quantity
        return slot[0]
    leaf_add(pool, slot, bit, quantity)
    side.levels += 1
    return slot[0]


cdef void node_remove(Pool* pool, Side* side, uint32_t** path, uint64_t key) noexcept nogil:
    """The leaf of `key` is gone: take it, and nodes that become empty by it, out of the nodes above."""
    cdef uint32_t* slot
    cdef uint64_t* line
    cdef uint32_t reference
    cdef int height = 1, held, below
    cdef unsigned bit
    while height <= side.height:
        slot = path[height]
        line = line_at(pool, slot[0])
        bit = (key >> (6 * height)) & 63
        if slot[0] & SPREAD:
            line[0] ^= <uint64_t> 1 << bit
            if not line[0] >> (bit // PART_CHILDREN * PART_CHILDREN) & 0xFFFF:
                line_give(pool, parts_of(line)[bit // PART_CHILDREN])
                parts_of(line)[bit // PART_CHILDREN] = 0
            if popcount(line[0]) <= NODE_REPACK:
                node_pack(pool, slot)
            break
        held = popcount(line[0])
        below = rank(line[0], bit)
        memmove(parts_of(line) + below, parts_of(line) + below + 1, (held - below - 1) * sizeof(uint32_t))
        line[0] ^= <uint64_t> 1 << bit
        if line[0]:
            break
        line_give(pool, slot[0])
        height += 1
    # A root with one child is a detour that a far price once made necessary.
    while side.height > 0:
        reference = side.root
        line = line_at(pool, reference)
        if reference & SPREAD or line[0] & (line[0] - 1):
            break
        side.prefix = side.prefix << 6 | <uint64_t> highest(line[0])
        side.root = parts_of(line)[0]
        side.height -= 1
        line_give(pool, reference)


cdef bint tree_has(BookSet* books, Side* side, uint64_t key) noexcept nogil:
    cdef uint32_t reference = side.root
    cdef uint64_t* line
    cdef int height = side.height
    if side.root == 0 or above(key, height) != side.prefix:
        return False
    line = line_at(&books.pool, reference)
    while height > 0 and line[0] >> ((key >> (6 * height)) & 63) & 1:
        reference = child(&books.pool, reference, line, (key >> (6 * height)) & 63)[0]
        line = line_at(&books.pool, reference)
        height -= 1
    return height == 0 and line[0] >> (key & 63) & 1


cdef bint tree_remove(BookSet* books, Side* side, uint64_t key, uint32_t* leaf) noexcept nogil:
    """Remove a level; False when there is none, which is normal in an exchange's feed. `leaf` is where it was, or 0."""
    cdef Pool* pool = &books.pool
    cdef uint32_t* slot = &side.root
    cdef uint64_t* line
    cdef int64_t* place
    cdef int height = side.height, held, index
    cdef unsigned bit
    leaf[0] = 0
    if side.root == 0 or above(key, height) != side.prefix:
        return False
    while height > 0:
        line = line_at(pool, slot[0])
        bit = (key >> (6 * height)) & 63
        if not line[0] >> bit & 1:
            return False
        slot = child(pool, slot[0], line, bit)
        height -= 1
    line = line_at(pool, slot[0])
    bit = key & 63
    leaf[0] = slot[0]
    if not line[0] >> bit & 1:
        return False
    side.levels -= 1
    if slot[0] & SPREAD:
        line[0] ^= <uint64_t> 1 << bit
        if popcount(line[0]) <= LEAF_REPACK:
            leaf_pack(pool, slot)
            leaf[0] = slot[0]
        return True
    held = popcount(line[0])
    place = <int64_t*> line + 1
    for index in range(rank(line[0], bit), held - 1):
        place[index] = place[index + 1]
    line[0] ^= <uint64_t> 1 << bit
    return True


cdef void tree_prune(BookSet* books, Side* side, uint64_t page) noexcept nogil:
    """Take the leaf of `page` out of the tree, if there is one and it's empty. The side has levels elsewhere."""
    cdef Pool* pool = &books.pool
    cdef uint32_t* path[HEIGHT_MAX + 1]
    cdef uint32_t* slot = &side.root
    cdef uint64_t* line
    cdef uint64_t key = page << 6
    cdef int height = side.height
    cdef unsigned bit
    if side.root == 0 or above(key, height) != side.prefix:
        return
    while height > 0:
        path[height] = slot
        line = line_at(pool, slot[0])
        bit = (key >> (6 * height)) & 63
        if not line[0] >> bit & 1:
            return
        slot = child(pool, slot[0], line, bit)
        height -= 1
    if line_at(pool, slot[0])[0] != 0:
        return
    directory_forget(books, owner_of_side(books, side), page)
    line_give(pool, slot[0])
    node_remove(pool, side, path, key)


cdef void tree_free(BookSet* books, uint32_t owner, uint32_t reference, int height, uint64_t prefix) noexcept nogil:
    cdef Pool* pool = &books.pool
    cdef uint64_t* line = line_at(pool, reference)
    cdef uint64_t rest = line[0] if height > 0 else 0
    cdef int bit, part
    while rest:
        bit = highest(rest)
        rest ^= <uint64_t> 1 << bit
        tree_free(books, owner, child(pool, reference, line, bit)[0], height - 1, prefix << 6 | <uint64_t> bit)
    if height == 0:
        directory_forget(books, owner, prefix)
    if reference & SPREAD:
        for part in range(64 // (PART_CHILDREN if height > 0 else PART_LEVELS)):
            if parts_of(line)[part] != 0:
                line_give(pool, parts_of(line)[part])
    line_give(pool, reference)


# ---- empty leaves ---------------------------------------------------------------------------------------------------
# Traffic removes a page's last level and sets it again soon after. So an empty leaf stays in its tree until it has been
# empty for longer than all but the last few thousand, or until its line, or the best price below it, is wanted.

cdef void bury(BookSet* books) noexcept nogil:
    """Take the leaf that has been empty for longest out of its tree, if it still is empty."""
    cdef Grave* grave = books.graves + (books.buried & books.graves_mask)
    cdef Grave* next_grave = books.graves + ((books.buried + AHEAD) & books.graves_mask)
    cdef Entry* entry = directory_find(directory_pair(books, grave.owner, grave.page), grave.owner, grave.page)
    prefetch(directory_pair(books, next_grave.owner, next_grave.page))
    books.buried += 1
    # The directory's line, just asked for, tells of most that they are in use again.
    if entry.page == grave.page and entry.owner == grave.owner and line_at(&books.pool, entry.leaf)[0] != 0:
        return
    tree_prune(books, <Side*> (<char*> books.books + <size_t> (grave.owner - 1) * LINE), grave.page)


cdef void emptied(BookSet* books, Side* side, uint64_t page) noexcept nogil:
    """The leaf of `page` lost its last level."""
    cdef Grave* grave
    if side.levels == 0:
        tree_free(books, owner_of_side(books, side), side.root, side.height, side.prefix)
        side.root = 0
        return
    if books.laid - books.buried > books.graves_mask:
        bury(books)
    grave = books.graves + (books.laid & books.graves_mask)
    grave.owner = owner_of_side(books, side)
    grave.page = page
    books.laid += 1


cdef void find_best(BookSet* books, Side* side) noexcept nogil:
    """The highest key: on every level of the tree the highest bit, of leaves that aren't empty."""
    cdef Pool* pool = &books.pool
    cdef uint32_t reference
    cdef uint64_t* line
    cdef uint64_t key
    cdef int height
    while True:
        reference = side.root
        line = line_at(pool, reference)
        key = side.prefix
        height = side.height
        while height > 0:
            key = key << 6 | <uint64_t> highest(line[0])
            reference = child(pool, reference, line, highest(line[0]))[0]
            line = line_at(pool, reference)
            height -= 1
        if line[0] != 0:
            break
        tree_prune(books, side, key)
    side.best = key << 6 | <uint64_t> highest(line[0])
    side.best_quantity = level(pool, reference, line, highest(line[0]))[0]
    side.best_known = 1


cdef bint side_best(BookSet* books, Side* side, int64_t* price, int64_t* quantity) noexcept nogil:
    """Best price and quantity of a side; False, and zeros, when it is empty."""
    if side.levels == 0:
        price[0] = 0
        quantity[0] = 0
        return False
    if not side.best_known:
        find_best(books, side)
    price[0] = price_of(side, side.best)
    quantity[0] = side.best_quantity
    return True


cdef Py_ssize_t collect(Pool* pool, Side* side, uint32_t reference, int height, uint64_t prefix, Py_ssize_t count,
                        int64_t* levels) noexcept nogil:
    cdef uint64_t* line = line_at(pool, reference)
    cdef uint64_t rest = line[0], ahead = line[0]
    cdef Py_ssize_t done = 0, asked = 0
    cdef int bit
    # Sparse books have a leaf a level: their lines are asked for together, not one after the other.
    while height == 1 and ahead and asked < count:
        bit = highest(ahead)
        ahead ^= <uint64_t> 1 << bit
        prefetch(line_at(pool, child(pool, reference, line, bit)[0]))
        asked += 1
    while rest and done < count:
        bit = highest(rest)
        rest ^= <uint64_t> 1 << bit
        if height > 0:
            done += collect(pool, side, child(pool, reference, line, bit)[0], height - 1, prefix << 6 | <uint64_t> bit,
                            count - done, levels + 2 * done)
        else:
            levels[2 * done] = price_of(side, prefix << 6 | <uint64_t> bit)
            levels[2 * done + 1] = level(pool, reference, line, bit)[0]
            done += 1
    return done


cdef Py_ssize_t side_levels(BookSet* books, Side* side, Py_ssize_t count, int64_t* levels) noexcept nogil:
    """Up to `count` levels from the best on, as pairs of price and quantity in `levels`; returns how many."""
    if side.levels == 0:
        return 0
    return collect(&books.pool, side, side.root, side.height, side.prefix, count, levels)


# ---- books ----------------------------------------------------------------------------------------------------------

cdef void side_clear(BookSet* books, Side* side) noexcept nogil:
    if side.root != 0:
        tree_free(books, owner_of_side(books, side), side.root, side.height, side.prefix)
    side.root = 0
    side.levels = 0
    side.best = 0
    side.best_known = 1
    side.depth_floor = 0
    side.depth_changed = 1


cdef void book_clear(BookSet* books, Book* book) noexcept nogil:
    """Empty both sides and give their lines back; the state stays."""
    side_clear(books, &book.bid)
    side_clear(books, &book.ask)


cdef void book_stale(BookSet* books, Book* book, uint8_t reason) noexcept nogil:
    """The book must not be used from here on. Its levels stay until a snapshot clears them."""
    book.state = STATE_STALE
    book.reason = reason
    if books.on_event != NULL:
        books.on_event(books.context, book, NULL)


cdef void exhausted(BookSet* books, Book* book) noexcept nogil:
    # A book with a lost level is no book: its lines serve the others better.
    books.counters.pool_exhausted += 1
    book_clear(books, book)
    book_stale(books, book, POOL_EXHAUSTED)


cdef void control(BookSet* books, Book* book, const Record* record) noexcept nogil:
    """Everything but a level."""
    if record.kind == CLEAR:
        book_clear(books, book)
        book.update_id = record.update_id
        book.exchange_ns = record.exchange_ns
        book.receive_ns = record.receive_ns
        book_stale(books, book, RESYNC)
    elif record.kind == LIVE:
        if book.reason == POOL_EXHAUSTED:
            return
        book.update_id = record.update_id
        book.exchange_ns = record.exchange_ns
        book.receive_ns = record.receive_ns
        book.state = STATE_LIVE
        book.reason = 0
        if books.on_event != NULL:
            books.on_event(books.context, book, record)
    elif record.kind == STALE:
        book_stale(books, book, <uint8_t> record.aux)
    elif record.kind == DEFINE:
        book.price_decimals = record.aux & 0xFF
        book.quantity_decimals = record.aux >> 8
        memcpy(books.names + NAME_BYTES * <size_t> record.symbol, &record.update_id, NAME_BYTES)
    elif record.kind != HEARTBEAT:
        books.counters.unknown_kind += 1


cdef void event_end(BookSet* books, Book* book, const Record* record) noexcept nogil:
    cdef int64_t bid, ask, quantity
    books.counters.events += 1
    if book.state != STATE_LIVE:
        return
    if side_best(books, &book.bid, &bid, &quantity) & side_best(books, &book.ask, &ask, &quantity) and bid >= ask:
        books.counters.crossed += 1
    if books.on_event != NULL:
        books.on_event(books.context, book, record)


cdef bint reshape(BookSet* books, Book* book, Side* side, const Record* record, uint64_t key) noexcept nogil:
    """An update that isn't one of a level's place in a leaf that the directory knows; False: the pool is dry."""
    cdef uint32_t owner = owner_of(record.symbol, record.kind), leaf
    if record.quantity != 0:
        if unlikely(pool_dry(&books.pool)) and not tree_has(books, side, key):
            while books.buried < books.laid:
                bury(books)
            if pool_dry(&books.pool):
                exhausted(books, book)
                return False
        leaf = tree_set(books, side, key, record.quantity)
    elif not tree_remove(books, side, key, &leaf):
        books.counters.deletes_of_absent += 1
    if leaf != 0:
        directory_learn(books, owner, key >> 6, leaf)
        if line_at(&books.pool, leaf)[0] == 0:
            emptied(books, side, key >> 6)
    return True


cdef inline bint update(BookSet* books, Book* book, Side* side, const Record* record, uint64_t key,
                        Pair* pair) noexcept nogil:
    """Set or remove a level; False: the pool is dry."""
    cdef Entry* entry = directory_find(pair, owner_of(record.symbol, record.kind), key >> 6)
    cdef uint32_t part
    cdef uint64_t* line
    cdef uint64_t bits, bit = key & 63, had, has = record.quantity != 0
    if unlikely(entry.page != key >> 6 or entry.owner != owner_of(record.symbol, record.kind)):
        return reshape(books, book, side, record, key)
    line = line_at(&books.pool, entry.leaf)
    bits = line[0]
    had = bits >> bit & 1
    if entry.leaf & SPREAD:
        part = parts_of(line)[bit // PART_LEVELS]
        if unlikely(part == 0 or had > has and popcount(bits) == LEAF_REPACK + 1):
            return reshape(books, book, side, record, key)
        line[0] = bits & ~(<uint64_t> 1 << bit) | has << bit
        (<int64_t*> line_at(&books.pool, part))[bit % PART_LEVELS] = record.quantity
    else:
        if unlikely(had < has and popcount(bits) == LEAF_PACKED):
            return reshape(books, book, side, record, key)
        leaf_write(line, 1 + rank(bits, <unsigned> bit), had, has, bits & ~(<uint64_t> 1 << bit) | has << bit,
                   record.quantity)
    side.levels += <uint32_t> (has - had)
    if had > has and bits & (bits - 1) == 0:
        emptied(books, side, key >> 6)
    books.counters.deletes_of_absent += (had | has) ^ 1
    return True


cdef inline void apply(BookSet* books, const Record* record, Pair* pair) noexcept nogil:
    cdef Book* book
    cdef Side* side
    cdef uint64_t key = record_key(record)
    if unlikely(record.symbol >= books.symbols):
        books.counters.unknown_symbol += 1
        return
    book = books.books + record.symbol
    if unlikely(record.kind > ASK):
        control(books, book, record)
        return
    if unlikely(record.update_id < book.update_id):
        books.counters.out_of_order += 1
        return
    if unlikely(book.reason == POOL_EXHAUSTED):
        return
    book.update_id = record.update_id
    book.exchange_ns = record.exchange_ns
    book.receive_ns = record.receive_ns
    books.counters.updates += 1
    side = <Side*> (<char*> book + record.kind * LINE)  # by arithmetic: half of all branches on it would be wrong
    if unlikely(not update(books, book, side, record, key, pair)):
        return
    side.depth_changed |= key >= side.depth_floor
    if unlikely(key >= side.best):
        if record.quantity != 0:
            side.best = key
            side.best_quantity = record.quantity
            side.best_known = 1
        elif key == side.best:
            side.best_known = 0
            if side.levels == 0:
                side.best = 0
    if record.flags & EVENT_END:
        event_end(books, book, record)


cdef inline const Record* record_at(const char* records, Py_ssize_t stride, Py_ssize_t index) noexcept nogil:
    return <const Record*> (records + index * stride)


cdef inline void run(BookSet* books, const char* records, Py_ssize_t stride, Py_ssize_t count) noexcept nogil:
    """Apply up to BATCH_MAX records, `stride` bytes apart.

    With `prefetch` their cache lines are asked for in passes, each for all of them: what a record tells by itself (the
    book's header, the directory's pair), then what the directory tells, then what a spread leaf tells.
    """
    cdef Pair* pairs[BATCH_MAX]
    cdef const Record* record
    cdef Entry* entry
    cdef uint64_t key
    cdef Py_ssize_t index
    cdef bint ahead = books.prefetch and books.pool.fresh > PREFETCH_LINES
    for index in range(count):
        record = record_at(records, stride, index)
        pairs[index] = directory_pair(books, owner_of(record.symbol, record.kind), record_key(record) >> 6)
        if ahead:
            # A symbol out of range asks for nonsense, which does no harm.
            prefetch(&books.books[record.symbol].bid)
            prefetch(&books.books[record.symbol].ask)
            prefetch(pairs[index])
    if ahead:
        for index in range(count):
            record = record_at(records, stride, index)
            entry = directory_find(pairs[index], owner_of(record.symbol, record.kind), record_key(record) >> 6)
            prefetch(line_at(&books.pool, entry.leaf))
        for index in range(count):
            record = record_at(records, stride, index)
            key = record_key(record)
            entry = directory_find(pairs[index], owner_of(record.symbol, record.kind), key >> 6)
            if entry.leaf & SPREAD:
                prefetch(line_at(&books.pool, parts_of(line_at(&books.pool, entry.leaf))[(key & 63) // PART_LEVELS]))
    for index in range(count):
        apply(books, record_at(records, stride, index), pairs[index])


cdef void books_apply(BookSet* books, const Record* records, Py_ssize_t count) noexcept nogil:
    """Apply records in their order."""
    cdef Py_ssize_t part
    books.counters.records += count
    while count > 0:
        part = min(count, <Py_ssize_t> BATCH)
        run(books, <const char*> records, sizeof(Record), part)
        records += part
        count -= part


cdef void books_apply_slots(BookSet* books, const char* slots, Py_ssize_t count) noexcept nogil:
    """The same for up to BATCH_MAX records that are each in a slot of a ring."""
    books.counters.records += count
    run(books, slots, RING_SLOT, count)


cdef void append_side(BookSet* books, Book* book, Side* side, uint8_t kind, Batch batch, int64_t* levels) noexcept:
    cdef Py_ssize_t count = side_levels(books, side, side.levels, levels), index
    for index in range(count):
        batch.add(book.symbol, kind, SNAPSHOT, 0, book.update_id, levels[2 * index], levels[2 * index + 1],
                  book.exchange_ns, book.receive_ns)


cdef class Books:
    """The books of `symbols` symbols, all memory taken from `arena` (64 MB of it by default) at construction.

    The headers take 168 bytes a symbol; an eighth to a quarter of the rest of the arena, but for `leave` bytes, becomes
    the directory of leaves, and what then remains the common pool of cache lines. A level takes between 9 and some 130
    bytes of it, by how densely the book is filled around it.
    """

    def __cinit__(self, uint32_t symbols=2048, Arena arena=None, bint prefetch=True, size_t leave=0):
        cdef size_t lines
        if not 0 < symbols <= SYMBOLS:
            raise UserError(f"a node has 1 to {SYMBOLS} symbols, not {symbols}: lower book.symbols or add a node")
        self.arena = Arena(64 << 20) if arena is None else arena
        # Half as much again as the lines is more than the directory and the graves take.
        lines = (RESERVE + LINES_MIN * symbols) * 3 // 2
        if self.arena.free < symbols * (sizeof(Book) + NAME_BYTES) + lines * LINE + leave:
            raise UserError(
                f"an arena of {self.arena.size >> 20} MB has no room for {symbols} books: "
                "raise memory.arena_mb, or lower book.symbols"
            )
        self.set.books = <Book*> self.arena.take(symbols * sizeof(Book))
        self.set.names = <char*> self.arena.take(symbols * NAME_BYTES)
        # A pair of entries for every two lines of the pool, in a power of two.
        self.set.directory_mask = (<uint64_t> 1 << (63 - leading_zeros((self.arena.free - leave) // LINE // 2))) - 1
        self.set.directory = <Pair*> self.arena.take((self.set.directory_mask + 1) * sizeof(Pair))
        self.set.graves_mask = (self.set.directory_mask + 1) // 8 - 1
        self.set.graves = <Grave*> self.arena.take((self.set.graves_mask + 1) * sizeof(Grave))
        lines = (self.arena.free - leave) // LINE
        self.set.pool.lines = <char*> self.arena.take(lines * LINE)
        self.set.pool.total = <uint32_t> min(lines, <size_t> 1 << 31)
        self.set.pool.fresh = 1  # reference 0 says "none"
        self.set.symbols = symbols
        self.set.prefetch = prefetch
        for symbol in range(symbols):
            self.set.books[symbol].symbol = symbol
            self.set.books[symbol].ask.flip = 1
            book_clear(&self.set, self.set.books + <uint32_t> symbol)

    cdef Book* book(self, uint32_t symbol) except NULL:
        if symbol >= self.set.symbols:
            raise IndexError(f"there is no symbol {symbol}: the books have {self.set.symbols}")
        return self.set.books + symbol

    def apply(self, Batch batch):
        """Apply a batch's records in their order."""
        with nogil:
            books_apply(&self.set, batch.data, batch.size)

    def top(self, uint32_t symbol):
        """(bid price, bid quantity, ask price, ask quantity); None twice for a side that is empty."""
        cdef Book* book = self.book(symbol)
        cdef int64_t bid, bid_quantity, ask, ask_quantity
        cdef bint has_bid = side_best(&self.set, &book.bid, &bid, &bid_quantity)
        cdef bint has_ask = side_best(&self.set, &book.ask, &ask, &ask_quantity)
        return (
            bid if has_bid else None, bid_quantity if has_bid else None,
            ask if has_ask else None, ask_quantity if has_ask else None,
        )

    def levels(self, uint32_t symbol, int side, Py_ssize_t count=-1):
        """Up to `count` (price, quantity) of a side (Kind.BID or Kind.ASK) from the best on; all of them by default."""
        cdef Book* book = self.book(symbol)
        cdef Side* chosen = &book.bid if side == BID else &book.ask
        cdef Py_ssize_t wanted = chosen.levels if count < 0 else min(count, <Py_ssize_t> chosen.levels)
        cdef int64_t* found = <int64_t*> calloc(2 * wanted + 1, sizeof(int64_t))
        if found == NULL:
            raise MemoryError
        try:
            wanted = side_levels(&self.set, chosen, wanted, found)
            return [(found[2 * index], found[2 * index + 1]) for index in range(wanted)]
        finally:
            free(found)

    def snapshot(self, uint32_t symbol, Batch batch):
        """Append a LIVE book to `batch` as the records that make it: CLEAR, all levels, LIVE; of any other, nothing.

        OverflowError when the batch has no room for them; then nothing was appended.
        """
        cdef Book* book = self.book(symbol)
        cdef int64_t* found
        if book.state != STATE_LIVE:
            return
        if batch.size + book.bid.levels + book.ask.levels + 2 > batch.capacity:
            raise OverflowError(f"the batch has no room for {book.bid.levels + book.ask.levels} levels")
        found = <int64_t*> calloc(2 * max(book.bid.levels, book.ask.levels) + 1, sizeof(int64_t))
        if found == NULL:
            raise MemoryError
        batch.add(symbol, CLEAR, SNAPSHOT, 0, book.update_id, 0, 0, book.exchange_ns, book.receive_ns)
        append_side(&self.set, book, &book.bid, BID, batch, found)
        append_side(&self.set, book, &book.ask, ASK, batch, found)
        batch.add(symbol, LIVE, SNAPSHOT | EVENT_END, 0, book.update_id, 0, 0, book.exchange_ns, book.receive_ns)
        free(found)

    def count(self, uint32_t symbol):
        """How many levels the book holds: (bids, asks)."""
        cdef Book* book = self.book(symbol)
        return book.bid.levels, book.ask.levels

    def state(self, uint32_t symbol):
        """The book's State."""
        return State(self.book(symbol).state)

    def reason(self, uint32_t symbol):
        """Why the book is STALE, as a number of `records.Reason`; 0 when it isn't."""
        return self.book(symbol).reason

    def update_id(self, uint32_t symbol):
        """The venue's update id after the last event applied."""
        return self.book(symbol).update_id

    def decimals(self, uint32_t symbol):
        """(price decimals, quantity decimals), from the symbol's DEFINE."""
        cdef Book* book = self.book(symbol)
        return book.price_decimals, book.quantity_decimals

    def name(self, uint32_t symbol):
        """`venue:INSTRUMENT` of the symbol's DEFINE; empty before it came."""
        self.book(symbol)
        cdef char* name = self.set.names + NAME_BYTES * <size_t> symbol
        return name[:NAME_BYTES].rstrip(b"\0").decode("ascii", "replace")

    def counters(self):
        """What happened since the start, and the pool's lines of 64 bytes that are in use."""
        cdef Pool* pool = &self.set.pool
        return {
            **self.set.counters,
            "lines_total": pool.total - 1,
            "lines_used": pool.fresh - 1 - pool.free_lines,
        }
