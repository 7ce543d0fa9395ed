"""engine.toml: one file for the whole node, checked completely before any process does anything.

Read with the standard library's `tomllib` and checked by the small table of rules below. A schema library was tried
first: its messages name the type it expected, not the value it found nor the range that is allowed, and those two are
what an operator needs at 3 am.

Every error is a `UserError` of one sentence: the key, the value, what is allowed.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

from wirebook.errors import UserError

DEFAULT_PATH = Path("/etc/wirebook/engine.toml")
MAX_SYMBOLS = 2048
"""Symbol ids run from 0 to one less than this: the books are preallocated, one slot per id."""
_FEED_ARENA_MB_PER_SYMBOL = 4
"""Two sides of 10,000 scattered levels."""
_LEAST_FEED_ARENA_MB = 24
"""2,048 books without a level take 18."""

_T = TypeVar("_T")
_Test = Callable[[Any], bool]


def _rule(allowed: str, test: _Test, default: Any = MISSING) -> Any:
    """A dataclass field whose value must pass `test`; `allowed` says in words what passes."""
    return field(default=default, metadata={"allowed": allowed, "test": test})


def _between(low: int, high: int, default: Any = MISSING) -> Any:
    return _rule(f"an integer from {low} to {high}", lambda value: low <= value <= high, default)


def _seconds(low: float, high: float) -> Any:
    return _rule(
        f"a number of seconds from {low} to {high}, or 0 for the venue's own",
        lambda value: value == 0 or low <= value <= high,
        0.0,
    )


def _choice(*choices: str, default: str) -> Any:
    return _rule("one of " + ", ".join(choices), lambda value: value in choices, default)


def _boolean(default: bool) -> Any:
    return _rule("true or false", lambda _: True, default)


def _text(pattern: str, allowed: str, default: Any = MISSING) -> Any:
    compiled = re.compile(pattern)
    return _rule(allowed, lambda value: compiled.fullmatch(value) is not None, default)


def _group(default: str) -> Any:
    return _rule("an IPv4 multicast address, 224.0.1.0 to 239.255.255.255", _is_group, default)


def _group_or_none() -> Any:
    return _rule(
        "an IPv4 multicast address, 224.0.1.0 to 239.255.255.255, or empty for no line B",
        lambda value: value == "" or _is_group(value),
        "",
    )


def _is_group(value: str) -> bool:
    """224.0.0.x is left out: those groups are link-local control traffic, which switches flood and never prune."""
    parts = value.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and str(int(part)) == part for part in parts):
        return False
    numbers = [int(part) for part in parts]
    return max(numbers) <= 255 and numbers >= [224, 0, 1, 0] and numbers[0] <= 239


def _url(*schemes: str) -> Any:
    allowed = "a URL with a host that starts with " + " or ".join(f"{scheme}://" for scheme in schemes)
    return _rule(allowed, lambda value: _is_url(value, schemes), "")


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 (raises for a port that is no port)
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and not parts.query and not parts.fragment


@dataclass(frozen=True)
class Node:
    """[node]."""

    name: str = _text(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}", "a host name", "node")


@dataclass(frozen=True)
class Memory:
    """[memory]: what every process of the engine allocates at its start."""

    lock: bool = _boolean(True)
    hugepages: str = _choice("auto", "explicit", "transparent", "off", default="auto")
    arena_mb: int = _between(1, 1 << 20, 256)


@dataclass(frozen=True)
class Transport:
    """[transport]: from the feeds to the book process."""

    kind: str = _choice("udp", "af_xdp", default="udp")
    fallback: str = _choice("udp", "refuse", default="refuse")
    """What the book process does when AF_XDP can't be had: receive through the kernel, and say so, or not start."""
    interface: str = _text(r"[^\s/]{1,15}", "the name of a network interface", "lo")
    group: str = _group("239.192.7.1")
    port: int = _between(1, 65535, 17001)
    snapshot_group: str = _group("239.192.7.2")
    snapshot_port: int = _between(1, 65535, 17002)
    group_b: str = _group_or_none()
    """Line B: the same packets once more, on other groups and, best of all, over another network."""
    port_b: int = _between(0, 65535, 0)
    """0: line A's."""
    snapshot_group_b: str = _group_or_none()
    snapshot_port_b: int = _between(0, 65535, 0)
    interface_b: str = _text(r"[^\s/]{0,15}", "the name of a network interface, or empty for line A's", "")
    gap_timeout_ms: float = _rule("a number of milliseconds from 0 to 1000", lambda value: 0 <= value <= 1000, 5.0)
    """A packet that one line lacks is waited for so long, unless the other line too is past it."""
    ttl: int = _between(0, 255, 1)
    loopback: bool = _boolean(True)
    receive_buffer: int = _between(4096, 1 << 30, 8388608)
    busy_poll_us: int = _between(0, 1_000_000, 0)


