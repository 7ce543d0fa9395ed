"""The venue's side of a protocol, without sockets: what each simulated venue defines for itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs, urlsplit

from wirebook.sim.reference import ReferenceBook
from wirebook.sim.window import Window
from wirebook.venues.base import Depth, Levels, Scale, Snapshot, Ticker

Books = Mapping[str, ReferenceBook]


class Subscription:
    """What one connection has asked for."""

    def __init__(self, streams: set[str], wrapped: bool = True) -> None:
        self.streams = streams
        """Instruments; on Binance, stream names."""
        self.wrapped = wrapped
        """Messages come in a wrapper that names their stream."""
        self.depths: dict[str, int] = {}
        """Instrument → how many levels a side were asked for, if the venue lets clients choose."""
        self.windows: dict[str, Window] = {}
        """Instruments that were subscribed to with fewer levels than the venue knows."""
        self.channels: set[str] = set()
        """Channels that are not about books."""
        self.sent = 0
        """Messages that the connection was sent, for venues that number them."""


class Exchange(ABC):
    """One simulated venue."""

    pattern: str
    """Name of a made-up instrument, `{}` being its number."""
    most_levels = 2000
    """Levels a side that a made-up book may have: less than the venue shows, so that nothing is cut off."""
    padded = False
    """Numbers are written with eight decimals, however many the instrument has."""
    numbered = True
    """Messages about books have ids."""
    checked = False
    """They have a checksum."""

    def __init__(self, scales: Mapping[str, Scale]) -> None:
        self.scales = dict(scales)
        """The instruments and their decimals as the venue defines them now."""
        self.books: Books = {}
        """The venue's books as they are."""
        self.halted: set[str] = set()
        """Instruments whose trading is halted."""
        self._ids_from: dict[str, int] = {}
        """Ids that the market had when those of the venue started over."""

    @abstractmethod
    def rest(self, target: str, books: Books) -> tuple[int, bytes]:
        """HTTP status and body for a GET of `target`; `books` are what the venue's books are now."""

    def depth_symbol(self, target: str) -> str | None:  # noqa: ARG002
        """The instrument whose book a GET of `target` asks for."""
        return None

    @abstractmethod
    def connect(self, target: str) -> Subscription | None:
        """The subscription that a WebSocket path stands for, None if there is nothing at that path."""

    @abstractmethod
    def request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        """Carry out a client's message and return what it is sent for it: an answer, and books."""

    @abstractmethod
    def encode(self, message: Depth | Ticker, book: ReferenceBook) -> bytes:
        """The text of a message; `book` is the book after it."""

    def deliver(self, subscription: Subscription, raw: bytes, instrument: str | None) -> bytes | None:
        """What a subscriber is sent of a message about `instrument`; None if it isn't subscribed to it."""
        return raw if instrument in subscription.streams else None

    def heartbeat(self, subscription: Subscription) -> bytes | None:  # noqa: ARG002
        """What a connection is sent every second."""
        return None

    def greeting(self) -> bytes | None:
        """What a connection is sent when it is made."""
        return None

    def notice(self, subscription: Subscription) -> bytes | None:  # noqa: ARG002
        """Return what a connection is sent some time before the venue closes it; None if the venue says nothing."""
        return None

    def status(self, subscription: Subscription, name: str) -> bytes | None:  # noqa: ARG002
        """Return what a connection is sent when the status of `name` changed; None if it didn't subscribe to that."""
        return None

    def refuse(self, seconds: float, banned: bool) -> tuple[int, bytes]:  # noqa: ARG002
        """HTTP status and body for a request that is one too many, or that comes while the address is `banned`."""
        return 429, b'{"code":"429","msg":"Too Many Requests"}'

    def restart_ids(self, name: str, last: int) -> None:
        """Let the ids of `name` start over; `last` is the market's latest."""
        self._ids_from[name] = last

    def told_id(self, name: str, last: int) -> int:
        """Return the venue's id for what the market knows as `last`."""
        return last - self._ids_from.get(name, 0)


