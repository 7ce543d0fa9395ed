"""The market cache: top of book and depth of every symbol, in shared memory."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from wirebook.core.books cimport DEPTH, Book, BookSet
from wirebook.core.latency cimport Histogram
from wirebook.core.records cimport NAME_BYTES

cdef enum:
    MARKET_VERSION = 2
    HEADER_BYTES = 4096
    METRICS = 96

cdef struct MarketHeader:
    char magic[8]
    uint32_t version
    uint32_t record_bytes
    uint32_t records
    uint32_t depth
    uint64_t start_ns      # wall clock of the writer's start
    uint32_t pid
    uint32_t histograms    # of latency, one for each stage, behind the records
    uint64_t heartbeat_ns  # CLOCK_MONOTONIC, at least ten times a second; 0: the writer stopped in order
    uint64_t histograms_at  # bytes from here
    uint32_t histogram_bins
    char padding[68]
    uint64_t metrics[METRICS]

cdef struct MarketRecord:
    # The first line is all that a reader of the top of book touches.
    uint32_t sequence      # odd while it's written
    uint8_t state
    uint8_t reason
    uint8_t bids           # levels shown
    uint8_t asks
    uint64_t update_id
    int64_t bid_price
    int64_t bid_quantity
    int64_t ask_price
    int64_t ask_quantity
    uint64_t exchange_ns
    uint64_t receive_ns
    uint64_t publish_ns
    uint64_t events        # published so far
    uint8_t price_decimals
    uint8_t quantity_decimals
    uint8_t stamp          # who wrote down when the packet came: transport.Stamp
    uint8_t padding
    uint32_t stamp_age     # ns from that stamp to publish_ns, at most 2^32 - 1
    char name[NAME_BYTES]
    int64_t bid_levels[2 * DEPTH]
    int64_t ask_levels[2 * DEPTH]
    char rest[64]

# When the packet came that an event was in. With a record it fills a slot of the ring.
cdef struct Arrival:
    uint64_t stamp_ns
    uint64_t stamp


cdef class MarketWriter:
    cdef MarketHeader* header
    cdef MarketRecord* records
    cdef Histogram* histograms
    cdef size_t mapped
    cdef int fd
    cdef readonly uint32_t symbols

    cdef void reset(self, MarketRecord* record) noexcept nogil
    cdef void publish(self, BookSet* books, Book* book, uint8_t state, uint8_t reason, uint64_t now,
                      const Arrival* arrival) noexcept nogil
    cdef void define(self, BookSet* books, Book* book) noexcept nogil
    cdef void beat(self) noexcept nogil


cdef class MarketView:
    cdef const MarketHeader* header
    cdef const MarketRecord* records
    cdef const Histogram* stages
    cdef object memory
    cdef readonly uint32_t symbols
    cdef readonly str path
    cdef uint64_t silence_ns
    cdef dict numbers

    cdef bint read(self, uint32_t symbol, MarketRecord* copy, size_t size) noexcept nogil
    cdef bint is_alive(self) noexcept nogil
