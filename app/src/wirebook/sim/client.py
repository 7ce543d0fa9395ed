"""One WebSocket of a simulated venue: it answers requests and sends what happens, spoilt where a fault says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from wirebook.sim.exchange import Exchange, Subscription
from wirebook.sim.faults import Scenario
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.spoil import half_frame, ids, reformat, spoil, with_ids


class Host(Protocol):
    """What clients and the REST side need of their server."""

    clients: set[Client]
    slow: set[Client]
    """The clients that can't take more for now."""
    exchange: Exchange
    scenario: Scenario

    @property
    def books(self) -> Mapping[str, ReferenceBook]:
        """By instrument."""

    @property
    def silent(self) -> bool:
        """Whether a fault keeps everything from being sent."""

    def look(self) -> None:
        """Check again whether there is anybody to send to."""

    def about(self, raw: bytes) -> str | None:
        """The instrument that a message is about."""

    def books_for(self, target: str) -> dict[str, ReferenceBook]:
        """The books that a request's target asks about."""


class Client(WSListener):
    """Made for a connection by the server, which keeps it in `clients` while it lasts."""

    def __init__(self, server: Host, subscription: Subscription) -> None:
        self.server = server
        self.subscription = subscription
        self.transport: WSTransport | None = None
        self._held: bytes | None = None
        """A message to send after the next one."""
        self._repeated: dict[str | None, dict[bytes, bytes]] = {}
        """Ids that a fault repeats in the messages about an instrument."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Called by picows."""
        self.transport = transport
        self.server.clients.add(self)
        greeting = self.server.exchange.greeting()
        if greeting is not None and not self.server.silent:
            self.put(greeting)
        self.server.look()

    def on_ws_disconnected(self, _transport: WSTransport, /) -> None:
        """Called by picows."""
        self.server.clients.discard(self)
        self.server.slow.discard(self)
        self.server.look()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Called by picows."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.PING:
            if not self.server.silent:
                transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.TEXT:
            text = frame.get_payload_as_bytes()
            for answer in self.server.exchange.request(self.subscription, text, self.server.books):
                self._answer(answer)
            self.server.look()

    def pause_writing(self) -> None:
        """Called by the event loop."""
        self.server.slow.add(self)
        self.server.look()

    def resume_writing(self) -> None:
        """Called by the event loop."""
        self.server.slow.discard(self)
        self.server.look()

    def send(self, raw: bytes, instrument: str | None, kinds: Sequence[str], lasting: Sequence[str]) -> None:
        """Send a message about `instrument`, if it is subscribed to, with the faults that strike it or last."""
        message = self.server.exchange.deliver(self.subscription, raw, instrument)
        if message is None or self.transport is None:
            return
        if "disconnect" in kinds:
            self.reset()
            return
        if "cut" in kinds:
            self.cut(message)
            return
        message = self._changed(message, instrument, lasting)
        if "swap" in kinds and self._held is None:
            self._held = message
            return
        messages = [message]
        for kind in kinds:
            messages = [spoiled for each in messages for spoiled in spoil(kind, each)]
        if self._held is not None:
            messages.append(self._held)
            self._held = None
        for each in messages:
            self.put(each, kinds)

    def put(self, message: bytes, kinds: Sequence[str] = ()) -> None:
        """Send it as one frame, or as a fault asks for."""
        if self.transport is None or self.transport.underlying_transport.is_closing():
            return  # it is known only after this turn of the loop, and a line would be logged for each message
        if "empty" in kinds:
            self.transport.send(WSMsgType.TEXT, b"")
        if "fragments" in kinds:
            third = len(message) // 3
            self.transport.send(WSMsgType.TEXT, message[:third], fin=False)
            self.transport.send(WSMsgType.CONTINUATION, message[third : 2 * third], fin=False)
            self.transport.send(WSMsgType.CONTINUATION, message[2 * third :])
            return
        self.transport.send(WSMsgType.BINARY if "binary" in kinds else WSMsgType.TEXT, message)

    def cut(self, message: bytes) -> None:
        """Send the first half of a frame and close the connection."""
        if self.transport is not None:
            self.transport.underlying_transport.write(half_frame(message))
            self.transport.underlying_transport.close()

    def reset(self) -> None:
        """Break the connection off."""
        if self.transport is not None:
            self.transport.disconnect(graceful=False)

    def beat(self) -> None:
        """Send the venue's heartbeat, if it has one."""
        message = self.server.exchange.heartbeat(self.subscription)
        if message is not None:
            self.put(message)

    def _answer(self, answer: bytes) -> None:
        """Send the answer to a request; a book in it gets the faults that last for its instrument."""
        scenario = self.server.scenario
        if self.server.silent:
            return
        instrument = self.server.about(answer) if scenario.any_lasting else None
        if instrument is None:
            self.put(answer)
        elif not scenario.holds("book_silence", instrument):
            self.put(self._changed(answer, instrument, scenario.lasting(instrument)))

    def _changed(self, message: bytes, instrument: str | None, lasting: Sequence[str]) -> bytes:
        """Return the message, changed by the faults that last."""
        for kind in lasting:
            message = reformat(kind, message)
        if "id_repeat" not in lasting:
            self._repeated.pop(instrument, None)
            return message
        return with_ids(message, self._repeated.setdefault(instrument, ids(message)))
