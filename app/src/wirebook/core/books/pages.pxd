"""Pages of 64 ticks and what orders them: cache lines of all sides in one hash table. See docs/hot-path.md."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from wirebook.core.base.hints cimport unlikely
from wirebook.core.base.memory cimport Arena

cdef extern from *:
    """
    /* A packed leaf after an update of one level, without a branch that traffic could make the CPU mispredict. Seen as
       16 lanes of 32 bits, 2 and 3 are the bitmap, and 6 is the first quantity. `place` is the level's lane; `had` and
       `has` say if it was and will be there. Two shuffles and a choice, not a load one place off: that would touch the
       line beside this one, and it would wait for the store before it. */
    typedef int wb_lanes __attribute__((vector_size(64), may_alias));
    typedef long long wb_words __attribute__((vector_size(64), may_alias));
    static inline void wb_leaf_write(void *leaf, int place, int had, int has, long long bits, int quantity)
    {
        const wb_lanes lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        const wb_words bitmap = {0, -1, 0, 0, 0, 0, 0, 0};
        const wb_lanes old = *(const wb_lanes *) leaf;
        const wb_lanes up = __builtin_shufflevector(old, old, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14);
        const wb_lanes down = __builtin_shufflevector(old, old, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15);
        const wb_lanes grows = (wb_lanes) {} - (has & ~had), shrinks = (wb_lanes) {} - (had & ~has);
        const wb_lanes below = lane < place, at = (lane == place) & -has;
        const wb_lanes moved = (up & grows) | (down & shrinks) | (old & ~(grows | shrinks));
        wb_lanes now = (old & below) | (moved & ~below);
        now = (now & ~at) | (quantity & at);
        *(wb_words *) leaf = ((wb_words) now & ~bitmap) | (bits & bitmap);
    }
    /* To be written. */
    static inline void wb_prefetch_write(const void *address) { __builtin_prefetch(address, 1); }
    static inline unsigned long long wb_share(unsigned long long hash, unsigned long long count)
    {
        return (unsigned long long) (((unsigned __int128) hash * count) >> 64);
    }
    """
    void wb_leaf_write(void* leaf, int place, int had, int has, int64_t bits, int quantity) nogil
    uint64_t wb_share(uint64_t hash, uint64_t count) nogil
    int popcount "__builtin_popcountll"(uint64_t bits) nogil
    int leading_zeros "__builtin_clzll"(uint64_t bits) nogil
    void prefetch_write "wb_prefetch_write"(const void* address) nogil

cdef enum:
    CACHE_LINE = 64
    PACKED = 10          # quantities in a leaf's own line
    BLOCK = 64           # in a block: one for each tick
    REPACK = 5           # a block is given back well below the number that needs one: levels flicker
    NO_ROOM = -2

# A cache line of the pool: a leaf, which is a page of 64 ticks and its quantities, or a branch, 64 leaves or branches.
cdef struct Node:
    uint64_t key           # of its first tick; the six bits that are 0 hold the height of a branch
    uint64_t bits          # which of the 64 there are
    uint32_t owner         # side of a symbol, 0: the node is free
    uint32_t block         # where a leaf has its quantities, 0: here
    uint32_t packed[PACKED]

# The tree of a side.
cdef struct Root:
    uint64_t prefix        # what all keys of the tree have above their lowest 6 * (height + 1) bits
    int64_t height         # branches above a leaf; -1: there is no leaf

cdef struct Pages:
    Node* nodes            # hashed, a node that is taken already moves a newcomer to the next free one
    uint64_t count
    uint64_t most          # of them that may be in use: a table almost full would be searched from end to end
    uint64_t used
    uint64_t swept         # where the search for empty leaves goes on
    int64_t* blocks
    uint32_t free_block    # head of the list of given back blocks, 0: none
    uint32_t free_blocks
    uint32_t fresh_block   # blocks from here on were never used
    uint32_t total_blocks
    Root* roots            # by owner


cdef inline Node* page_home(Pages* pages, uint32_t owner, uint64_t key) noexcept nogil:
    """Where the node of this owner and key is, unless others were there first."""
    # By the golden ratio neighbours lie far from each other, and evenly.
    return pages.nodes + wb_share((key + owner * <uint64_t> 0xD6E8FEB86659FD93u) * <uint64_t> 0x9E3779B97F4A7C15u,
                                  pages.count)


cdef inline bint page_is(const Node* node, uint32_t owner, uint64_t key) noexcept nogil:
    return ((node.key ^ key) | (node.owner ^ owner)) == 0


cdef inline Node* page_next(Pages* pages, Node* node) noexcept nogil:
    return node + 1 if node + 1 != pages.nodes + pages.count else pages.nodes


cdef inline Node* page_find(Pages* pages, Node* node, uint32_t owner, uint64_t key) noexcept nogil:
    """From `node` on: the node of this owner and key, or the free one that says that there is none."""
    while unlikely(not page_is(node, owner, key)) and node.owner != 0:
        node = page_next(pages, node)
    return node


cdef inline int64_t* page_block(Pages* pages, uint32_t block) noexcept nogil:
    return pages.blocks + <size_t> block * BLOCK


cdef inline int rank(uint64_t bits, unsigned bit) noexcept nogil:
    """How many quantities a packed leaf holds below `bit`."""
    return popcount(bits & ((<uint64_t> 1 << bit) - 1))


cdef inline void leaf_write(Node* leaf, unsigned bit, uint64_t had, uint64_t has, uint64_t bits,
                            int64_t quantity) noexcept nogil:
    """Set or remove a level of a packed leaf whose bitmap becomes `bits`; there is room, and `quantity` is narrow."""
    wb_leaf_write(leaf, 6 + rank(leaf.bits, bit), <int> had, <int> has, <int64_t> bits, <int> quantity)


cdef inline uint64_t pages_total(const Pages* pages) noexcept nogil:
    """Lines of 64 bytes; a block is eight."""
    return pages.count + 8 * <uint64_t> (pages.total_blocks - 1)


cdef inline uint64_t pages_used(const Pages* pages) noexcept nogil:
    return pages.used + 8 * <uint64_t> (pages.fresh_block - 1 - pages.free_blocks)


cdef uint64_t pages_make(Pages* pages, Arena arena, size_t leave, uint32_t symbols) except 0
cdef int pages_set(Pages* pages, uint32_t owner, uint64_t key, int64_t quantity) noexcept nogil
cdef bint pages_highest(Pages* pages, uint32_t owner, uint64_t* key, int64_t* quantity) noexcept nogil
cdef bint pages_below(Pages* pages, uint32_t owner, uint64_t* key, int64_t* quantity) noexcept nogil
cdef void pages_clear(Pages* pages, uint32_t owner) noexcept nogil
