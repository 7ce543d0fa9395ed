"""Histograms of nanoseconds with a fixed number of bins, cheap enough for every packet.

Below 32 ns each value has its own bin; from there on each power of two has 16, so a bin is at most 6.25 % wide. That is
the scheme of HdrHistogram (hdrhistogram.org) with four bits of precision.
"""

from libc.stdint cimport int64_t, uint64_t

from wirebook.core.base.hints cimport unlikely

cdef extern from *:
    int count_leading_zeros "__builtin_clzll"(unsigned long long value) nogil

cdef enum:
    HISTOGRAM_BINS = 608   # up to 2^41 ns, 36 minutes; the last one also holds what is longer

# What happens to an update on its way, one after the other.
cdef enum:
    VENUE_TO_FEED = 0
    FEED_TO_SENT = 1
    SENT_TO_RECEIVED = 2
    RECEIVED_TO_TAKEN = 3
    TAKEN_TO_PUBLISHED = 4
    STAGES = 5

cdef struct Histogram:
    uint64_t negative      # two clocks disagree: the end came before the beginning
    uint64_t padding[7]
    uint64_t bins[HISTOGRAM_BINS]


cdef inline void histogram_add(Histogram* histogram, int64_t ns, uint64_t weight) noexcept nogil:
    """Count `weight` times `ns`. Readers in other processes see each bin whole: an aligned word on x86-64."""
    cdef int shift
    if unlikely(ns < 0):
        histogram.negative += weight
        return
    shift = 59 - count_leading_zeros(<unsigned long long> ns | 16)
    histogram.bins[min(16 * shift + (ns >> shift), <int64_t> HISTOGRAM_BINS - 1)] += weight