@dataclass(frozen=True)
class AfXdp:
    """[af_xdp]: what kind = "af_xdp" needs to know beside [transport]."""

    queue: int = _between(0, 63, 0)
    """The receive queue to take packets from."""
    send_queue: int = _between(-1, 63, -1)
    """The queue that the feed sends through, past the kernel; -1: it sends UDP."""
    mode: str = _choice("auto", "native", "generic", default="auto")
    copy: str = _choice("auto", "copy", "zero-copy", default="auto")
    busy_poll_us: int = _between(0, 1_000_000, 0)
    busy_poll_budget: int = _between(1, 64, 64)
    packets_per_second: int = _between(0, 1_000_000_000, 1_000_000)
    """More than that is dropped before it reaches the process; 0: no limit."""
    burst: int = _between(1, 1_000_000, 10_000)
    """So many packets may come at once without being counted against the limit."""
    helper: str = _text(r"/.{1,106}", "an absolute path of 107 characters at most", "/run/wirebook-xdp.sock")
    """Where `wirebook xdp` listens."""


@dataclass(frozen=True)
class Book:
    """[book]: the process that builds the books."""

    cpu: int = _between(-1, 4095, -1)
    poll: str = _choice("busy", "wait", default="busy")
    batch: int = _between(1, 64, 16)
    prefetch: bool = _boolean(True)
    symbols: int = _between(1, MAX_SYMBOLS, MAX_SYMBOLS)
    silence_seconds: float = _rule("a number of seconds from 1.2 to 60", lambda value: 1.2 <= value <= 60, 3.0)
    """A feed that says nothing for so long, not even the heartbeat of every second, has its books stale."""


@dataclass(frozen=True)
class Market:
    """[market]: the shared memory that strategies read."""

    path: str = _text(r"/.+", "an absolute path", "/run/wirebook/market")


@dataclass(frozen=True)
class Symbol:
    """One instrument that a feed follows, and the id by which the whole node knows it."""

    id: int = _between(0, MAX_SYMBOLS - 1)
    instrument: str = _text(
        r"[A-Z0-9][A-Z0-9/_.-]{0,23}", "the venue's own name of it, in capitals, 24 characters at most"
    )


@dataclass(frozen=True)
class Feed:
    """One [[feed]]: a venue and the symbols to follow."""

    venue: str = _rule("one of {venues}", lambda value: value in _venues())
    symbols: tuple[Symbol, ...] = _rule('a list of { id = N, instrument = "NAME" } with at least one entry', bool)
    cpu: int = _between(-1, 4095, -1)
    stream: int = _between(1, 65535, 1)
    websocket: str = _url("ws", "wss")
    """Empty: the venue's own address."""
    rest: str = _url("http", "https")
    ca_file: str = _text(r"(/.+)?", "an absolute path, or empty for the system's authorities", "")
    """Certificate authorities to trust instead of the system's, in PEM form."""
    receive_buffer: int = _rule(
        "a number of bytes from 4096 to 1073741824, or 0 for the kernel's own choice",
        lambda value: value == 0 or 4096 <= value <= 1 << 30,
        0,
    )
    """SO_RCVBUF of each connection: what the kernel holds while the feed is busy."""
    silence_seconds: float = _seconds(0.1, 3600)
    """No message at all for this long: every book of the connection is stale and the connection is made anew."""
    lifetime_seconds: float = _seconds(1, 604800)
    """A connection that is older is replaced, without a gap, before the venue cuts it."""
    behind: str = _choice("warn", "resync", default="warn")
    """What a feed does that falls behind: say so, or also throw away what waits and begin with fresh snapshots."""
    behind_seconds: float = _rule("a number of seconds from 0.01 to 60", lambda value: 0.01 <= value <= 60, 1.0)
    record: str = _text(r"(/.+)?", "an absolute path, or empty for no recording", "")
    """Directory to record the raw traffic to."""
    record_megabytes: int = _between(1, 1 << 20, 256)
    record_seconds: float = _rule("a number of seconds from 1 to 604800", lambda value: 1 <= value <= 604800, 3600.0)
    """A recording's file is ended when it is this large or this old."""


