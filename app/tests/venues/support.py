"""Followers without sockets."""

from typing import TypeVar

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.wire.records import Batch
from wirebook.venues import get
from wirebook.venues.base import Instrument
from wirebook.venues.follower import BookFollower

BTC = Instrument(7, "BTCUSDT", 2, 5)
ETH = Instrument(9, "ETHUSDT", 2, 4)


class Recorder:
    """A sink that keeps everything, as tuples."""

    def __init__(self) -> None:
        self.batch = Batch(1 << 12)
        self.records: list[tuple[int, ...]] = []

    def commit(self, _symbol: int, /) -> None:
        self.records += [tuple(record) for record in self.batch.array.tolist()]
        self.batch.clear()


class Keeper(Recorder):
    """A sink that also applies it to books."""

    def __init__(self) -> None:
        super().__init__()
        self.books = Books(16, Arena(1 << 20, "off"))

    def commit(self, symbol: int, /) -> None:
        self.books.apply(self.batch)
        super().commit(symbol)


S = TypeVar("S", bound=Recorder)


def follow(sink: S, *instruments: Instrument, venue: str = "binance") -> tuple[BookFollower, S]:
    """A connected follower, awaiting its snapshots."""
    made = BookFollower(get(venue), instruments, sink)
    made.connected()
    return made, sink


def follower(*instruments: Instrument) -> tuple[BookFollower, Keeper]:
    """A connected follower with books; of BTC alone by default."""
    return follow(Keeper(), *instruments or (BTC,))


def event(first: int, last: int, bids: str = "", asks: str = "", symbol: str = "BTCUSDT") -> bytes:
    """A depth event as the venue spells it. A side is written "price:quantity price:quantity"."""
    return (
        f'{{"stream":"{symbol.lower()}@depth@100ms","data":{{"e":"depthUpdate","E":1700000000123,"s":"{symbol}",'
        f'"U":{first},"u":{last},"b":{_side(bids)},"a":{_side(asks)}}}}}'
    ).encode()


def snapshot(last: int, bids: str = "100.00:1.0", asks: str = "101.00:1.0") -> bytes:
    """A REST answer."""
    return f'{{"lastUpdateId":{last},"bids":{_side(bids)},"asks":{_side(asks)}}}'.encode()


def _side(levels: str) -> str:
    return "[" + ",".join('["{}","{}"]'.format(*level.split(":")) for level in levels.split()) + "]"
