"""The market cache's layout: a page of header, a record for each symbol, and the histograms of latency behind them."""

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from wirebook.core.books.book cimport DEPTH
from wirebook.core.market.latency cimport STAGES, Histogram
from wirebook.core.wire.records cimport NAME_BYTES

cdef extern from *:
    """
    #define WB_MARKET_MAGIC "WBMARKET"
    """
    const char* MAGIC "WB_MARKET_MAGIC"

cdef enum:
    MARKET_VERSION = 3
    MARKET_HEADER_BYTES = 4096
    METRICS = 96

# What happened since the start. MarketView.metrics() has these names, and readers in C this order.
cdef struct Metrics:
    uint64_t packets
    uint64_t invalid
    uint64_t gaps
    uint64_t lost
    uint64_t late
    uint64_t restarts
    uint64_t kernel_drops
    uint64_t records
    uint64_t updates
    uint64_t events
    uint64_t deletes_of_absent
    uint64_t out_of_order
    uint64_t crossed
    uint64_t pool_exhausted
    uint64_t unknown_symbol
    uint64_t unknown_kind
    uint64_t nodes_used
    uint64_t nodes_total
    uint64_t recoveries
    uint64_t stale_marks
    uint64_t copies
    uint64_t held
    uint64_t gap_timeouts
    uint64_t line_a_packets
    uint64_t line_a_first
    uint64_t line_a_lost
    uint64_t line_a_late
    uint64_t line_a_duplicates
    uint64_t line_b_packets
    uint64_t line_b_first
    uint64_t line_b_lost
    uint64_t line_b_late
    uint64_t line_b_duplicates
    uint64_t foreign       # records of a symbol, or with a name, that isn't their stream's
    uint64_t refused       # packets of a stream or publisher that isn't followed, or may not speak

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
    Metrics metrics        # and room for METRICS of them in all

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
    uint8_t edges          # bit 0, 1: the bids, the asks are known as far as their edge, and not beyond
    uint32_t stamp_age     # ns from that stamp to publish_ns, at most 2^32 - 1
    char name[NAME_BYTES]
    int64_t bid_levels[2 * DEPTH]
    int64_t ask_levels[2 * DEPTH]
    int64_t bid_edge       # price
    int64_t ask_edge
    char rest[48]

# When the packet came that an event was in. With a record it fills a slot of the ring.
cdef struct Arrival:
    uint64_t stamp_ns
    uint64_t stamp


cdef inline size_t top_bytes() noexcept nogil:
    """The first bytes of a record, which hold the top of book and when it came."""
    cdef MarketRecord* none = NULL
    return <size_t> &none.name[0]


cdef inline size_t named_bytes() noexcept nogil:
    """The first bytes of a record, which hold its symbol's name too."""
    cdef MarketRecord* none = NULL
    return <size_t> &none.bid_levels[0]


cdef inline size_t length_for(uint32_t symbols) noexcept nogil:
    return MARKET_HEADER_BYTES + symbols * sizeof(MarketRecord) + STAGES * sizeof(Histogram)


cdef str header_fault(const MarketHeader* header, size_t length)
