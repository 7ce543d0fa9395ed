"""Joins the parts of a feed handler: connections, snapshots, publisher, recording.

`connection` holds a WebSocket and its follower, `handover` replaces it in time, `rest` fetches snapshots, and
`publisher` sends. `wirebook.commands.feed` prepares the process that all this runs in.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict
from functools import partial
from itertools import count
from pathlib import Path

import uvloop

from wirebook import capabilities, channels, status
from wirebook.config import Config, Feed
from wirebook.core.base import cpu
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Reason
from wirebook.errors import UserError
from wirebook.feed.connection import Connection, Pace, Setting, backoff
from wirebook.feed.definitions import Definitions
from wirebook.feed.handover import Followed, Understudy
from wirebook.feed.lag import Lag
from wirebook.feed.progress import Progress
from wirebook.feed.publisher import Publisher, Sends
from wirebook.feed.quota import Quota, state_path
from wirebook.feed.rest import Rest, RestError
from wirebook.feed.tls import client_context
from wirebook.notify import notify, watchdog_interval
from wirebook.recording import Recorder
from wirebook.sayings import Sayings
from wirebook.venues.base import Instrument, MalformedError, Sink, Venue

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.01
_HEARTBEAT_SECONDS = 1.0
_LAG_SECONDS = 0.1
_PAUSE_SECONDS = 2.0
"""A shorter standstill may just be a busy machine; what waited meanwhile is judged by its age."""
_STATUS_SECONDS = 1.0
_SHORTEST_WAIT = 0.5
"""After the first snapshot that could not be had."""


def follow(handler: FeedHandler) -> None:
    """Let a feed handler work until SIGTERM or SIGINT."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(handler.run())


