"""Latency by stage: histograms that the book process counts in shared memory, and what readers make of them."""

from itertools import accumulate
from typing import NamedTuple

STAGE_NAMES = ("venue_to_feed", "feed_to_sent", "sent_to_received", "received_to_taken", "taken_to_published")

cdef enum:
    BEYOND = 10            # samples that must lie beyond a percentile for it to be told


class Stage(NamedTuple):
    """How long a stage took, for this many `packets` of levels; ns, or None if too few samples lie beyond.

    A percentile is the upper end of its bin, so it overstates by up to 6.25 % and never understates. `negative` ones
    more came out below zero, because the two clocks differ by more than the stage takes.
    """

    name: str
    packets: int
    negative: int
    p50: int | None
    p99: int | None
    p999: int | None


cdef int64_t highest(Py_ssize_t index):
    """The longest time that is counted in a bin."""
    cdef Py_ssize_t shift = max(index // 16 - 1, 0)
    return ((index - 16 * shift + 1) << shift) - 1


LONGEST_NS = highest(HISTOGRAM_BINS - 1)
"""The end of the last bin, which holds all that is longer too."""


def stage(str name, bins, negative=0):
    """The `Stage` of a histogram's bins."""
    totals = list(accumulate(bins))
    count = totals[len(totals) - 1]

    def percentile(thousandths):
        if count * (1000 - thousandths) < 1000 * BEYOND:
            return None
        return next(highest(index) for index, total in enumerate(totals) if total * 1000 >= count * thousandths)

    return Stage(name, count, negative, percentile(500), percentile(990), percentile(999))


cdef class LatencyHistogram:
    """One histogram by itself, with the very function that the book process counts with."""

    cdef Histogram histogram

    def add(self, int64_t ns, uint64_t weight=1):
        """Count `weight` times `ns`."""
        histogram_add(&self.histogram, ns, weight)

    def add_many(self, const int64_t[::1] values not None):
        """Count each of the values once."""
        cdef Py_ssize_t index
        with nogil:
            for index in range(values.shape[0]):
                histogram_add(&self.histogram, values[index], 1)

    def stage(self, str name):
        """What was counted, as a `Stage`."""
        return stage(name, self.histogram.bins, self.histogram.negative)