@dataclass(frozen=True)
class Config:
    """The whole file. `config.feed[0].symbols[0].instrument` reads as the file does."""

    node: Node = Node()
    memory: Memory = Memory()
    transport: Transport = Transport()
    af_xdp: AfXdp = AfXdp()
    book: Book = Book()
    market: Market = Market()
    feed: tuple[Feed, ...] = ()

    def feed_arena_mb(self, symbols: int) -> int:
        """Megabytes that a feed sets aside for the books of so many symbols."""
        return min(self.memory.arena_mb, max(_LEAST_FEED_ARENA_MB, _FEED_ARENA_MB_PER_SYMBOL * symbols))

    def feed_for(self, venue: str) -> Feed:
        """The [[feed]] table of `venue`; a UserError that lists what there is, if it isn't there."""
        for feed in self.feed:
            if feed.venue == venue:
                return feed
        known = ", ".join(feed.venue for feed in self.feed) or "none"
        raise UserError(f'the configuration has no [[feed]] with venue = "{venue}" (it has: {known}); add one')


def _venues() -> tuple[str, ...]:
    from wirebook.venues import names

    return names()


def load(path: Path) -> Config:
    """Read and check `path`. Raises UserError, naming the file, the key, the value and what is allowed."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UserError(f"can't read the configuration {path}: {error.strerror}; name another with --config") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}; mend that line") from error
    try:
        return parse(table)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse(table: Mapping[str, Any]) -> Config:
    """Check a parsed TOML document and make a `Config` of it. Raises UserError."""
    feeds = table.get("feed", [])
    if not isinstance(feeds, list) or not all(isinstance(entry, dict) for entry in feeds):
        raise UserError("feed must be written as [[feed]] tables, one for each venue")
    sections: dict[str, Any] = {}
    hints = get_type_hints(Config)
    for key, value in table.items():
        if key not in hints:
            raise UserError(_unknown(key, "", hints))
        if key == "feed":
            continue
        if not isinstance(value, dict):
            raise UserError(f"{key} = {_show(value)} must be a table; write [{key}]")
        sections[key] = _build(hints[key], value, key)
    config = Config(**sections, feed=tuple(_feed(entry, f"feed[{n}]") for n, entry in enumerate(feeds)))
    _check_together(config)
    return config


def _feed(entry: Mapping[str, Any], where: str) -> Feed:
    symbols = entry.get("symbols")
    if not isinstance(symbols, list) or not all(isinstance(symbol, dict) for symbol in symbols):
        return _build(Feed, entry, where)  # refused there, with the words for a missing or misshapen list
    built = tuple(_build(Symbol, symbol, f"{where}.symbols[{n}]") for n, symbol in enumerate(symbols))
    return _build(Feed, {**entry, "symbols": built}, where)


def _build(cls: type[_T], table: Mapping[str, Any], where: str) -> _T:
    """An instance of the dataclass `cls` from a TOML table, every value checked against its field's rule."""
    hints = get_type_hints(cls)
    for key in table:
        if key not in hints:
            raise UserError(_unknown(key, where + ".", hints))
    values = {}
    for entry in fields(cls):  # type: ignore[arg-type]
        name, allowed = entry.name, _allowed(entry.metadata["allowed"])
        if name not in table:
            if entry.default is MISSING:
                raise UserError(f"{where}.{name} is missing; it must be {allowed}")
            continue
        value = table[name]
        if not _is_a(value, hints[name]) or not entry.metadata["test"](value):
            raise UserError(f"{where}.{name} = {_show(value)} is not allowed; it must be {allowed}")
        values[name] = float(value) if hints[name] is float else value
    return cls(**values)