class FeedHandler:
    """Follows one venue: its connections, their books, and what is sent about them.

    `sender` makes what a channel's packets are sent by. `cpus` are those that REST's threads and the recording
    process may use.
    """

    def __init__(
        self,
        config: Config,
        feed: Feed,
        venue: Venue,
        cpus: Iterable[int],
        sender: Callable[[Config, Channel], Sends],
    ) -> None:
        self._config = config
        self._feed = feed
        self._venue = venue
        self._sender = sender
        self._tls = client_context(feed.ca_file)
        quota = Quota(venue.rest_limit, venue.rest_seconds, state_path(config, venue))
        self._rest = Rest(feed.rest or venue.rest, self._tls, venue, quota, cpus)
        self._wanted: asyncio.PriorityQueue[tuple[int, int, Connection, int]] = asyncio.PriorityQueue()
        self._numbers = count()
        """For snapshots that are equally urgent: first asked for, first fetched."""
        self._order = {symbol.id: place for place, symbol in enumerate(feed.symbols)}
        """Symbol ids as the configuration has them: what is most traded comes first."""
        self._sayings = Sayings()
        self._progress: Progress | None = None
        self._unknown: list[str] = []
        """Configured instruments that the venue doesn't have."""
        self._followed: list[Followed] = []
        self._stop = asyncio.Event()
        self._status = status.StatusFile(config.market.path, status.feed(venue.name))
        self._recorder: Recorder | None = None
        if feed.record:
            directory = Path(feed.record)
            self._recorder = Recorder(directory, venue.name, feed.record_megabytes, feed.record_seconds, cpus)

    async def run(self) -> None:
        """Follow the venue until SIGTERM or SIGINT. UserError for what the venue or the host can't provide."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        work = asyncio.ensure_future(self._work())
        alive = asyncio.ensure_future(_tell_alive())
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            notify("STOPPING=1")
            for followed in self._followed:
                followed.stop()
            work.cancel()
            alive.cancel()
            await asyncio.gather(work, alive, return_exceptions=True)
            if self._recorder is not None:
                self._recorder.close()
        _log.info("%s: stopped", self._venue.name)

    async def _work(self) -> None:
        feed, venue = self._feed, self._venue
        incremental, snapshot = (self._sender(self._config, channel) for channel in channels.CHANNELS)
        capabilities.drop("CAP_NET_RAW")  # AF_XDP's socket is made
        # All that this host must give is there. A venue that can't be reached holds up no boot: the books'
        # own states tell of it.
        notify("READY=1")
        instruments = await self._instruments()
        publisher = Publisher(
            venue.name,
            instruments,
            self._books(len(instruments), self._config.memory.hugepages),
            Encoder(venue.number, feed.stream, int(time.time()), secrets.randbits(32)),
            incremental,
            snapshot,
            self._config.transport.snapshot_rate,
        )
        setting = Setting(
            venue,
            (feed.websocket or venue.websocket).rstrip("/"),
            self._tls,
            publisher,
            feed.silence_seconds or venue.silence_seconds,
            feed.silence_seconds or venue.quiet_seconds,
            max(feed.behind_seconds, _PAUSE_SECONDS),
            feed.receive_buffer,
            self._want_snapshot,
            self._recorder,
            Pace(venue.connect_seconds),
            sayings=self._sayings,
        )
        lifetime = feed.lifetime_seconds or venue.lifetime_seconds
        # Normal pages: it is in use for some seconds a day, and a host's hugepages are counted out.
        understudy = Understudy(self._books(len(instruments) if lifetime or venue.warns else 0, "off"))
        async with asyncio.TaskGroup() as tasks:

            def make(share: list[Instrument], sink: Sink) -> Connection:
                connection = Connection(setting, share, sink)
                tasks.create_task(connection.run())
                return connection

            most = venue.streams_per_connection
            for start in range(0, len(instruments), most):
                share = instruments[start : start + most]
                self._followed.append(Followed(share, publisher, understudy, lifetime, make))
            cpu.freeze_gc()
            tasks.create_task(self._fetch_snapshots())
            tasks.create_task(self._tick(publisher, len(instruments)))
            tasks.create_task(self._watch(publisher, len(instruments)))

    def _books(self, count: int, hugepages: str) -> Books:
        """Books with room for `count` instruments' levels."""
        return Books(self._config.book.symbols, Arena(self._config.feed_arena_mb(count) << 20, hugepages))

    def _want_snapshot(self, connection: Connection, symbol: int) -> None:
        self._wanted.put_nowait((self._order[symbol], next(self._numbers), connection, symbol))

    async def _instruments(self) -> list[Instrument]:
        """The configured symbols with the venue's decimals, without those that the venue doesn't have.

        UserError if it has none of them.
        """
        definitions = Definitions(self._venue, self._rest, [symbol.instrument for symbol in self._feed.symbols])
        name, attempt = self._venue.name, 0
        if self._rest.quota.closed:
            _log.warning("%s: the venue refused this address; asking again in %.0f s", name, self._rest.quota.closed)
        while True:
            try:
                await definitions.read()
                break
            except (RestError, MalformedError) as error:
                wait = backoff(attempt, 1.0)
                shown = max(wait, self._rest.quota.closed)
                _log.warning("%s: can't read the instruments: %s; again in %.1f s", name, error, shown)
                attempt += 1
                await asyncio.sleep(wait)
        self._unknown = definitions.unknown
        if not definitions.scales:
            more = f" (and {len(self._unknown) - 1} more)" if len(self._unknown) > 1 else ""
            raise UserError(definitions.objection(self._unknown[0]) + more)
        for unknown in self._unknown:
            _log.error("%s; the feed runs without it", definitions.objection(unknown))
        return [
            Instrument(symbol.id, symbol.instrument, *definitions.scales[symbol.instrument])
            for symbol in self._feed.symbols
            if symbol.instrument in definitions.scales
        ]

    async def _fetch_snapshots(self) -> None:
        """One at a time, as the venue's budget allows; one that fails is tried again after the others."""
        failures = 0
        while True:
            order, _, connection, symbol = await self._wanted.get()
            if not connection.follower.awaits(symbol):
                continue  # the connection was lost since, or an earlier answer did it
            name = connection.follower.instruments[symbol].name
            try:
                path = self._venue.snapshot_path(name)
                connection.snapshot(symbol, await self._rest.get(path, partial(connection.requested, symbol, path)))
                failures = 0
            except RestError as error:
                wait = backoff(failures, _SHORTEST_WAIT)
                failures += 1
                shown = max(wait, self._rest.quota.closed)
                self._say(f"snapshot {error.status}", f"no snapshot of {name}: {error}; again in {shown:.1f} s")
                self._wanted.put_nowait((order + len(self._order), next(self._numbers), connection, symbol))
                await asyncio.sleep(wait)

    def _say(self, cause: str, text: str) -> None:
        line = self._sayings.line(cause, text, time.monotonic())
        if line is not None:
            _log.warning("%s: %s", self._venue.name, line)

    async def _watch(self, publisher: Publisher, total: int) -> None:
        """Judge how far behind the feed is, and report that and everything else."""
        lag, behind = Lag(self._feed.behind_seconds), 0
        next_status = 0.0
        due = time.monotonic()
        try:
            while True:
                now = time.monotonic()
                was_behind = lag.behind
                lag.sample(now, publisher.age, now - due)
                publisher.age = None
                if lag.behind and not was_behind:
                    behind += 1
                    self._fell_behind(lag)
                elif was_behind and not lag.behind:
                    _log.info("%s: caught up", self._venue.name)
                if now >= next_status:
                    next_status = now + _STATUS_SECONDS
                    self._status.write({**self._figures(lag, behind, total), **publisher.sent()})
                due = time.monotonic() + _LAG_SECONDS
                await asyncio.sleep(_LAG_SECONDS)
        finally:
            self._status.remove()

    def _fell_behind(self, lag: Lag) -> None:
        _log.warning(
            "%s: the feed is %.2f s behind the venue: books are stale, beginning with fresh snapshots",
            self._venue.name,
            lag.late,
        )
        lag.forget()
        for followed in self._followed:
            followed.connection.restart(Reason.TOO_SLOW)

    def _figures(self, lag: Lag, behind: int, total: int) -> dict[str, int | float | bool | str]:
        connections = [followed.connection for followed in self._followed]
        counters: Counter[str] = Counter()
        for connection in connections:
            counters.update(asdict(connection.follower.counters))
        return {
            "books": total,
            "live": sum(connection.follower.live for connection in connections),
            "starting": self._progress.text if self._progress is not None else "",
            "behind": lag.behind,
            "behind_times": behind,
            "late_seconds": round(lag.late, 6),
            "late_seconds_worst": round(lag.worst, 6),
            "halts": ", ".join(
                f"{name or 'all'}: {state}" for each in connections for name, state in each.follower.halts.items()
            )[:200],
            "unknown_symbols": len(self._unknown),
            "rest_closed_seconds": round(self._rest.quota.closed, 1),
            "not_recorded": self._recorder.dropped if self._recorder is not None else 0,
            **counters,
        }

    async def _tick(self, publisher: Publisher, total: int) -> None:
        """Do everything that depends on the clock."""
        live_before = -1
        progress = self._progress = Progress(total, time.monotonic())
        weight = 0.0 if self._venue.snapshots_in_band else self._venue.weight(self._venue.snapshot_path("X"))
        before = next_heartbeat = time.monotonic()
        while True:
            now = time.monotonic()
            publisher.cycle(now - before)
            before = now
            if now >= next_heartbeat:
                next_heartbeat = now + _HEARTBEAT_SECONDS
                publisher.heartbeat(time.time_ns())
            if self._recorder is not None:
                self._recorder.flush()
            for followed in self._followed:
                followed.tick(now, may_begin=not any(other.changing for other in self._followed))
            live = sum(followed.connection.follower.live for followed in self._followed)
            line = progress.look(live, now, self._rest.quota.duration(weight, total - live))
            if line is not None:
                _log.info("%s: %s", self._venue.name, line)
            if live != live_before:
                live_before = live
                notify(f"STATUS={progress.text or f'{live} of {total} books live'}")
                if live == total:
                    _log.info("%s: all %d books live", self._venue.name, total)
            await asyncio.sleep(_TICK_SECONDS)


async def _tell_alive() -> None:
    """Feed the service manager's watchdog, if it has one, from the loop that does all the work."""
    watchdog = watchdog_interval()
    while watchdog is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(watchdog)
