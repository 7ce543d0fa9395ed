"""Where books keep their levels: pages of 64 ticks under a radix tree of bitmaps, all in one hash table of cache lines.

A leaf is a page. While it has few levels, and small quantities, it is *packed*: quantities in order behind the bitmap,
found by counting ones below the bit. Else it is *spread* over a block with a place for each tick. A branch is a bitmap
of 64 leaves or branches. Leaves and branches alike are nodes of a cache line, found by hashing side, height and place:
no node refers to another, so that an update knows at once, whatever the tree's height, which line of memory it needs,
and nodes can move.

Keys are prices mapped so that unsigned order is the order of preference: the best level of either side is the highest
key, found by counting leading zeros. The tree grows at the root when a price lies outside, up to the whole 64 bits:
no price is out of range, none is approximated.

Traffic removes a page's last level and sets it again soon after. So an empty leaf stays until the search for the next
best price meets it, or until the table fills up: then each new leaf looks through some nodes for empty ones.
"""

from libc.string cimport memset

from wirebook.core.base.hints cimport unlikely
from wirebook.core.base.memory cimport Arena

cdef enum:
    HEIGHT_MAX = 10      # 6 * 11 bits hold any 64-bit key
    # More than one update can take: 10 branches grown at the root, 10 down to a new leaf. Checked once, so that no step
    # after it can fail half-way.
    RESERVE = 24
    SWEEP = 16           # nodes looked at for an empty leaf when one is added to a table that fills up
    BLOCK_BYTES = 512


