"""Memory of the hot processes: one arena taken at start, on hugepages where the host has them."""

import errno
import os
import resource
from pathlib import Path

from libc.errno cimport errno as c_errno
from libc.stdint cimport uintptr_t
from libc.string cimport memset
from posix.mman cimport MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, MCL_CURRENT, MCL_FUTURE, PROT_READ, PROT_WRITE
from posix.mman cimport mlockall, mmap, munmap

from wirebook.core.base.sanitize cimport RED_ZONE, allow, forbid
from wirebook.core.base.process import status_bytes
from wirebook.errors import UserError

cdef extern from "<sys/mman.h>" nogil:
    enum: MAP_HUGETLB
    enum: MAP_HUGE_2MB
    enum: MAP_POPULATE
    enum: MADV_HUGEPAGE
    int madvise(void* address, size_t length, int advice)

cdef extern from *:
    """
    #ifndef MAP_HUGE_2MB
    #define MAP_HUGE_2MB (21 << 26)
    #endif
    """

cdef enum:
    HUGE = 2 << 20
    LINE = 64

POLICIES = ("auto", "explicit", "transparent", "off")


cdef class Arena:
    """`size` bytes (rounded up to 2 MB) of zeroed, private memory, faulted in before the constructor returns.

    `policy` is `memory.hugepages` of the configuration. `auto` takes explicit 2 MB hugepages (hugetlb), else
    transparent ones, else normal pages; `explicit` and `transparent` take that or raise UserError; `off` takes normal
    pages. `kind` tells what was obtained, `huge_bytes` how much of it the kernel really backs with hugepages.

    Allocation only ever moves forward; the arena goes back to the kernel as a whole, with the object.
    """

    def __cinit__(self, size_t size, str policy="auto"):
        if policy not in POLICIES:
            raise ValueError(f"hugepages is one of {', '.join(POLICIES)}, not {policy!r}")
        if not 0 < size <= 1 << 40:
            raise ValueError(f"an arena has 1 byte to 1 TB, not {size}")
        self.size = (size + HUGE - 1) // HUGE * HUGE
        self._map(policy)
        forbid(self.base, self.size)

    def _map(self, str policy):
        if policy in ("auto", "explicit") and self._map_explicit():
            return
        if policy == "explicit":
            raise UserError(
                f"no {self.size // HUGE} free hugepages of 2 MB ({_meminfo('HugePages_Free')} are free): "
                "raise vm.nr_hugepages, or set memory.hugepages to \"auto\""
            )
        self._map_normal(policy != "off")
        if policy == "transparent" and self.kind != "transparent":
            raise UserError(
                "the kernel gave no transparent hugepages: write madvise to "
                "/sys/kernel/mm/transparent_hugepage/enabled, or set memory.hugepages to \"auto\""
            )

    def __dealloc__(self):
        if self.mapping != NULL:
            allow(self.mapping, self.mapped)
            munmap(self.mapping, self.mapped)

    def _map_explicit(self):
        # MAP_POPULATE takes the pages now: hugetlb's own reservation doesn't cover a cgroup's or a NUMA node's limit,
        # and breaking one of those at first touch is a SIGBUS.
        cdef void* address = mmap(NULL, self.size, PROT_READ | PROT_WRITE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB | MAP_POPULATE, -1, 0)
        if address == MAP_FAILED:
            return False
        self.mapping = address
        self.mapped = self.size
        self.base = <char*> address
        self.kind = "explicit"
        self.huge_bytes = self.size
        return True

    def _map_normal(self, bint transparent):
        # One hugepage more than asked for, to start on a hugepage's boundary: THP backs only whole aligned ones.
        cdef void* address = mmap(NULL, self.size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if address == MAP_FAILED:
            raise MemoryError(f"no {self.size} bytes of memory: {os.strerror(c_errno)}")
        self.mapping = address
        self.mapped = self.size + HUGE
        self.base = <char*> ((<uintptr_t> address + HUGE - 1) // HUGE * HUGE)
        if transparent:
            madvise(self.base, self.size, MADV_HUGEPAGE)
        with nogil:
            memset(self.base, 0, self.size)
        self.huge_bytes = _transparent_bytes(<uintptr_t> self.base)
        # The advice is no promise: fragmented memory or enabled=never give small pages, so only smaps counts.
        self.kind = "transparent" if self.huge_bytes * 10 >= self.size * 9 else "normal"

    @property
    def free(self):
        """Bytes that are still to be had."""
        return self.size - self.used

    cdef void* take(self, size_t size) except NULL:
        """`size` zeroed bytes, aligned to a cache line; MemoryError when the arena has no more."""
        cdef size_t rounded = (size + LINE - 1) // LINE * LINE
        cdef void* address = self.base + self.used
        if rounded > self.size - self.used:
            raise MemoryError(f"the arena has {self.size - self.used} bytes left, {rounded} were asked for")
        self.used = min(self.size, self.used + rounded + RED_ZONE)
        allow(address, size)
        return address


def _meminfo(field):
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    return 0


def _transparent_bytes(address):
    """Bytes of the mapping around `address` that transparent hugepages back (AnonHugePages in smaps)."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split(maxsplit=1)[0]
        if "-" in head and not head.endswith(":"):
            start, _, end = head.partition("-")
            inside = int(start, 16) <= address < int(end, 16)
        elif inside and head == "AnonHugePages:":
            return int(line.split()[1]) * 1024
    return 0


def lock_memory():
    """mlockall(MCL_CURRENT | MCL_FUTURE): no page of this process leaves memory any more. UserError says why not."""
    if mlockall(MCL_CURRENT | MCL_FUTURE) != 0:
        raise UserError(lock_failure(c_errno))


def lock_failure(int code):
    """The sentence for an errno of mlockall(2)."""
    limits = " and ".join(
        "unlimited" if limit == resource.RLIM_INFINITY else f"{limit // 1024} KB"
        for limit in resource.getrlimit(resource.RLIMIT_MEMLOCK)
    )
    if code == errno.ENOMEM:
        return (
            f"memory can't be locked, RLIMIT_MEMLOCK is too small (soft and hard: {limits}; the process has "
            f"{status_bytes('VmSize') // 1024} KB): set LimitMEMLOCK=infinity in the unit, or run `ulimit -l unlimited`"
        )
    if code == errno.EPERM:
        return (
            f"memory can't be locked without CAP_IPC_LOCK while RLIMIT_MEMLOCK is {limits} (soft and hard): "
            "give the unit LimitMEMLOCK=infinity, or set memory.lock to false"
        )
    return f"memory can't be locked: {os.strerror(code)} (mlockall); set memory.lock to false to run without"


def locked_bytes():
    """Bytes of this process that are locked (VmLck): the proof that lock_memory() did something."""
    return status_bytes("VmLck")


def page_faults():
    """(minor, major) page faults of this process since it started."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_minflt, usage.ru_majflt
