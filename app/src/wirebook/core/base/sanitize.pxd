"""Bounds for AddressSanitizer (`make fuzz`) where it can't know them; in any other build it all compiles to nothing."""

cdef extern from "base/sanitize.h" nogil:
    enum: RED_ZONE "WB_RED_ZONE"  # bytes behind a block that nobody may touch
    void forbid "wb_forbid"(const void* address, size_t size)
    void allow "wb_allow"(const void* address, size_t size)