cdef uint64_t pages_make(Pages* pages, Arena arena, size_t leave, uint32_t symbols) except 0:
    """Take all of `arena` but `leave` bytes; returns how many bytes that are.

    Three quarters are nodes and a quarter blocks: sparse books need nodes only, and dense ones, with 30 levels on a
    page, find about as much room in both.
    """
    cdef size_t room
    cdef uint32_t owner
    pages.roots = <Root*> arena.take((2 * symbols + 1) * sizeof(Root))
    for owner in range(2 * symbols + 1):
        pages.roots[owner].height = -1
    room = arena.free - leave
    pages.count = room // 4 * 3 // CACHE_LINE
    pages.most = pages.count // 8 * 7
    pages.nodes = <Node*> arena.take(pages.count * CACHE_LINE)
    pages.total_blocks = <uint32_t> min((arena.free - leave) // BLOCK_BYTES, <size_t> 0xFFFFFFFF)
    pages.blocks = <int64_t*> arena.take(pages.total_blocks * <size_t> BLOCK_BYTES)
    pages.fresh_block = 1  # block 0 says "none"
    return room


# ---- keys -----------------------------------------------------------------------------------------------------------

cdef inline uint64_t above(uint64_t key, int64_t height) noexcept nogil:
    """What a tree of this height has in common in all its keys."""
    return key >> (6 * (height + 1)) if height < HEIGHT_MAX else 0


cdef inline uint64_t tag(uint64_t key, int64_t height) noexcept nogil:
    """The key of the node of that height which `key` is below."""
    return above(key, height) << 6 | <uint64_t> height


cdef inline unsigned digit(uint64_t key, int64_t height) noexcept nogil:
    return (key >> (6 * height)) & 63


cdef inline uint64_t highest_bit(uint64_t bits) noexcept nogil:
    return 63 - leading_zeros(bits)


# ---- nodes and blocks -----------------------------------------------------------------------------------------------

cdef inline Node* find(Pages* pages, uint32_t owner, uint64_t key) noexcept nogil:
    return page_find(pages, page_home(pages, owner, key), owner, key)


cdef Node* node_add(Pages* pages, uint32_t owner, uint64_t key) noexcept nogil:
    """A node that isn't there yet; RESERVE says that there is room."""
    cdef Node* node = page_home(pages, owner, key)
    while node.owner != 0:
        node = page_next(pages, node)
    memset(node, 0, sizeof(Node))
    node.key = key
    node.owner = owner
    pages.used += 1
    return node


cdef void node_drop(Pages* pages, Node* hole) noexcept nogil:
    """Free a node, and move those up that are farther from their homes because of it."""
    cdef Node* node = page_next(pages, hole)
    cdef Node* home
    if hole.block != 0:
        block_give(pages, hole.block)
    pages.used -= 1
    while node.owner != 0:
        home = page_home(pages, node.owner, node.key)
        # The table is a circle: a node must not move in front of its home.
        if (hole < home and home <= node) if hole <= node else (hole < home or home <= node):
            node = page_next(pages, node)
            continue
        hole[0] = node[0]
        hole = node
        node = page_next(pages, node)
    hole.owner = 0


cdef inline void block_give(Pages* pages, uint32_t block) noexcept nogil:
    page_block(pages, block)[0] = pages.free_block
    pages.free_block = block
    pages.free_blocks += 1


cdef inline uint32_t blocks_left(Pages* pages) noexcept nogil:
    return pages.free_blocks + (pages.total_blocks - pages.fresh_block)


cdef inline int64_t leaf_quantity(Pages* pages, Node* leaf, unsigned bit) noexcept nogil:
    """Of a level that the leaf has."""
    if leaf.block != 0:
        return page_block(pages, leaf.block)[bit]
    return leaf.packed[rank(leaf.bits, bit)]


cdef void leaf_spread(Pages* pages, Node* leaf) noexcept nogil:
    cdef uint32_t block = pages.free_block
    cdef int64_t* quantities
    cdef uint64_t rest = leaf.bits, bit
    cdef int index = popcount(rest)
    if block != 0:
        pages.free_block = <uint32_t> page_block(pages, block)[0]
        pages.free_blocks -= 1
    else:
        block = pages.fresh_block
        pages.fresh_block += 1
    quantities = page_block(pages, block)
    memset(quantities, 0, BLOCK_BYTES)
    while rest:
        bit = highest_bit(rest)
        rest ^= <uint64_t> 1 << bit
        index -= 1
        quantities[bit] = leaf.packed[index]
    leaf.block = block


cdef void leaf_pack(Pages* pages, Node* leaf) noexcept nogil:
    """Give the block back, unless a quantity is too large for 32 bits."""
    cdef int64_t* quantities = page_block(pages, leaf.block)
    cdef int64_t all_bits = 0
    cdef uint64_t rest = leaf.bits, bit
    cdef int index = popcount(rest)
    while rest:
        bit = highest_bit(rest)
        rest ^= <uint64_t> 1 << bit
        index -= 1
        all_bits |= quantities[bit]
        leaf.packed[index] = <uint32_t> quantities[bit]
    if all_bits >> 32 == 0:
        block_give(pages, leaf.block)
        leaf.block = 0


# ---- trees ----------------------------------------------------------------------------------------------------------

cdef void prune(Pages* pages, Node* leaf) noexcept nogil:
    """Take an empty leaf out of its tree, and the branches that hold nothing without it."""
    cdef uint32_t owner = leaf.owner
    cdef Root* root = pages.roots + owner
    cdef uint64_t key = leaf.key
    cdef Node* node
    cdef int64_t height = 1
    node_drop(pages, leaf)
    while height <= root.height:
        node = find(pages, owner, tag(key, height))
        node.bits ^= <uint64_t> 1 << digit(key, height)
        if node.bits != 0:
            return
        node_drop(pages, node)
        height += 1
    root.height = -1


cdef void sweep(Pages* pages) noexcept nogil:
    """Look for empty leaves where the last search ended. A call takes little time; it takes many to see all nodes."""
    cdef Node* node
    cdef int _looked
    if pages.used <= pages.count // 2 and blocks_left(pages) >= pages.total_blocks // 4:
        return
    for _looked in range(SWEEP):
        node = pages.nodes + pages.swept
        if node.owner != 0 and node.bits == 0:
            prune(pages, node)  # another one may be in its place now
        else:
            pages.swept = pages.swept + 1 if pages.swept + 1 < pages.count else 0


cdef Node* plant(Pages* pages, uint32_t owner, uint64_t key) noexcept nogil:
    """Add the leaf of `key`, and the branches that lead to it."""
    cdef Root* root = pages.roots + owner
    cdef Node* node
    cdef int64_t height
    cdef bint had
    if root.height < 0:
        root.height = 0
        root.prefix = above(key, 0)
    while above(key, root.height) != root.prefix:
        node = node_add(pages, owner, root.prefix >> 6 << 6 | <uint64_t> (root.height + 1))
        node.bits = <uint64_t> 1 << (root.prefix & 63)
        root.prefix >>= 6
        root.height += 1
    for height in range(1, root.height + 1):
        node = find(pages, owner, tag(key, height))
        had = node.owner != 0
        if not had:
            node = node_add(pages, owner, tag(key, height))
        node.bits |= <uint64_t> 1 << digit(key, height)
        if had:
            break  # so has everything above
    return node_add(pages, owner, tag(key, 0))


cdef int pages_set(Pages* pages, uint32_t owner, uint64_t key, int64_t quantity) noexcept nogil:
    """Set a level, or remove it with quantity 0, whatever that takes; returns by how many levels the side grew.

    NO_ROOM says that nothing was changed.
    """
    cdef Node* leaf = find(pages, owner, tag(key, 0))
    cdef unsigned bit = key & 63
    cdef uint64_t had = leaf.bits >> bit & 1 if leaf.owner != 0 else 0, has = quantity != 0, bits
    if (had | has) == 0:
        return 0
    if leaf.owner == 0:
        sweep(pages)
        if unlikely(pages.used + RESERVE > pages.most):
            return NO_ROOM
        leaf = plant(pages, owner, key)
    if leaf.block == 0 and (quantity >> 32 != 0 or has > had and popcount(leaf.bits) == PACKED):
        if blocks_left(pages) < pages.total_blocks // 4:
            sweep(pages)
            leaf = find(pages, owner, tag(key, 0))  # which nodes that were swept away may have moved
            if leaf.owner == 0:  # itself: it was empty
                leaf = plant(pages, owner, key)
        if unlikely(blocks_left(pages) == 0):
            return NO_ROOM
        leaf_spread(pages, leaf)
    bits = leaf.bits & ~(<uint64_t> 1 << bit) | has << bit
    if leaf.block == 0:
        leaf_write(leaf, bit, had, has, bits, quantity)
        return <int> has - <int> had
    leaf.bits = bits
    page_block(pages, leaf.block)[bit] = quantity
    if had > has and popcount(bits) <= REPACK:
        leaf_pack(pages, leaf)
    return <int> has - <int> had


cdef bint descend(Pages* pages, uint32_t owner, uint64_t prefix, int64_t height, uint64_t bits, uint64_t* key,
                  int64_t* quantity) noexcept nogil:
    """The highest level of those that `bits` tells, the children of the node of that height; False: it's pruned now."""
    cdef Node* node = NULL
    while height > 0:
        prefix = prefix << 6 | highest_bit(bits)
        height -= 1
        node = find(pages, owner, prefix << 6 | <uint64_t> height)
        bits = node.bits
    if node == NULL:
        node = find(pages, owner, prefix << 6)
    if bits == 0:
        prune(pages, node)
        return False
    key[0] = prefix << 6 | highest_bit(bits)
    quantity[0] = leaf_quantity(pages, node, <unsigned> highest_bit(bits))
    return True


cdef bint pages_highest(Pages* pages, uint32_t owner, uint64_t* key, int64_t* quantity) noexcept nogil:
    """The best level of a side; False when it has none."""
    cdef Root* root = pages.roots + owner
    while root.height >= 0:
        if descend(pages, owner, root.prefix, root.height,
                   find(pages, owner, root.prefix << 6 | <uint64_t> root.height).bits, key, quantity):
            return True
    return False


cdef bint pages_below(Pages* pages, uint32_t owner, uint64_t* key, int64_t* quantity) noexcept nogil:
    """The best level that is worse than `key`, where a level is or was; False when there is none."""
    cdef Root* root = pages.roots + owner
    cdef Node* node
    cdef uint64_t bits = 0
    cdef int64_t height
    while True:
        height = 0
        while height <= root.height:
            node = find(pages, owner, tag(key[0], height))
            bits = node.bits & ((<uint64_t> 1 << digit(key[0], height)) - 1) if node.owner != 0 else 0
            if bits != 0:
                break
            height += 1
        if height > root.height:
            return False
        if descend(pages, owner, above(key[0], height), height, bits, key, quantity):
            return True


cdef void free_all(Pages* pages, uint32_t owner, uint64_t prefix, int64_t height) noexcept nogil:
    cdef Node* node = find(pages, owner, prefix << 6 | <uint64_t> height)
    cdef uint64_t rest = node.bits if height > 0 else 0, bit
    node_drop(pages, node)
    while rest:
        bit = highest_bit(rest)
        rest ^= <uint64_t> 1 << bit
        free_all(pages, owner, prefix << 6 | bit, height - 1)


cdef void pages_clear(Pages* pages, uint32_t owner) noexcept nogil:
    """Remove all levels of a side."""
    cdef Root* root = pages.roots + owner
    if root.height >= 0:
        free_all(pages, owner, root.prefix, root.height)
    root.height = -1
