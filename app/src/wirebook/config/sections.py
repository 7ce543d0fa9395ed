"""The tables of engine.toml, with the rule and the default of each key."""

from __future__ import annotations

from dataclasses import dataclass

from wirebook.config import fields
from wirebook.config.fields import MAX_SYMBOLS
from wirebook.errors import UserError

_FEED_ARENA_MB_PER_SYMBOL = 4
"""Two sides of 10,000 scattered levels."""
_LEAST_FEED_ARENA_MB = 24
"""2,048 books without a level take 18."""


@dataclass(frozen=True)
class Node:
    """[node]."""

    name: str = fields.text(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}", "a host name", "node")


@dataclass(frozen=True)
class Memory:
    """[memory]: what every process of the engine allocates at its start."""

    lock: bool = fields.boolean(True)
    hugepages: str = fields.choice("auto", "explicit", "transparent", "off", default="auto")
    arena_mb: int = fields.between(1, 1 << 20, 256)


@dataclass(frozen=True)
class Transport:
    """[transport]: from the feeds to the book process."""

    kind: str = fields.choice("udp", "af_xdp", default="udp")
    fallback: str = fields.choice("udp", "refuse", default="refuse")
    """What the book process does if it can't get AF_XDP: not start, or receive through the kernel and say so."""
    interface: str = fields.text(r"[^\s/]{1,15}", "the name of a network interface", "lo")
    group: str = fields.group("239.192.7.1")
    port: int = fields.between(1, 65535, 17001)
    snapshot_group: str = fields.group("239.192.7.2")
    snapshot_port: int = fields.between(1, 65535, 17002)
    group_b: str = fields.group_or_none()
    """Line B: the same packets once more, on other groups and, best of all, over another network."""
    port_b: int = fields.between(0, 65535, 0)
    """0: line A's."""
    snapshot_group_b: str = fields.group_or_none()
    snapshot_port_b: int = fields.between(0, 65535, 0)
    interface_b: str = fields.text(r"[^\s/]{0,15}", "the name of a network interface, or empty for line A's", "")
    snapshot_rate: int = fields.between(1000, 10_000_000, 50_000)
    """Records a second that a feed sends on the snapshot channel at most: 50,000 are 2.4 MB."""
    gap_timeout_ms: float = fields.rule(
        "a number of milliseconds from 0 to 1000", lambda value: 0 <= value <= 1000, 5.0
    )
    """How long to wait for a packet that one line lost, unless the other line is past it too."""
    ttl: int = fields.between(0, 255, 1)
    loopback: bool = fields.boolean(True)
    receive_buffer: int = fields.between(4096, 1 << 30, 8388608)
    busy_poll_us: int = fields.between(0, 1_000_000, 0)
    senders: tuple[str, ...] = fields.addresses(64)
    """Whose packets are believed, by any transport; empty: everybody's who reaches the groups."""


@dataclass(frozen=True)
class AfXdp:
    """[af_xdp]: what kind = "af_xdp" needs to know beside [transport]."""

    queue: int = fields.between(0, 63, 0)
    """The receive queue to take packets from."""
    send_queue: int = fields.between(-1, 63, -1)
    """The queue that the feed sends through, past the kernel; -1: it sends UDP."""
    mode: str = fields.choice("auto", "native", "generic", default="auto")
    copy: str = fields.choice("auto", "copy", "zero-copy", default="auto")
    busy_poll_us: int = fields.between(0, 1_000_000, 0)
    busy_poll_budget: int = fields.between(1, 64, 64)
    packets_per_second: int = fields.between(0, 1_000_000_000, 1_000_000)
    """Packets beyond this are dropped before they reach the process; 0: no limit."""
    burst: int = fields.between(1, 1_000_000, 10_000)
    """How many packets may come at once without being counted against the limit."""
    verify_checksum: bool = fields.boolean(True)
    """Discard packets whose UDP checksum is wrong, as the kernel would."""
    helper: str = fields.text(r"/.{1,106}", "an absolute path of 107 characters at most", "/run/wirebook-xdp.sock")
    """Where `wirebook xdp` listens."""


