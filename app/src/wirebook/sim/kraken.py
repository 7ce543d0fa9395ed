"""How Kraken's v2 API speaks: channel `book`, snapshots in the stream, a checksum instead of numbers."""

from __future__ import annotations

from zlib import crc32

import orjson

from wirebook.sim.exchange import Books, InBand, Subscription, query_of
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import Depth, Levels, Ticker

_CHECKED_LEVELS = 10
_DEPTH = 1000


class KrakenExchange(InBand):
    """Spot."""

    pattern = "SYN{}/USD"
    path = "/v2"
    most_levels = 800

    def rest(self, target: str, books: Books) -> tuple[int, bytes]:  # noqa: ARG002
        """The list of all pairs."""
        path, _ = query_of(target)
        if path != "/0/public/AssetPairs":
            return 404, b""
        pairs = {
            name.replace("/", ""): {"wsname": name, "pair_decimals": scale[0], "lot_decimals": scale[1]}
            for name, scale in self.scales.items()
        }
        return 200, orjson.dumps({"error": [], "result": pairs})

    def _request(self, subscription: Subscription, text: bytes, books: Books) -> list[bytes]:
        message = orjson.loads(text)
        method = message["method"]
        if method == "ping":
            return [b'{"method":"pong"}']
        if method not in ("subscribe", "unsubscribe"):
            return [self.refusal(f"unknown method {method}")]
        params = message["params"]
        return self.change(
            subscription, method == "subscribe", params["symbol"], books,
            lambda name: orjson.dumps(
                {
                    "method": method,
                    "result": {"channel": "book", "depth": params["depth"], "snapshot": True, "symbol": name},
                    "success": True,
                }
            ),
        )  # fmt: skip

    def refusal(self, why: str) -> bytes:
        """The answer to what can't be done."""
        return orjson.dumps({"method": "subscribe", "success": False, "error": why})

    def heartbeat(self, subscription: Subscription) -> bytes | None:  # noqa: ARG002
        """About every second, as the venue does."""
        return b'{"channel":"heartbeat"}'

    def snapshot(self, subscription: Subscription, name: str, book: ReferenceBook) -> bytes:  # noqa: ARG002
        """The message of a whole book."""
        return self._message("snapshot", name, *book.levels(_DEPTH), book)

    def encode(self, message: Depth | Ticker, book: ReferenceBook) -> bytes:
        """An update; there are no tickers on this channel."""
        if isinstance(message, Ticker):
            return b""
        return self._message("update", message.instrument, message.bids, message.asks, book)

    def _message(self, kind: str, name: str, bids: Levels, asks: Levels, book: ReferenceBook) -> bytes:
        # Written by hand: JSON libraries would take the trailing zeros off the numbers.
        sides = [",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in side) for side in (bids, asks)]
        return (
            f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{name}","bids":[{sides[0]}],"asks":[{sides[1]}],'
            f'"checksum":{_checksum(book)}}}]}}'
        ).encode()


def _checksum(book: ReferenceBook) -> int:
    bids, asks = book.levels(_CHECKED_LEVELS)
    return crc32("".join(text.replace(".", "").lstrip("0") for row in (*asks, *bids) for text in row).encode())
