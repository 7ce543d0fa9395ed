"""`wirebook check`: whether this host and user can give what the configuration asks for.

Run before a release goes live. It changes nothing; venues are asked whether they have the instruments. Every verdict
says what was found and what was asked for.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from wirebook import capabilities, channels
from wirebook import config as configuration
from wirebook.config import Config, Feed
from wirebook.core import build_info
from wirebook.core.base.process import status_bytes
from wirebook.core.market.view import MarketView
from wirebook.errors import UserError
from wirebook.feed.definitions import Definitions
from wirebook.feed.quota import Quota, state_path
from wirebook.feed.rest import Rest, RestError
from wirebook.feed.tls import client_context
from wirebook.venues import get
from wirebook.venues.base import MalformedError
from wirebook.xdp import interface as interfaces

_VENUE_SECONDS = 10.0
_MEGABYTE = 1 << 20
_HUGEPAGE_KB = 2048
_LOCKED_BESIDES_ARENAS = 128 * _MEGABYTE
"""The interpreter, its libraries and the batches, which a locked process holds besides its books."""


@dataclass(frozen=True)
class Result:
    """The verdict on one thing that the configuration asks for."""

    name: str
    verdict: Literal["PASS", "FAIL", "NOT-RUN"]
    text: str


def main(options: argparse.Namespace) -> int:
    """Print the verdicts; returns 1 if one is FAIL."""
    config = configuration.load(options.config)
    results = check(config)
    if not options.offline:
        results += asyncio.run(_venues(config))
    print(as_json(results) if options.json else as_text(results))
    return 1 if any(result.verdict == "FAIL" for result in results) else 0


def check(config: Config) -> list[Result]:
    """All verdicts, in the order of the configuration's sections."""
    return [*_memory(config), *_transport(config), *_af_xdp(config), *_cpus(config), *_market(config)]


async def _venues(config: Config) -> list[Result]:
    """Ask each venue for the instruments that its feed is to follow, all at once."""
    return list(await asyncio.gather(*(_instruments(config, feed) for feed in config.feed)))


async def _instruments(config: Config, feed: Feed) -> Result:
    name, venue = f"feed {feed.venue} symbols", get(feed.venue)
    quota = Quota(venue.rest_limit, venue.rest_seconds, state_path(config, venue))
    if quota.closed:
        return Result(name, "NOT-RUN", f"the venue wants no request of this address for another {quota.closed:.0f} s")
    rest = Rest(feed.rest or venue.rest, client_context(feed.ca_file), venue, quota, os.sched_getaffinity(0))
    definitions = Definitions(venue, rest, [symbol.instrument for symbol in feed.symbols])
    try:
        async with asyncio.timeout(_VENUE_SECONDS):
            await definitions.read()
    except TimeoutError:
        return Result(name, "NOT-RUN", f"the venue gave no answer in {_VENUE_SECONDS:.0f} s")
    except (RestError, MalformedError) as error:
        return Result(name, "NOT-RUN", f"the venue can't be asked: {error}")
    if definitions.unknown:
        more = len(definitions.unknown) - 3
        some = [definitions.objection(unknown) for unknown in definitions.unknown[:3]]
        return Result(name, "FAIL", "; ".join([*some, f"and {more} more"] if more > 0 else some))
    return Result(name, "PASS", f"{feed.venue} has all of its {len(feed.symbols)}")


def as_text(results: list[Result]) -> str:
    """A line per verdict, for a person."""
    width = max(len(result.name) for result in results)
    return "\n".join(f"{result.verdict:7}  {result.name:{width}}  {result.text}" for result in results)


def as_json(results: list[Result]) -> str:
    """A list of objects with name, verdict and text."""
    return json.dumps([asdict(result) for result in results])


def _memory(config: Config) -> Iterator[Result]:
    name = "memory.lock"
    if not config.memory.lock:
        yield Result(name, "NOT-RUN", "memory is not to be locked")
    else:
        arenas = max([config.memory.arena_mb, *(_feed_arenas_mb(config, feed) for feed in config.own_feeds())])
        asked = arenas * _MEGABYTE + _LOCKED_BESIDES_ARENAS
        soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        shown = "unlimited" if soft == resource.RLIM_INFINITY else f"{soft // 1024} kB"
        if capabilities.has("CAP_IPC_LOCK"):
            yield Result(name, "PASS", "this process may lock any amount (CAP_IPC_LOCK)")
        elif soft == resource.RLIM_INFINITY or soft >= asked:
            yield Result(name, "PASS", f"the memlock limit is {shown}")
        else:
            yield Result(
                name,
                "FAIL",
                f"the memlock limit is {shown}, about {asked // 1024} kB are needed: raise LimitMEMLOCK",
            )
    yield _hugepages(config)


def _feed_arenas_mb(config: Config, feed: Feed) -> int:
    """A feed whose connections are replaced before the venue cuts them builds the same books a second time."""
    planned = feed.lifetime_seconds or get(feed.venue).lifetime_seconds or get(feed.venue).warns
    count = len(feed.symbols)
    return config.feed_arena_mb(count) + config.feed_arena_mb(count if planned else 0)


