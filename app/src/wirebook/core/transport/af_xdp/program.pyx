"""Loads the XDP program (steer.bpf.c), attaches it, and reads what it counted. All but the last needs privileges.

The program is attached by a BPF link, which lives as long as a process holds its file descriptor: whatever ends the
last holder, SIGKILL too, the kernel takes the program off the interface (Linux, net/core/dev.c, bpf_xdp_link_release).
"""

import errno
import os
import socket

from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

cdef extern from "transport/af_xdp/steer.h":
    enum: STEER_VERDICTS
    enum: STEER_DESTINATIONS
    enum: STEER_QUEUES
    enum: STEER_SENDERS
    struct steer_destination:
        uint32_t group
        uint16_t port
        uint16_t zero
    struct steer_limit:
        uint64_t packet_ns
        uint64_t burst_ns

cdef extern from "<linux/if_link.h>":
    enum: XDP_FLAGS_SKB_MODE
    enum: XDP_FLAGS_DRV_MODE
    enum: XDP_ATTACHED_NONE
    enum: XDP_ATTACHED_SKB

cdef extern from "<bpf/libbpf.h>":
    struct bpf_object:
        pass
    struct bpf_map:
        pass
    struct bpf_program:
        pass
    struct bpf_xdp_query_opts:
        size_t sz
        uint32_t prog_id
        unsigned char attach_mode
    ctypedef int (*libbpf_print_fn_t)(int level, const char* format, void* arguments)
    libbpf_print_fn_t libbpf_set_print(libbpf_print_fn_t print_it)
    int libbpf_num_possible_cpus()
    bpf_object* bpf_object__open(const char* path)
    int bpf_object__load(bpf_object* object)
    void bpf_object__close(bpf_object* object)
    bpf_map* bpf_object__find_map_by_name(const bpf_object* object, const char* name)
    bpf_program* bpf_object__find_program_by_name(const bpf_object* object, const char* name)
    int bpf_map__set_initial_value(bpf_map* map, const void* data, size_t size)
    int bpf_map__fd(const bpf_map* map)
    int bpf_program__fd(const bpf_program* program)
    int bpf_xdp_query(int ifindex, int flags, bpf_xdp_query_opts* options)

cdef extern from "<bpf/bpf.h>":
    enum bpf_attach_type:
        BPF_XDP
    struct bpf_link_create_opts:
        size_t sz
        uint32_t flags
    int bpf_link_create(int program, int target, bpf_attach_type kind, const bpf_link_create_opts* options)
    int bpf_map_update_elem(int map, const void* key, const void* value, uint64_t flags)
    int bpf_map_lookup_elem(int map, const void* key, void* value)

MODES = {"auto": 0, "native": XDP_FLAGS_DRV_MODE, "generic": XDP_FLAGS_SKB_MODE}
VERDICTS = (
    "redirected", "unstamped", "other", "fragment", "options", "other_queue", "bad_length", "bad_checksum",
    "unknown_sender", "over_rate",
)
"""What can become of a frame, in the order of `enum steer_verdict`."""
assert len(VERDICTS) == STEER_VERDICTS

libbpf_set_print(NULL)  # what fails is told by an exception


def attached(int interface):
    """The XDP program of the interface with this index: (its id, "native" or "generic"), or None. OSError."""
    cdef bpf_xdp_query_opts options
    memset(&options, 0, sizeof(options))
    options.sz = sizeof(options)
    cdef int result = bpf_xdp_query(interface, 0, &options)
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    if options.attach_mode == XDP_ATTACHED_NONE:
        return None
    return options.prog_id, "generic" if options.attach_mode == XDP_ATTACHED_SKB else "native"


