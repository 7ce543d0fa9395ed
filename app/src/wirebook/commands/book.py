"""`wirebook book`: the one process that keeps all books of a node and publishes them in shared memory."""

from __future__ import annotations

import argparse
import logging
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from wirebook import capabilities, channels, status, transports, venues
from wirebook import config as configuration
from wirebook.config import Config
from wirebook.core.base import cpu
from wirebook.core.base.memory import Arena, lock_memory, locked_bytes
from wirebook.core.base.process import status_bytes
from wirebook.core.books.books import Books
from wirebook.core.engine.arbiter import Publication, Refusal
from wirebook.core.engine.engine import Engine, memory_bytes
from wirebook.core.market.writer import MarketWriter
from wirebook.notify import notify, watchdog_interval
from wirebook.sayings import Sayings
from wirebook.transports import Reception

_TURN_SECONDS = 0.1
"""How long the engine runs before it looks at signals, metrics and the watchdog: a stop takes no longer than this."""
_STATUS_SECONDS = 5.0

_REFUSED = {
    "unknown stream": "packets of {who} come from {sender}, and no [[feed]] names that stream",
    "sender": "packets of {who} come from {sender}, which transport.senders doesn't list",
    "publisher": "another publisher of {who} speaks from {sender}: it is refused while the followed one speaks, and "
    "its books are stale if it may have come in that one's place; stop one of the two, or give it a stream of its own",
    "epoch": "a publisher of {who} at {sender} began more than an hour from now: set its host's clock",
    "symbol": "the publisher of {who} at {sender} speaks of symbols that its [[feed]] doesn't have",
    "name": "the publisher of {who} at {sender} names a symbol otherwise than its [[feed]] does",
}
"""What a refusal means, by its kind."""

_log = logging.getLogger(__name__)


def main(options: argparse.Namespace) -> int:
    """Keep the books of the configuration that the command line names."""
    run(configuration.load(options.config), options.audit)
    return 0


def run(config: Config, audit: Path | None = None) -> None:
    """Keep the books until SIGTERM or SIGINT. `audit` gets a line for every event published, see `Engine`."""
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if config.book.cpu >= 0:  # first: memory comes from the node of the CPU that asks for it
        cpu.pin(config.book.cpu, "book.cpu")
        _log.info("pinned to CPU %d", config.book.cpu)
    reception = transports.receivers(config)
    engine = _engine(config, reception, audit)
    # All is open now. Whatever gets into this process later, it can't touch the host's network.
    capabilities.drop("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF")
    told = status.StatusFile(config.market.path, status.TRANSPORT)
    cpu.freeze_gc()
    notify("READY=1")
    _log.info("ready")
    watchdog = watchdog_interval() or _STATUS_SECONDS
    due = status_due = 0.0
    sayings, refused = Sayings(), dict[Refusal, int]()
    try:
        while not stopping:
            engine.run(_TURN_SECONDS)
            now = time.monotonic()
            if now >= status_due:
                for receiver in reception.receivers:
                    for warning in receiver.watch():
                        _log.warning("%s", warning)
                for line in _refusals(engine, refused, sayings, now):
                    _log.warning("%s", line)
                told.write(_status(config, reception))
                status_due = now + 1.0
            if now >= due:
                notify(f"WATCHDOG=1\nSTATUS={engine.live()} books live")
                due = now + watchdog
    finally:
        notify("STOPPING=1")
        engine.market.close()
        told.remove()
        for receiver in reception.receivers:
            receiver.close()
    _log.info("stopped: %s", ", ".join(f"{name} {value}" for name, value in engine.counters().items() if value))


def _publications(config: Config) -> tuple[Publication, ...] | None:
    """The streams to follow, with their books; None where the configuration has no feed: then whatever comes is."""
    if not config.feed:
        return None
    return tuple(
        Publication(
            venues.NUMBERS[feed.venue],
            feed.stream,
            {symbol.id: f"{feed.venue}:{symbol.instrument}" for symbol in feed.symbols},
        )
        for feed in config.feed
    )


def _refusals(engine: Engine, told: dict[Refusal, int], sayings: Sayings, now: float) -> Iterator[str]:
    """What to say of those that weren't believed since the last call; `told` remembers how many packets each had."""
    names = {number: venue for venue, number in venues.NUMBERS.items()}
    for refusal in engine.refusals():
        who = refusal._replace(packets=0)
        if told.get(who) == refusal.packets:
            continue
        told[who] = refusal.packets
        stream = f"{names.get(refusal.venue, f'venue {refusal.venue}')}, stream {refusal.stream},"
        text = _REFUSED[refusal.kind].format(who=stream, sender=refusal.sender or "an unknown address")
        line = sayings.line(f"{refusal.kind} {stream} {refusal.sender.partition(':')[0]}", text, now)
        if line is not None:
            yield f"{line} ({refusal.packets} so far)"


def _status(config: Config, reception: Reception) -> dict[str, int | float | bool | str]:
    """What `wirebook top` and the exporter show of the transport."""
    totals: Counter[str] = Counter()
    for receiver in reception.receivers:
        totals.update(receiver.counters())
    return {
        "asked": config.transport.kind,
        "kind": reception.kind,
        "how": reception.how,
        "fell_back": reception.fell_back,
        **totals,
    }


def _engine(config: Config, reception: Reception, audit: Path | None) -> Engine:
    """Everything that can fail, fails here, before the process says that it is ready."""
    transport, book = config.transport, config.book
    arena = Arena(config.memory.arena_mb << 20, config.memory.hugepages)
    _log.info("arena of %d MB on %s pages (%d MB huge)", arena.size >> 20, arena.kind, arena.huge_bytes >> 20)
    books = Books(book.symbols, arena, book.prefetch, leave=memory_bytes())
    market = MarketWriter(config.market.path, book.symbols)
    _log.info("packets come by %s (%s)", reception.kind, reception.how)
    for channel in channels.CHANNELS:
        for line, endpoint in zip("AB", channels.endpoints(transport, channel), strict=False):
            _log.info("line %s: joined %s:%d on %s", line, *endpoint)
    for note in dict.fromkeys(note for receiver in reception.receivers for note in receiver.notes):
        _log.warning("%s", note)
    expected = _publications(config)
    if expected is None:
        _log.warning(
            "no [[feed]] is configured, so every stream that comes is believed: name them, with remote = true "
            "where another node runs the feed"
        )
    engine = Engine(
        books,
        market,
        reception.receivers,
        arena,
        batch=book.batch,
        busy=book.poll == "busy",
        silence=book.silence_seconds,
        behind=book.behind_seconds,
        audit=audit,
        lines=channels.lines(transport),
        gap_timeout=transport.gap_timeout_ms / 1000,
        publications=expected,
        senders=transport.senders,
    )
    if config.memory.lock:
        lock_memory()
        # The kernel leaves hugetlb pages out of VmLck: they can't be taken away anyway.
        hugepages = status_bytes("HugetlbPages")
        _log.info("locked %d MB of memory, beside %d MB of hugetlb pages", locked_bytes() >> 20, hugepages >> 20)
    _log.info("%d books, market cache in %s, %s polling", book.symbols, config.market.path, book.poll)
    return engine