@dataclass(frozen=True)
class Book:
    """[book]: the process that builds the books."""

    cpu: int = fields.between(-1, 4095, -1)
    poll: str = fields.choice("busy", "wait", default="busy")
    batch: int = fields.between(1, 64, 16)
    prefetch: bool = fields.boolean(True)
    symbols: int = fields.between(1, MAX_SYMBOLS, MAX_SYMBOLS)
    silence_seconds: float = fields.rule("a number of seconds from 1.2 to 60", lambda value: 1.2 <= value <= 60, 3.0)
    """If a feed is silent for this long, even without its heartbeat of every second, its books are stale."""
    behind_seconds: float = fields.rule("a number of seconds from 0.1 to 60", lambda value: 0.1 <= value <= 60, 1.0)
    """While what is taken may have waited for this long, all books are stale."""


@dataclass(frozen=True)
class Market:
    """[market]: the shared memory that strategies read."""

    path: str = fields.text(r"/.+", "an absolute path", "/run/wirebook/market")


@dataclass(frozen=True)
class Symbol:
    """One instrument that a feed follows, and the id by which the whole node knows it."""

    id: int = fields.between(0, MAX_SYMBOLS - 1)
    instrument: str = fields.text(
        r"[^\W_][\w/.:-]*", "the venue's own name of it: letters, as the venue writes them, digits and any of / _ . : -"
    )


@dataclass(frozen=True)
class Feed:
    """One [[feed]]: a venue and the symbols to follow."""

    venue: str = fields.rule("one of {venues}", lambda value: value in fields.venues())
    symbols: tuple[Symbol, ...] = fields.rule('a list of { id = N, instrument = "NAME" } with at least one entry', bool)
    cpu: int = fields.between(-1, 4095, -1)
    stream: int = fields.between(1, 65535, 1)
    remote: bool = fields.boolean(False)
    """Another node runs this feed: here it only tells the book process whose packets to follow."""
    websocket: str = fields.url("ws", "wss")
    """Empty: the venue's own address."""
    rest: str = fields.url("http", "https")
    ca_file: str = fields.text(r"(/.+)?", "an absolute path, or empty for the system's authorities", "")
    """Certificate authorities to trust instead of the system's, in PEM form."""
    receive_buffer: int = fields.rule(
        "a number of bytes from 4096 to 1073741824, or 0 for the kernel's own choice",
        lambda value: value == 0 or 4096 <= value <= 1 << 30,
        0,
    )
    """SO_RCVBUF of each connection: what the kernel holds while the feed is busy."""
    silence_seconds: float = fields.seconds(0.1, 3600)
    """After this long without any message every book of the connection is stale, and the connection is replaced."""
    lifetime_seconds: float = fields.seconds(1, 604800)
    """A connection that is older is replaced, without a gap, before the venue cuts it."""
    behind_seconds: float = fields.rule("a number of seconds from 0.01 to 60", lambda value: 0.01 <= value <= 60, 1.0)
    record: str = fields.text(r"(/.+)?", "an absolute path, or empty for no recording", "")
    """Directory to record the raw traffic to."""
    record_megabytes: int = fields.between(1, 1 << 20, 256)
    record_seconds: float = fields.rule(
        "a number of seconds from 1 to 604800", lambda value: 1 <= value <= 604800, 3600.0
    )
    """A file of the recording is ended once it is this large or this old."""


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
        """Megabytes that a feed sets aside for the books of this many symbols."""
        return min(self.memory.arena_mb, max(_LEAST_FEED_ARENA_MB, _FEED_ARENA_MB_PER_SYMBOL * symbols))

    def own_feeds(self) -> tuple[Feed, ...]:
        """The feeds that this node runs."""
        return tuple(feed for feed in self.feed if not feed.remote)

    def feed_for(self, venue: str) -> Feed:
        """The [[feed]] table of `venue`; a UserError that lists what there is, if it isn't there."""
        for feed in self.own_feeds():
            if feed.venue == venue:
                return feed
        known = ", ".join(feed.venue for feed in self.own_feeds()) or "none"
        raise UserError(f'the configuration has no [[feed]] with venue = "{venue}" (it has: {known}); add one')
