"""The REST side of a simulated venue, and what a scenario does to its answers."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence
from typing import Final

from picows import (
    WSListener,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from wirebook.sim.client import Host
from wirebook.sim.faults import Fault
from wirebook.sim.reference import ReferenceBook

_UPGRADE: Final = {
    "Upgrade": "websocket",
    "Connection": "upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "d2lyZWJvb2sgc2ltdWxhdA==",
}
"""What makes a request one for a WebSocket. The key has to be 16 bytes (RFC 6455, 4.1)."""
_DROPS_PER_SECOND = 10
_AHEAD = 1_000_000
"""How far ahead of the stream the id of a book is that comes too soon: much more than is on its way."""


class Rest:
    """Answers GETs. The books are the server's."""

    def __init__(self, server: Host) -> None:
        self._server = server
        self._frozen: dict[str, ReferenceBook] = {}

    def answer(self, request: WSUpgradeRequest, target: str) -> WSUpgradeResponseWithListener:
        """Return what picows has to do with the request for `target`."""
        scenario = self._server.scenario
        faults = {fault.kind: fault for fault in scenario.request()}
        if "rest_disconnect" in faults:
            for client in tuple(self._server.clients):
                client.reset()
        status, body, headers = self._said(target, faults)
        headers["Content-Type"] = "application/json"
        if status == 200:
            response = WSUpgradeResponse.create_ok_response(body, headers)
        else:
            response = WSUpgradeResponse.create_error_response(status, body, headers)
        if "rest_slow" in faults:
            response.headers["Connection"] = "close"
            return _later(request, [(faults["rest_slow"].seconds, bytes(response.to_bytes()))])
        if "rest_drip" in faults:
            response.headers["Connection"] = "close"
            return _later(request, _drops(bytes(response.to_bytes()), faults["rest_drip"].seconds))
        return WSUpgradeResponseWithListener(response, None)

    def _said(self, target: str, faults: dict[str, Fault]) -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers."""
        exchange, scenario = self._server.exchange, self._server.scenario
        if "rest_frozen" in faults:
            self._frozen = {name: book.copy() for name, book in self._server.books.items()}
        books = self._server.books_for(target)
        if scenario.holds("rest_frozen"):
            books = self._frozen
        if "rest_ahead" in faults:
            books = {name: book.copy() for name, book in books.items()}
            for book in books.values():
                book.last += _AHEAD
        status, body = exchange.rest(target, books)
        if "rest_error" in faults:
            status, body = 503, b'{"code":-1008,"msg":"Server is currently overloaded"}'
        banned = scenario.holds("rest_ban")
        if not banned and "rest_limit" not in faults:
            return status, body, {}
        seconds = banned or faults["rest_limit"].seconds
        status, body = exchange.refuse(seconds, bool(banned))
        return status, body, {"Retry-After": str(math.ceil(seconds))} if status != 200 else {}


class _Late(WSListener):
    """A REST request whose answer is slow.

    picows answers a request at once and closes, or makes a WebSocket of it. So it is told to do the latter, with an
    answer of no bytes, and the real one is written piece by piece when it is time.
    """

    def __init__(self, pieces: Sequence[tuple[float, bytes]]) -> None:
        self._pieces = pieces

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        wire = transport.underlying_transport
        loop = asyncio.get_running_loop()
        for seconds, piece in self._pieces:
            loop.call_later(seconds, _write, wire, piece)
        loop.call_later(self._pieces[-1][0] + 0.001, wire.close)


def _write(wire: asyncio.Transport, piece: bytes) -> None:
    if not wire.is_closing():
        wire.write(piece)


class _Nothing(WSUpgradeResponse):
    """An answer of no bytes that picows takes for one that opens a WebSocket."""

    def __init__(self) -> None:
        super().__init__()
        like = WSUpgradeResponse.create_101_response()
        self.version, self.status, self.headers, self.body = like.version, like.status, like.headers, like.body

    def to_bytes(self) -> bytearray:
        """Nothing."""
        return bytearray()


def _later(request: WSUpgradeRequest, pieces: Sequence[tuple[float, bytes]]) -> WSUpgradeResponseWithListener:
    """Let picows take a plain request for a WebSocket's, see `_Late`."""
    for name, value in _UPGRADE.items():
        request.headers[name] = value
    return WSUpgradeResponseWithListener(_Nothing(), _Late(pieces))


def _drops(answer: bytes, seconds: float) -> list[tuple[float, bytes]]:
    """The head of the answer at once, its body in drops."""
    head, _, body = answer.partition(b"\r\n\r\n")
    count = max(2, min(len(body), int(seconds * _DROPS_PER_SECOND)))
    edges = [len(body) * number // count for number in range(count + 1)]
    drops = [body[start:end] for start, end in itertools.pairwise(edges)]
    return [(0.0, head + b"\r\n\r\n"), *((seconds * n / count, drop) for n, drop in enumerate(drops, 1))]