def _hugepages(config: Config) -> Result:
    name, policy = "memory.hugepages", config.memory.hugepages
    needed = -(-config.memory.arena_mb * 1024 // _HUGEPAGE_KB)
    free = _number(Path(f"/sys/kernel/mm/hugepages/hugepages-{_HUGEPAGE_KB}kB/free_hugepages"))
    mode = _text(Path("/sys/kernel/mm/transparent_hugepage/enabled"))
    transparent = "[always]" in mode or "[madvise]" in mode
    if policy == "off":
        return Result(name, "NOT-RUN", "hugepages are not asked for")
    held = _held_hugepages(config)
    found = f"{free or 0} free hugepages of 2 MB" + (f" and {held} that the running book gives back" if held else "")
    if policy != "transparent" and free is not None and free + held >= needed:
        return Result(name, "PASS", f"{found}, {needed} needed")
    if policy == "explicit":
        return Result(name, "FAIL", f"{found}, {needed} needed: raise vm.nr_hugepages")
    if transparent:
        return Result(name, "PASS", f"transparent hugepages ({mode}); {free or 0} free explicit ones")
    if policy == "auto":
        return Result(
            name,
            "PASS",
            f"normal pages will be used: {free or 0} free hugepages, transparent ones are {mode or 'absent'}",
        )
    return Result(name, "FAIL", f"transparent hugepages are {mode or 'absent'}: set them to madvise")


def _held_hugepages(config: Config) -> int:
    """The 2 MB pages that the running book process of this market cache holds: it ends before the next one starts."""
    try:
        view = MarketView(config.market.path)
    except UserError:
        return 0  # none has run here
    return status_bytes("HugetlbPages", view.pid) // 1024 // _HUGEPAGE_KB if view.alive else 0


def _transport(config: Config) -> Iterator[Result]:
    transport = config.transport
    there = [name for _, name in socket.if_nameindex()]
    for key, interface in (("interface", transport.interface), ("interface_b", transport.interface_b)):
        if interface in there:
            yield Result(f"transport.{key}", "PASS", f"{interface} is there")
        elif interface:
            yield Result(f"transport.{key}", "FAIL", f"there is no {interface}; there are {', '.join(there)}")
    yield _receive_buffer("transport.receive_buffer", transport.receive_buffer)
    for feed in config.own_feeds():
        if feed.receive_buffer:
            yield _receive_buffer(f"feed {feed.venue} receive_buffer", feed.receive_buffer)


def _af_xdp(config: Config) -> Iterator[Result]:
    """On which interfaces AF_XDP is possible; only the book process tries to attach."""
    if config.transport.kind != "af_xdp":
        return
    refused: Literal["FAIL", "NOT-RUN"] = "FAIL" if config.transport.fallback == "refuse" else "NOT-RUN"
    if not build_info.AF_XDP:
        yield Result("transport.kind", refused, "this build of wirebook has no AF_XDP")
        return
    names = dict.fromkeys(
        endpoint.interface
        for channel in channels.CHANNELS
        for endpoint in channels.endpoints(config.transport, channel)
    )
    for name in names:
        try:
            interfaces.check(name, config.af_xdp.queue, native=config.af_xdp.mode != "generic")
        except UserError as error:
            yield Result("transport.kind", refused, str(error))
        else:
            yield Result("transport.kind", "PASS", f"AF_XDP is possible on queue {config.af_xdp.queue} of {name}")


def _receive_buffer(name: str, asked: int) -> Result:
    most = _number(Path("/proc/sys/net/core/rmem_max"))
    if capabilities.has("CAP_NET_ADMIN"):
        return Result(name, "PASS", f"{asked} bytes, past net.core.rmem_max by CAP_NET_ADMIN")
    if most is None:
        return Result(name, "NOT-RUN", "net.core.rmem_max can't be read")
    if most >= asked:
        return Result(name, "PASS", f"net.core.rmem_max is {most}, {asked} needed")
    return Result(name, "FAIL", f"net.core.rmem_max is {most}, {asked} needed: raise it")


def _cpus(config: Config) -> Iterator[Result]:
    allowed = os.sched_getaffinity(0)
    wanted = [("book.cpu", config.book.cpu), *((f"feed {feed.venue} cpu", feed.cpu) for feed in config.own_feeds())]
    taken: dict[int, str] = {}
    for name, cpu in wanted:
        if cpu < 0:
            yield Result(name, "NOT-RUN", "not pinned")
        elif cpu not in (_online() or allowed):
            yield Result(name, "FAIL", f"this host has no CPU {cpu} online")
        elif cpu in taken:
            yield Result(
                name, "FAIL", f"CPU {cpu} is also {taken[cpu]}'s: two busy processes on one CPU stop each other"
            )
        elif cpu not in allowed and not _settable(cpu):
            yield Result(name, "FAIL", f"CPU {cpu} is outside this process's cpuset, {sorted(allowed)}")
        else:
            yield Result(name, "PASS", f"CPU {cpu} is available")
        taken.setdefault(cpu, name)


def _settable(cpu: int) -> bool:
    """Whether this thread may move to `cpu`; it moves back at once."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        return False
    os.sched_setaffinity(0, before)
    return True


def _market(config: Config) -> Iterator[Result]:
    path = Path(config.market.path)
    if path.exists():
        usable = os.access(path, os.W_OK)
        yield Result("market.path", "PASS" if usable else "FAIL", f"{path} is {'' if usable else 'not '}writable")
        return
    directory = path.parent
    if directory.is_dir() and os.access(directory, os.W_OK | os.X_OK):
        yield Result("market.path", "PASS", f"{directory} is writable")
    else:
        yield Result("market.path", "FAIL", f"{directory} is not a directory that this user may write to: create it")


def _online() -> set[int]:
    """The online CPUs, from a list such as 0-3,6; empty if the kernel doesn't say."""
    ranges = [part.partition("-") for part in _text(Path("/sys/devices/system/cpu/online")).split(",") if part]
    return {cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)}


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None
