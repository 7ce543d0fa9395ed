"""The skeleton of a venue: decoded messages, the venue's fixed facts, and what a follower counts and wants."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeVar

from wirebook.core.books.books import Books
from wirebook.core.decode.scanner import Scanner
from wirebook.core.decode.sequence import Rule
from wirebook.core.wire.records import Batch
from wirebook.venues.numbers import NUMBERS

if TYPE_CHECKING:
    from wirebook.venues.checksum import TextBook

Levels = Sequence[Sequence[str]]
"""(price, quantity) pairs as the venue's own text; quantity "0" in any spelling removes the level."""


UNNUMBERED: Final = -1
"""Instead of an update id."""


class MalformedError(ValueError):
    """A message that breaks the venue's format: not JSON, a field missing or of the wrong type."""


class UnrepresentableError(ValueError):
    """A price or quantity that doesn't fit the symbol's scale exactly. Never rounded: the book would be wrong."""


class Instrument(NamedTuple):
    """A followed instrument: the node's id, the venue's name, and the scale of its integers."""

    id: int
    name: str
    price_decimals: int
    quantity_decimals: int


class Scale(NamedTuple):
    """Decimals that hold every price and quantity of an instrument exactly."""

    price_decimals: int
    quantity_decimals: int


@dataclass(frozen=True, slots=True)
class Depth:
    """One incremental event. `previous` is None where the venue chains by `first` and `last` alone.

    `first` and `last` are UNNUMBERED where the venue gives its events no ids. `checksum` is the venue's own of the book
    after the event, None where there is none.
    """

    instrument: str
    first: int
    last: int
    previous: int | None
    exchange_ns: int
    bids: Levels
    asks: Levels
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A whole book at update id `last`; `instrument` is None where the venue doesn't repeat what was asked for.

    `last` is UNNUMBERED where the venue gives its books no ids.
    """

    instrument: str | None
    last: int
    exchange_ns: int
    bids: Levels
    asks: Levels
    checksum: int | None = None


@dataclass(frozen=True, slots=True)
class Ticker:
    """Best bid and ask at update id `last`, on the same scale of ids as the depth events."""

    instrument: str
    last: int
    bid: Sequence[str]
    ask: Sequence[str]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The venue's answer that it sends `depth` levels a side of the instrument from now on."""

    instrument: str
    depth: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that is understood and says nothing about books: a trade, the reply to a subscription."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The venue's answer that it won't do what was asked, in its own words."""

    text: str


@dataclass(frozen=True, slots=True)
class Leaving:
    """The venue will close this connection before long, in its own words."""

    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """How the trading of an instrument is, in the venue's word; `instrument` is None for all of the venue."""

    instrument: str | None
    state: str
    normal: bool
    """Orders are taken and matched."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Well-formed, but of a kind the venue's module has never seen. `kind` groups them, so that one is logged once."""

    kind: str


Part = Depth | Snapshot | Ticker | Subscribed | Ignored | Refused | Leaving | Status | Unknown


@dataclass(frozen=True, slots=True)
class Several:
    """One message that says several things, or that has a number on its connection.

    `number` counts the messages of a connection, whatever they say, by one; None where the venue doesn't.
    """

    number: int | None
    parts: Sequence[Part]


Message = Part | Several


def parts(message: Message) -> Sequence[Part]:
    """What a message says, one by one."""
    return message.parts if isinstance(message, Several) else (message,)


_DECIMAL = re.compile(r"(\d{1,19})(?:\.(\d{1,19}))?", re.ASCII)
_INT64_MAX = (1 << 63) - 1


def scaled(text: str, decimals: int) -> int:
    """`text` as an integer in units of 10^-decimals, exactly.

    Raises UnrepresentableError if that isn't possible without rounding or doesn't fit 63 bits, and MalformedError if
    it isn't an unsigned plain decimal.
    """
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise MalformedError(f"{text!r} is not a decimal number")
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > decimals:
        raise UnrepresentableError(f"{text} has more than {decimals} decimals")
    value = int(whole + fraction.ljust(decimals, "0"))
    if value > _INT64_MAX:
        raise UnrepresentableError(f"{text} with {decimals} decimals doesn't fit 63 bits")
    return value


MOST_DECIMALS: Final = 18
"""More would leave no digit before the point in 63 bits."""


