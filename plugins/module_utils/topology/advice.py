"""What is allowed but costs latency: the plan warns about it."""

from __future__ import annotations

from collections.abc import Iterator

from .cpus import format_cpus
from .derive import housekeeping_cpus
from .model import Host, Wish

IRDMA = "irdma"


def l3_of(host: Host, cpu: int) -> frozenset[int]:
    """Return the CPUs that share a CPU's cache of the third level; none where the kernel doesn't tell."""
    return next((domain for domain in host.l3 if cpu in domain), frozenset())


def has_choice(host: Host) -> bool:
    """Whether a socket has several caches of the third level, so that one may be kept from other work."""
    return len(host.l3) > len(set(host.sockets.values()))


def warnings(wish: Wish, host: Host) -> Iterator[str]:
    """Yield what an expert would change, one sentence for each."""
    yield from _irdma(wish, host)
    slow = [f"{name} on CPU {cpu}" for name, cpu in wish.services if cpu in host.efficient]
    if slow:
        fast = format_cpus(host.online - host.efficient)
        yield f"{', '.join(slow)}: an E core, which is slower than the P cores {fast}."
    if not has_choice(host):
        return
    books = {name: cpu for name, cpu in wish.services if not name.startswith("feed-") and name != "sim"}
    for name, cpu in wish.services:
        for book, other in books.items():
            if name.startswith("feed-") and l3_of(host, cpu) != l3_of(host, other):
                yield f"{name} on CPU {cpu} and {book} on CPU {other} share no L3 cache: packets go through memory."
    housekeeping = housekeeping_cpus(wish, host)
    for domain in host.l3:
        served = [f"{name} on CPU {cpu}" for name, cpu in wish.services if cpu in domain]
        if served and domain & housekeeping:
            yield (
                f"{', '.join(served)}: housekeeping CPU {format_cpus(domain & housekeeping)} shares the L3 cache, and "
                "pushes books out of it."
            )


def _irdma(wish: Wish, host: Host) -> Iterator[str]:
    """Yield what ends a deploy: while E810's RDMA driver runs, ice refuses other channels (ice_set_channels())."""
    blacklisted = {
        name
        for parameter in wish.more_parameters
        if parameter.startswith("module_blacklist=")
        for name in parameter.partition("=")[2].split(",")
    }
    held = [
        asked.name
        for asked in wish.data_nics
        if asked.use != "vfio" and (nic := host.nic_for(asked)) is not None and nic.driver == "ice"
    ]
    if host.irdma and held and IRDMA not in blacklisted:
        yield (
            f"{', '.join(held)}: the RDMA driver irdma is loaded and holds the channels, so that they can't be changed:"
            " add module_blacklist=irdma to kernel_cmdline_extra, or give channels in nic_overrides as they are."
        )