class InBand(Exchange):
    """A venue that sends the snapshot in the stream, upon the subscription."""

    path: str
    """Of the WebSocket."""
    depths: tuple[int, ...] = ()
    """Levels a side that may be asked for, fewest first; the last ones are all that a made-up book has."""
    tells_leaving = True
    """A level that better ones push out of a subscription's depth is deleted by the venue."""

    def connect(self, target: str) -> Subscription | None:
        """A connection that has asked for nothing yet."""
        return Subscription(set()) if urlsplit(target).path.rstrip("/") == self.path else None

    def request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        """Subscribe, unsubscribe, or whatever `other` knows."""
        try:
            return self._request(subscription, text, books)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return [self.refusal("the request makes no sense")]

    def change(
        self, subscription: Subscription, subscribe: bool, names: list[str], books: Books,
        answer: Callable[[str], bytes] | None, depth: int = 0,
    ) -> list[bytes]:  # fmt: skip
        """Carry out a subscription: an answer for each name, if the venue gives one, and the books asked for.

        `depth`: how many levels a side, 0 for all.
        """
        answers: list[bytes] = []
        for name in names:
            if name not in self.scales:
                answers.append(self.refusal(f"there is no {name}"))
                continue
            if answer is not None:
                answers.append(answer(name))
            if not subscribe:
                subscription.streams.discard(name)
                subscription.windows.pop(name, None)
                continue
            subscription.streams.add(name)
            subscription.windows.pop(name, None)
            subscription.depths[name] = depth
            if 0 < depth <= self.most_levels:
                # a recording's book comes with the stream: it is empty before
                book = books.get(name) or ReferenceBook(Snapshot(name, 0, 0, [], []))
                subscription.windows[name] = Window(depth, book, self.last_id(name, book), self.tells_leaving)
            if name in books:
                answers.append(self.snapshot(subscription, name, books[name]))
        return answers

    def deliver(self, subscription: Subscription, raw: bytes, instrument: str | None) -> bytes | None:
        """The message; of a book with fewer levels, what has changed among these."""
        if instrument is None or instrument not in subscription.streams:
            return None
        window = subscription.windows.get(instrument)
        if window is None:
            return raw
        bids, asks = window.change(self.books[instrument])
        if not bids and not asks:
            return None
        window.number += 1
        return self.part(instrument, window, bids, asks)

    def last_id(self, name: str, book: ReferenceBook) -> int:
        """The id of a snapshot."""
        return self.told_id(name, book.last)

    def part(self, name: str, window: Window, bids: Levels, asks: Levels) -> bytes:  # noqa: ARG002
        """The message of a change of a book with fewer levels."""
        raise LookupError(f"this simulation has no books of {window.depth} levels")

    @abstractmethod
    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        """As `request`; an exception means that it makes no sense."""

    @abstractmethod
    def refusal(self, why: str) -> bytes:
        """Return the answer to a request that can't be fulfilled."""

    @abstractmethod
    def snapshot(self, subscription: Subscription, name: str, book: ReferenceBook) -> bytes:
        """The message of a whole book."""


_QUOTES = (
    "FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD1", "USDE", "RLUSD", "USD", "EUR", "GBP", "TRY", "BRL", "JPY", "PLN",
    "BTC", "ETH", "BNB", "DAI",
)  # fmt: skip


def assets(name: str) -> tuple[str, str]:
    """What is traded and what it is paid in, of a name that joins the two: BTCUSDT, or BTCUSD_PERP."""
    pair = name.partition("_")[0]
    for quote in _QUOTES:
        if pair.endswith(quote) and pair != quote:
            return pair.removesuffix(quote), quote
    return pair[:-3] or pair, pair[-3:]


def shortest(quantity: str) -> str:
    """Return a quantity as it is written by venues that mark a deleted level with "0", without decimals."""
    return quantity if float(quantity) else "0"


def step(decimals: int) -> str:
    """Return the smallest step of a number with this many decimals, as text."""
    return f"{10**-decimals:.{max(decimals, 1)}f}"


def query_of(target: str) -> tuple[str, dict[str, str]]:
    """A request's path and the last value of each of its parameters."""
    parts = urlsplit(target)
    return parts.path, {key: values[-1] for key, values in parse_qs(parts.query).items()}
