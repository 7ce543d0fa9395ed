"""The market cache: what the book process knows, for any process of this host to read without asking it.

One file in shared memory: a page of header, then a record of 512 bytes for each symbol behind a seqlock, then the
histograms of latency. The writer never waits for a reader. A reader copies a record and looks at its sequence before
and after: it never gets a torn one.
"""

from libc.string cimport memcmp

from wirebook.core.books.book cimport DEPTH
from wirebook.core.wire.records cimport NAME_BYTES, SYMBOLS


cdef str header_fault(const MarketHeader* header, size_t length):
    """Why the file is not a market cache that this build understands; None when it is."""
    if length < MARKET_HEADER_BYTES or memcmp(header.magic, MAGIC, 8) != 0:
        return "is no market cache of wirebook: change market.path"
    if header.version != MARKET_VERSION:
        return (
            f"has layout {header.version} and this reader understands {<int> MARKET_VERSION}: "
            "install the same release of wirebook on both sides"
        )
    if header.record_bytes != sizeof(MarketRecord) or header.depth != DEPTH:
        return (
            f"has records of {header.record_bytes} bytes with {header.depth} levels, this reader expects "
            f"{sizeof(MarketRecord)} with {<int> DEPTH}: install the same release of wirebook on both sides"
        )
    if not 0 < header.records <= SYMBOLS or length < length_for(header.records):
        return (
            f"says {header.records} records, but is {length} bytes long: the book process is still starting, "
            "or the file was damaged; restart wirebook book"
        )
    return None


def record_type():
    """A record as numpy reads it, with the names of `MarketRecord`."""
    import numpy

    level = numpy.dtype([("price", "<i8"), ("quantity", "<i8")])
    record = numpy.dtype([
        ("sequence", "<u4"), ("state", "u1"), ("reason", "u1"), ("bids", "u1"), ("asks", "u1"),
        ("update_id", "<u8"),
        ("bid_price", "<i8"), ("bid_quantity", "<i8"), ("ask_price", "<i8"), ("ask_quantity", "<i8"),
        ("exchange_ns", "<u8"), ("receive_ns", "<u8"), ("publish_ns", "<u8"), ("events", "<u8"),
        ("price_decimals", "u1"), ("quantity_decimals", "u1"), ("stamp", "u1"), ("edges", "u1"),
        ("stamp_age", "<u4"), ("name", f"S{<int> NAME_BYTES}"),
        ("bid_levels", level, (DEPTH,)), ("ask_levels", level, (DEPTH,)), ("bid_edge", "<i8"), ("ask_edge", "<i8"),
        ("rest", "V48"),
    ])
    assert record.itemsize == sizeof(MarketRecord)
    return record
