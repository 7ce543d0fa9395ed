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
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
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
from wirebook.feed.handover import Followed, Understudy
from wirebook.feed.lag import Lag
from wirebook.feed.publisher import Publisher, Sends
from wirebook.feed.rest import Rest, RestError
from wirebook.feed.tls import client_context
from wirebook.notify import notify, watchdog_interval
from wirebook.recording import Recorder
from wirebook.venues.base import Instrument, MalformedError, Scale, Sink, Venue

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.01
_HEARTBEAT_SECONDS = 1.0
_LAG_SECONDS = 0.1
_PAUSE_SECONDS = 2.0
"""A shorter standstill may just be a busy machine; what waited meanwhile is judged by its age."""
_STATUS_SECONDS = 1.0


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
        self._rest = Rest(feed.rest or venue.rest, self._tls, cpus)
        self._wanted: asyncio.Queue[tuple[Connection, int]] = asyncio.Queue()
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
            self._rest.close()
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
        )
        lifetime = feed.lifetime_seconds or venue.lifetime_seconds
        # Normal pages: it is in use for some seconds a day, and a host's hugepages are counted out.
        understudy = Understudy(self._books(len(instruments) if lifetime else 0, "off"))
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
        self._wanted.put_nowait((connection, symbol))

    async def _instruments(self) -> list[Instrument]:
        """The configured symbols with the venue's decimals. UserError for one that the venue doesn't have."""
        names = [symbol.instrument for symbol in self._feed.symbols]
        scales: dict[str, Scale] = {}
        attempt = 0
        while True:
            try:
                for path in self._venue.instruments_paths(names):
                    scales.update(await self._define(path))
                break
            except (RestError, MalformedError) as error:
                if isinstance(error, RestError) and error.status == 400:
                    await self._name_unknown(names)
                wait = max(backoff(attempt, 1.0), getattr(error, "retry_after", 0.0))
                _log.warning("%s: can't read the instruments: %s; again in %.1f s", self._venue.name, error, wait)
                attempt += 1
                await asyncio.sleep(wait)
        for name in names:
            if name not in scales:
                raise UserError(f"{self._venue.name} has no instrument {name}; take it out of the [[feed]]'s symbols")
        return [Instrument(symbol.id, symbol.instrument, *scales[symbol.instrument]) for symbol in self._feed.symbols]

    async def _define(self, path: str) -> Mapping[str, Scale]:
        return self._venue.instruments(await self._rest.get(path))

    async def _name_unknown(self, names: list[str]) -> None:
        """The venue refused a list without saying why, so halve it until one name is left."""
        while len(names) > 1:
            half = names[: len(names) // 2]
            names = half if await self._refused(half) else names[len(names) // 2 :]
        if await self._refused(names):
            raise UserError(f"{self._venue.name} has no instrument {names[0]}; take it out of the [[feed]]'s symbols")

    async def _refused(self, names: list[str]) -> bool:
        try:
            for path in self._venue.instruments_paths(names):
                await self._define(path)
        except RestError as error:
            if error.status == 400:
                return True
            raise
        return False

    async def _fetch_snapshots(self) -> None:
        """One at a time, spaced as the venue's budget allows; one that fails is tried again after the others."""
        failures = 0
        while True:
            connection, symbol = await self._wanted.get()
            if not connection.follower.awaits(symbol):
                continue  # the connection was lost since, or an earlier answer did it
            name = connection.follower.instruments[symbol].name
            wait = self._venue.snapshot_seconds
            try:
                path = self._venue.snapshot_path(name)
                connection.requested(symbol, path)
                connection.snapshot(symbol, await self._rest.get(path))
                failures = 0
            except RestError as error:
                wait = max(backoff(failures, wait), error.retry_after)
                failures += 1
                _log.warning("%s: no snapshot of %s: %s; again in %.1f s", self._venue.name, name, error, wait)
                self._wanted.put_nowait((connection, symbol))
            await asyncio.sleep(wait)

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

    def _figures(self, lag: Lag, behind: int, total: int) -> dict[str, int | float | bool]:
        connections = [followed.connection for followed in self._followed]
        counters: Counter[str] = Counter()
        for connection in connections:
            counters.update(asdict(connection.follower.counters))
        return {
            "books": total,
            "live": sum(connection.follower.live for connection in connections),
            "behind": lag.behind,
            "behind_times": behind,
            "late_seconds": round(lag.late, 6),
            "late_seconds_worst": round(lag.worst, 6),
            "not_recorded": self._recorder.dropped if self._recorder is not None else 0,
            **counters,
        }

    async def _tick(self, publisher: Publisher, total: int) -> None:
        """Do everything that depends on the clock."""
        live_before = -1
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
            if live != live_before:
                live_before = live
                notify(f"STATUS={live} of {total} books live")
                if live == total:
                    _log.info("%s: all %d books live", self._venue.name, total)
            await asyncio.sleep(_TICK_SECONDS)


async def _tell_alive() -> None:
    """Feed the service manager's watchdog, if it has one, from the loop that does all the work."""
    watchdog = watchdog_interval()
    while watchdog is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(watchdog)