cdef class Program:
    """The program of the file `path`, loaded but not attached: it needs CAP_BPF and CAP_NET_ADMIN.

    `destinations` is a list of (group, port, line): what is redirected, and the number that the receiver is given with
    each packet. `packets_per_second` is the most that is redirected (0: no limit), `burst` how many may come at once.
    `senders` are the IPv4 addresses whose packets are redirected, 64 at most (none: everybody's). Raises OSError.
    """

    cdef bpf_object* object

    def __cinit__(self, path, destinations, uint64_t packets_per_second=0, uint64_t burst=0, senders=()):
        cdef steer_limit limit
        cdef steer_destination key
        cdef uint32_t line, address, anything = 0, listed_only = len(senders) > 0
        if len(senders) > STEER_SENDERS:
            raise ValueError(f"the XDP program knows {STEER_SENDERS} senders at most, not {len(senders)}")
        if not 0 < len(destinations) <= STEER_DESTINATIONS:
            raise ValueError(f"the XDP program redirects 1 to {STEER_DESTINATIONS} groups, not {len(destinations)}")
        self.object = bpf_object__open(os.fsencode(path))
        if self.object == NULL:
            raise FileNotFoundError(errno.ENOENT, "the XDP program can't be opened", str(path))
        limit.packet_ns = 1_000_000_000 // packets_per_second if packets_per_second else 0
        limit.burst_ns = limit.packet_ns * burst
        _succeed(bpf_map__set_initial_value(self.map(b".rodata.limit"), &limit, sizeof(limit)), "set its rate limit")
        _succeed(bpf_map__set_initial_value(self.map(b".rodata.listed_only"), &listed_only, sizeof(listed_only)),
                 "limit its senders")
        _succeed(bpf_object__load(self.object), "load the XDP program")
        for group, port, line in destinations:
            key.group = int.from_bytes(socket.inet_aton(group), "little")
            key.port = socket.htons(port)
            key.zero = 0
            _succeed(bpf_map_update_elem(self.map_fd(b"destinations"), &key, &line, 0), f"redirect {group}:{port}")

        for sender in senders:
            address = int.from_bytes(socket.inet_aton(sender), "little")
            _succeed(bpf_map_update_elem(self.map_fd(b"senders"), &address, &anything, 0), f"list {sender}")

    def __dealloc__(self):
        bpf_object__close(self.object)

    cdef bpf_map* map(self, const char* name):
        return bpf_object__find_map_by_name(self.object, name)

    cdef int map_fd(self, const char* name):
        return bpf_map__fd(self.map(name))

    def give(self, uint32_t queue, int xsk):
        """Redirect the frames of a receive queue to the AF_XDP socket `xsk`, which is bound to it already."""
        if queue >= STEER_QUEUES:
            raise ValueError(f"the XDP program knows queues 0 to {STEER_QUEUES - 1}, not {queue}")
        _succeed(bpf_map_update_elem(self.map_fd(b"sockets"), &queue, &xsk, 0), "hand frames to the socket")

    def attach(self, int interface, str mode="auto"):
        """Attach to the interface with this index, in one of MODES. Returns the link, a file descriptor to be kept."""
        cdef bpf_link_create_opts options
        cdef bpf_program* program = bpf_object__find_program_by_name(self.object, b"steer")
        memset(&options, 0, sizeof(options))
        options.sz = sizeof(options)
        options.flags = MODES[mode]
        return _succeed(
            bpf_link_create(bpf_program__fd(program), interface, BPF_XDP, &options), "attach the XDP program"
        )

    def verdicts(self):
        """A new file descriptor of the counters, for `Verdicts`."""
        return os.dup(self.map_fd(b"verdicts"))


cdef _succeed(int result, str what):
    if result < 0:
        raise OSError(-result, f"{os.strerror(-result)} (to {what})")
    return result


cdef class Verdicts:
    """Reads the program's counters by their file descriptor; needs no privilege since Linux 5.19."""

    cdef readonly int fd
    cdef uint64_t* values
    cdef int cpus

    def __cinit__(self, int fd):
        self.fd = fd
        self.cpus = libbpf_num_possible_cpus()
        self.values = <uint64_t*> calloc(self.cpus, sizeof(uint64_t))
        if self.values == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.values)

    def read(self):
        """Frames since the program was loaded, by verdict."""
        cdef uint32_t verdict
        cdef int cpu
        found = {}
        for verdict in range(STEER_VERDICTS):
            _succeed(bpf_map_lookup_elem(self.fd, &verdict, self.values), "read the XDP program's counters")
            found[VERDICTS[verdict]] = sum(self.values[cpu] for cpu in range(self.cpus))
        return found