def _allowed(words: str) -> str:
    return words.replace("{venues}", ", ".join(_venues()))


def _is_a(value: object, hint: object) -> bool:
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint if isinstance(hint, type) else tuple)


def _show(value: object) -> str:
    """A value as TOML would write it, cut short."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    if isinstance(value, str):
        text = f'"{value}"'
    return text if len(text) <= 60 else text[:57] + "..."


def _unknown(key: str, where: str, known: Mapping[str, object]) -> str:
    return f"{where}{key} is not a key that wirebook knows; here it may be one of {', '.join(sorted(known))}"


def _check_together(config: Config) -> None:
    """What no single value can tell: ids, venues, streams and addresses that must differ."""
    transport = config.transport
    if (transport.group, transport.port) == (transport.snapshot_group, transport.snapshot_port):
        raise UserError(
            f"transport.snapshot_group = {_show(transport.snapshot_group)} with port {transport.snapshot_port}"
            " is the address of the incrementals; it must be another group or port"
        )
    if config.af_xdp.send_queue >= 0 and len(config.feed) > 1:
        raise UserError(
            f"af_xdp.send_queue = {config.af_xdp.send_queue} is one process's, and there are {len(config.feed)} feeds;"
            " set it to -1, or run each feed on a node of its own"
        )
    _check_lines(transport)
    venues: dict[str, str] = {}
    streams: dict[int, str] = {}
    ids: dict[int, str] = {}
    total = sum(len(feed.symbols) for feed in config.feed)
    if total > MAX_SYMBOLS:
        last = [symbol.instrument for feed in config.feed for symbol in feed.symbols][MAX_SYMBOLS]
        raise UserError(
            f"the feeds name {total} symbols and a node holds {MAX_SYMBOLS}; take out {last} and those after it"
        )
    for number, feed in enumerate(config.feed):
        where = f"feed[{number}]"
        if feed.venue in venues:
            raise UserError(f"{where}.venue = {_show(feed.venue)} is also {venues[feed.venue]}'s; a venue has one feed")
        venues[feed.venue] = where
        if feed.stream in streams:
            raise UserError(
                f"{where}.stream = {feed.stream} is also {streams[feed.stream]}'s; each feed needs its own number"
            )
        streams[feed.stream] = where
        seen: set[str] = set()
        for symbol in feed.symbols:
            name = f"{feed.venue}:{symbol.instrument}"
            if symbol.instrument in seen:
                raise UserError(f"{where}.symbols names {symbol.instrument} twice; take one out")
            seen.add(symbol.instrument)
            if symbol.id in ids:
                raise UserError(f"the id {symbol.id} of {name} is also that of {ids[symbol.id]}; each needs its own")
            ids[symbol.id] = name
            if symbol.id >= config.book.symbols:
                raise UserError(
                    f"the id {symbol.id} of {name} must be less than book.symbols = {config.book.symbols};"
                    " raise book.symbols or lower the id"
                )


def _check_lines(transport: Transport) -> None:
    if bool(transport.group_b) != bool(transport.snapshot_group_b):
        missing = "snapshot_group_b" if transport.group_b else "group_b"
        raise UserError(
            f"transport.{missing} is missing; line B carries incrementals and snapshots, so give both groups or neither"
        )
    if not transport.group_b:
        return
    port_b = transport.port_b or transport.port
    snapshot_port_b = transport.snapshot_port_b or transport.snapshot_port
    if (transport.group_b, port_b) == (transport.snapshot_group_b, snapshot_port_b):
        raise UserError(
            f"transport.snapshot_group_b = {_show(transport.snapshot_group_b)} with port {snapshot_port_b}"
            " is the address of line B's incrementals; it must be another group or port"
        )
    if transport.interface_b not in ("", transport.interface):
        return
    line_a = {(transport.group, transport.port), (transport.snapshot_group, transport.snapshot_port)}
    for key, group, port in (
        ("group_b", transport.group_b, port_b),
        ("snapshot_group_b", transport.snapshot_group_b, snapshot_port_b),
    ):
        if (group, port) in line_a:
            raise UserError(
                f"transport.{key} = {_show(group)} with port {port} is line A's on the same interface;"
                " it must be another group, port or interface_b"
            )