def decimals_of(text: str) -> int:
    """Significant decimals of a number's text: 2 for "0.01000000". MalformedError where that can't be told: "1e-7"."""
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise MalformedError(f"{text!r} is not a decimal number")
    return len((match[2] or "").rstrip("0"))


_Entry = TypeVar("_Entry")


def defined(entries: Iterable[_Entry], define: Callable[[_Entry], tuple[str, Scale]]) -> dict[str, Scale]:
    """The scales that a list of definitions tells, by name. What `define` can't read is left out: it stops nobody else.

    Raises MalformedError if it can read none at all.
    """
    scales: dict[str, Scale] = {}
    failure: Exception | None = None
    for entry in entries:
        try:
            name, scale = define(entry)
            if not isinstance(name, str) or not all(0 <= decimals <= MOST_DECIMALS for decimals in scale):
                raise MalformedError(f"{name!r} with the decimals {tuple(scale)}")
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            failure = error
        else:
            scales[name] = scale
    if failure is not None and not scales:
        raise MalformedError(f"no definition makes sense: {failure}") from failure
    return scales


@dataclass(slots=True)
class Counters:
    """What a follower has seen since it was made. All of them only grow."""

    messages: int = 0
    """Everything that arrived, whatever it was."""
    updates: int = 0
    """Incremental events that were applied."""
    snapshots: int = 0
    """Whole books that were applied."""
    gaps: int = 0
    """Events of a live book that didn't chain."""
    resyncs: int = 0
    """Books that became live again after a gap or a failed check."""
    checksum_ok: int = 0
    checksum_bad: int = 0
    repeats: int = 0
    """Events older than the book: dropped, since the book holds what they say."""
    renewals: int = 0
    """Snapshots that replaced a live book, because its price had come near the old one's edge."""
    old_snapshots: int = 0
    """Snapshots too old for the events at hand: asked for again."""
    crossed: int = 0
    """Live books that stayed crossed or locked for longer than the venue's limit."""
    doubted: int = 0
    """Live books that had nothing to show for it any more: silence, unreadable messages, repeats alone."""
    malformed: int = 0
    unrepresentable: int = 0
    unknown: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class WantSnapshot:
    """Fetch the REST snapshot of this symbol id and hand it to `BookFollower.snapshot`."""

    symbol: int
    renewal: bool = False
    """The book is live, and will not be known far enough for long. That is no resync, and needs no back-off."""


@dataclass(frozen=True, slots=True)
class WantResubscribe:
    """Send `Venue.resubscriptions` of this symbol id: the venue answers with a new snapshot in the stream.

    The answer can be lost as any message can. So it is to be asked for again every `Venue.resync_seconds`, while
    `BookFollower.awaits` says that it is of use.
    """

    symbol: int


@dataclass(frozen=True, slots=True)
class WantSend:
    """Send this text on the connection, at once: the answer to a venue's question whether we are alive."""

    text: bytes


@dataclass(frozen=True, slots=True)
class WantLog:
    """Worth an operator's reading, but not more than now and then for one `cause`."""

    cause: str
    text: str


@dataclass(frozen=True, slots=True)
class WantLeave:
    """Let another connection take over as soon as it can: the venue is going to close this one."""


@dataclass(frozen=True, slots=True)
class WantDefine:
    """The instrument has other decimals from its next snapshot on; the DEFINE is in the sink's batch already."""

    instrument: Instrument


Want = WantSnapshot | WantResubscribe | WantSend | WantLog | WantDefine | WantLeave


class Sink(Protocol):
    """Where a follower's records go."""

    batch: Batch

    @property
    def books(self) -> Books:
        """The books that the records make, as of the last time the batch was drained."""

    def commit(self, symbol: int, /) -> None:
        """The records of `symbol` appended since the last commit belong together; the batch may be drained now."""


