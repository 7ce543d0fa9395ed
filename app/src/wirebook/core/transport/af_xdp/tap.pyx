"""A copy of the frames that AF_XDP takes past the kernel, for `wirebook capture`: a ring in shared memory.

While nobody reads, the writer looks at one word per burst and copies nothing. It never waits for a reader: one that is
too slow, or came late, loses frames and knows how many.
"""

import os

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, munmap
from posix.mman cimport mmap as c_mmap

from wirebook.core.base.atomics cimport (
    fence_acquire, fence_release, load_acquire_64, load_relaxed_32, load_relaxed_64, store_relaxed_32,
    store_relaxed_64, store_release_64,
)
from wirebook.core.base.clock cimport steady_ns, wall_ns
from wirebook.errors import UserError

TAP = "tap"
"""Name of the file, beside the market cache."""
MAGIC = b"WBTAP1\0\0"
_MODE = 0o660
_KEEP_NS = 3_000_000_000

cdef enum:
    FILE_BYTES = TAP_HEADER_BYTES + SLOTS * TAP_SLOT_BYTES


cdef void* _map(int fd) except NULL:
    cdef void* address = c_mmap(NULL, FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)
    if address == MAP_FAILED:
        raise MemoryError(f"{FILE_BYTES} bytes can't be mapped")
    return address


cdef class Tap:
    """The writer's end, in a new file at `path` (3 MB of shared memory) that its user and group may read and write."""

    def __cinit__(self, path):
        self.path = path
        assert sizeof(TapSlot) == TAP_SLOT_BYTES and sizeof(TapHeader) <= TAP_HEADER_BYTES
        try:
            os.unlink(path)  # of a process that was killed; a reader of it sees nothing new, and looks again
        except FileNotFoundError:
            pass
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise UserError(f"can't write {path}: {error.strerror}; set market.path") from None
        try:
            os.fchmod(fd, _MODE)  # whatever the umask
            os.ftruncate(fd, FILE_BYTES)
            self.header = <TapHeader*> _map(fd)
        finally:
            os.close(fd)
        self.slots = <char*> self.header + TAP_HEADER_BYTES
        self.header.slots = SLOTS
        self.header.slot_bytes = TAP_SLOT_BYTES
        memcpy(self.header.magic, <const char*> MAGIC, 8)

    def __dealloc__(self):
        if self.header != NULL:
            munmap(self.header, FILE_BYTES)

    cdef bint wanted(self) noexcept nogil:
        return load_relaxed_32(&self.header.wanted)

    cdef void offer(
            self, const char* frame, uint32_t length, uint64_t receive_ns, uint8_t stamp, uint8_t line) noexcept nogil:
        """Copy a frame; without a time of receipt it gets the present one."""
        cdef uint64_t head = self.header.head
        cdef TapSlot* slot = <TapSlot*> (self.slots + head % SLOTS * TAP_SLOT_BYTES)
        store_relaxed_64(&slot.sequence, 0)
        fence_release()
        slot.receive_ns = receive_ns if receive_ns else wall_ns()
        slot.length = length
        slot.stamp = stamp
        slot.line = line
        memcpy(slot.data, frame, min(length, <uint32_t> SLOT_DATA))
        store_release_64(&slot.sequence, head + 1)
        store_release_64(&self.header.head, head + 1)

    def check(self):
        """Stop copying for a reader that is gone; to be called now and then."""
        if self.wanted() and load_relaxed_64(&self.header.wanted_until) < steady_ns():
            store_relaxed_32(&self.header.wanted, 0)

    def close(self):
        """Take the file away; who has it open keeps it."""
        try:
            os.unlink(self.path)
        except FileNotFoundError:
            pass


cdef class TapReader:
    """A reader's end: copying begins with it, and ends with close() or seconds after its last read(). UserError."""

    cdef TapHeader* header
    cdef char* slots
    cdef uint64_t next
    cdef readonly uint64_t lost

    def __cinit__(self, path):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise UserError(
                f"can't read {path} ({error.strerror}): is the book process running, and is this user in its group?"
            ) from None
        try:
            if os.fstat(fd).st_size != FILE_BYTES:
                raise UserError(f"{path} is not this release's: restart the book process")
            self.header = <TapHeader*> _map(fd)
        finally:
            os.close(fd)
        if self.header.magic[:8] != MAGIC:
            raise UserError(f"{path} is not this release's: restart the book process")
        self.slots = <char*> self.header + TAP_HEADER_BYTES
        self.next = load_acquire_64(&self.header.head)
        self._want()

    def __dealloc__(self):
        if self.header != NULL:
            munmap(self.header, FILE_BYTES)

    def _want(self):
        store_relaxed_64(&self.header.wanted_until, steady_ns() + _KEEP_NS)
        store_relaxed_32(&self.header.wanted, 1)

    def read(self):
        """The frames since the last call, as (frame, length on the wire, receive time in ns, stamp kind, line)."""
        cdef uint64_t head = load_acquire_64(&self.header.head)
        cdef TapSlot* slot
        cdef TapSlot copy
        cdef bint whole
        self._want()
        if head - self.next > SLOTS:
            self.lost += head - self.next - SLOTS
            self.next = head - SLOTS
        found = []
        while self.next < head:
            slot = <TapSlot*> (self.slots + self.next % SLOTS * TAP_SLOT_BYTES)
            whole = load_acquire_64(&slot.sequence) == self.next + 1
            memcpy(&copy, slot, sizeof(TapSlot))
            fence_acquire()
            if whole and load_relaxed_64(&slot.sequence) == self.next + 1:
                data = copy.data[:min(copy.length, <uint32_t> SLOT_DATA)]
                found.append((data, copy.length, copy.receive_ns, copy.stamp, copy.line))
            else:
                self.lost += 1
            self.next += 1
        return found

    def close(self):
        """Want no more."""
        store_relaxed_32(&self.header.wanted, 0)
