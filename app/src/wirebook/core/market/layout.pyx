"""The market cache: what the book process knows, for any process of this host to read without asking it.

One file in shared memory: a page of header, then a record of 512 bytes for each symbol behind a seqlock, then the
histograms of latency. The writer never waits for a reader. A reader copies a record and looks at its sequence before
and after: it never gets a torn one.
"""

from libc.string cimport memcmp

from wirebook.core.wire.records cimport SYMBOLS


cdef str header_fault(const MarketHeader* header, size_t length):
    """Why the file is not a market cache that this build understands; None when it is."""
    if length < HEADER_BYTES or memcmp(header.magic, MAGIC, 8) != 0:
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