class Venue(ABC):
    """The fixed facts of a venue. An instance has no state and serves every connection."""

    name: str
    websocket: str
    rest: str
    streams_per_connection: int
    """Most instruments that one connection may follow."""
    snapshots_in_band: bool
    """A book's snapshot comes in the stream when one subscribes. Else it has to be fetched by REST."""
    rule: Rule
    """The sequence rule: what an event means to a book."""
    numbered: bool = True
    """That a message is missing shows by the numbers of those after it."""
    truncate: int | None = None
    """Levels a side that the venue keeps us told of, where it doesn't delete those beyond: we do."""
    snapshot_levels: int | None = None
    """Levels a side that a REST snapshot has at most. A side with fewer is known whole."""
    most_bytes: int = 4 << 20
    """The largest message of the stream that can make sense."""
    rest_limit: float = 60.0
    """The weight of REST requests that the venue allows an address in `rest_seconds`."""
    rest_seconds: float = 60.0
    used_weight_header: str = ""
    """The header in which the venue tells what it has counted in this minute; empty: it doesn't."""
    forbidden_seconds: float = 60.0
    """How long an address is shut out that the venue answers with status 403."""
    names_per_request: int = 1 << 20
    """Of how many instruments one REST request can bring the definitions."""
    connect_seconds: float
    """Least time between two connection attempts."""
    send_seconds: float
    """Least time between two messages sent on a connection: subscriptions, resubscriptions, pings."""
    resync_seconds: float = 10.0
    """How long a resubscription may stay without its snapshot before it is sent again."""
    lifetime_seconds: float
    """A connection is to be replaced by a new one when it is this old, before the venue cuts it; 0: never."""
    warns: bool = False
    """The venue says so before it closes a connection."""
    ping: bytes | None = None
    """What the venue takes as a sign of life, as a text message; None: the WebSocket protocol's own ping and pong."""
    ping_seconds: float = 0.0
    """How often `ping` is to be sent."""
    silence_seconds: float = 60.0
    """A connection on which nothing was heard for this long is dead, going by what the venue promises to send."""
    quiet_seconds: float = 60.0
    """A connection on which no book had an event for this long may have lost all of them: its books are stale."""
    crossed_seconds: float = 5.0
    """How long a book's best bid may stay at its best ask or above. No venue of ours trades on through that: an event
    that comes in two messages takes moments, and the book of a call auction, which may cross for minutes, is nothing to
    trade on. Infinite: for ever."""
    book_seconds: float = math.inf
    """The same of a single book, where the venue promises a sign of life for each."""

    @property
    def number(self) -> int:
        """On the wire, in every packet's header."""
        return NUMBERS[self.name]

    @abstractmethod
    def connect_path(self) -> str:
        """Appended to the WebSocket base URL."""

    def connect_paths(self) -> Sequence[str]:
        """All paths that may be tried, the best first: one that the venue doesn't know is followed by the next."""
        return [self.connect_path()]

    @abstractmethod
    def subscriptions(self, names: Sequence[str]) -> list[bytes]:
        """The messages that subscribe to these instruments' books, in the venue's chunk size."""

    def resubscriptions(self, name: str) -> list[bytes]:
        """The messages after which the venue sends the instrument's snapshot anew, where snapshots are in band."""
        raise LookupError(f"{self.name} sends no snapshot of {name} in the stream")

    def weight(self, path: str) -> float:  # noqa: ARG002
        """What the venue counts a REST request as."""
        return 1.0

    @abstractmethod
    def instruments_paths(self, names: Sequence[str]) -> list[str]:
        """REST paths whose answers define these instruments."""

    @abstractmethod
    def instruments(self, body: bytes) -> Mapping[str, Scale]:
        """The scales told by one such answer, by instrument. Raises MalformedError."""

    def aliases(self, body: bytes) -> Mapping[str, str]:  # noqa: ARG002
        """Instruments whose events come under another one's name, by the answer to one of `instruments_paths`."""
        return {}

    def snapshot_path(self, name: str) -> str:
        """REST path of an instrument's whole book, where snapshots aren't in band."""
        raise LookupError(f"{self.name} sends the snapshot of {name} in the stream")

    @abstractmethod
    def decode(self, raw: bytes) -> Message:
        """The slow, complete decoder: any message or REST snapshot of the venue. Raises MalformedError."""

    def scanner(self, instruments: Sequence[Instrument]) -> Scanner | None:  # noqa: ARG002
        """The fast decoder of the venue's depth events, if it has one."""
        return None

    def checksum(self, book: TextBook) -> int:  # noqa: ARG002
        """The venue's checksum of a book, where it sends one."""
        raise LookupError(f"{self.name} sends no checksum")
