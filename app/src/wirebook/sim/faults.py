"""What goes wrong at a simulated venue, and when: the scenario file of `wirebook sim --faults FILE`.

A scenario is a list of `[[fault]]` tables. `wirebook sim --help` prints the keys and all kinds, from `guide` below.
What a kind does to a message lies in `spoil`, what it does to the made-up market in `market`.
"""

from __future__ import annotations

import textwrap
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from wirebook.errors import UserError

_MESSAGE = {
    "drop": "the message is not sent",
    "duplicate": "it is sent twice",
    "swap": "it is sent after the next one",
    "truncate": "its second half is missing",
    "garble": "a character in its middle is changed",
    "html": "a page of HTML is sent instead",
    "checksum": "its checksum is wrong",
    "id_jump": "its id is 2^63-1",
    "binary": "it is sent in a BINARY frame",
    "fragments": "it is sent in three frames",
    "empty": "an empty frame is sent before it",
    "disconnect": "every connection is reset instead",
    "cut": "every connection is closed in the middle of it",
}
_LASTING = {
    "silence": "nothing at all is sent, while the market goes on",
    "book_silence": "nothing about books is sent, while pongs and heartbeats go on",
    "format_numbers": "prices and quantities are numbers where they were text, and text where they were numbers",
    "format_exponent": "prices have an exponent",
    "format_ids": "ids are text",
    "format_renamed": "messages about books have another kind's name",
    "format_field": "messages have an additional field",
    "id_repeat": "every message has the ids of the first one",
    "shutdown": "the venue says that it will close its connections, and does so when the time is over",
    "halt": "trading is halted: the instrument's status says so, and its book rests",
    "crossed": "a bid lies far above the best ask",
    "locked": "a bid lies at the best ask",
}
_FOR_GOOD = {
    "id_restart": "ids start over",
    "tick_finer": "the tick is made finer: new orders have a decimal more",
    "tick_coarser": "the tick is made coarser: new orders have a decimal less, old ones rest where they are",
    "lot_finer": "the lot is made finer",
    "lot_coarser": "the lot is made coarser, old orders keep their quantities",
}
_REQUEST = {
    "rest_error": "the request is answered with status 503",
    "rest_limit": "it is answered as one too many, with Retry-After",
    "rest_slow": "it is answered after some seconds",
    "rest_drip": "its answer comes in drops, over some seconds",
    "rest_ahead": "the book in its answer has an id far ahead of the stream",
    "rest_disconnect": "every WebSocket is reset just before the answer",
}
_REQUEST_LASTING = {
    "rest_ban": "the address is banned: every request is refused, with Retry-After",
    "rest_frozen": "books are told as they were at the first request",
}

KINDS = {**_MESSAGE, **_LASTING, **_FOR_GOOD, **_REQUEST, **_REQUEST_LASTING}
MADE_UP = {"halt", "crossed", "locked", *_FOR_GOOD}
"""Kinds that change the market itself, which can't be done to a recording."""


@dataclass(frozen=True)
class Fault:
    """One entry of a scenario."""

    kind: str
    at: tuple[int, ...] = ()
    every: int = 0
    instrument: str = ""
    seconds: float = 1.0

    def due(self, number: int) -> bool:
        """Whether it strikes at the `number`th message or request."""
        return number in self.at or (self.every > 0 and number % self.every == 0)

    def __str__(self) -> str:
        when = [f"at {', '.join(map(str, self.at))}"] if self.at else []
        when += [f"every {self.every}"] if self.every else []
        return " ".join([self.kind, " and ".join(when), *([f"of {self.instrument}"] if self.instrument else [])])


class Scenario:
    """The faults of a run, and how far the run has come."""

    def __init__(self, faults: Iterable[Fault] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self.faults = tuple(faults)
        self.struck: Counter[str] = Counter()
        """How often each kind has struck."""
        self._clock = clock
        self._struck: set[Fault] = set()
        self._until: dict[Fault, float] = {}
        self._messages: Counter[str] = Counter()
        self._requests = 0

    def message(self, instrument: str | None) -> list[Fault]:
        """What strikes the next message, which is about the book of `instrument`."""
        self._messages[""] += 1
        if instrument:
            self._messages[instrument] += 1
        return self._strike(
            fault
            for fault in self.faults
            if not fault.kind.startswith("rest_")
            and fault.instrument in ("", instrument)
            and fault.due(self._messages[fault.instrument])
        )

    def request(self) -> list[Fault]:
        """What strikes the next REST request."""
        self._requests += 1
        return self._strike(
            fault for fault in self.faults if fault.kind.startswith("rest_") and fault.due(self._requests)
        )

    def holds(self, kind: str, instrument: str | None = None) -> float:
        """Seconds that a fault of this kind which has struck will still last for `instrument`; 0 if there is none."""
        left = 0.0
        for fault, until in self._until.items():
            if fault.kind == kind and fault.instrument in ("", instrument):
                left = max(left, until - self._clock())
        return left

    @property
    def any_lasting(self) -> bool:
        """Whether a fault that lasts has struck at all."""
        return bool(self._until)

    def lasting(self, instrument: str | None) -> list[str]:
        """Return the kinds that last for `instrument` at this moment."""
        if not self._until:
            return []
        kinds = dict.fromkeys(fault.kind for fault in self._until)
        return [kind for kind in kinds if self.holds(kind, instrument)]

    def unstruck(self) -> list[str]:
        """The faults that have not struck, in words."""
        return [f"fault[{n}] ({fault})" for n, fault in enumerate(self.faults) if fault not in self._struck]

    def reached(self) -> str:
        """How far the run has come, in words."""
        return f"{self._messages['']} messages about books and {self._requests} REST requests"

    def _strike(self, found: Iterable[Fault]) -> list[Fault]:
        faults = list(found)
        for fault in faults:
            self.struck[fault.kind] += 1
            self._struck.add(fault)
            if fault.kind in _LASTING or fault.kind in _REQUEST_LASTING:
                self._until[fault] = self._clock() + fault.seconds
        return faults


def load(path: Path) -> Scenario:
    """Read a scenario file. Raises UserError with the entry that is wrong."""
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"can't read the scenario {path}: {error.strerror}; name another with --faults") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    entries = table.get("fault")
    if set(table) != {"fault"} or not isinstance(entries, list):
        raise UserError(f"{path} must consist of [[fault]] tables and nothing else")
    return Scenario(_fault(entry, f"{path}: fault[{number}]") for number, entry in enumerate(entries))


def _fault(entry: Any, where: str) -> Fault:
    if not isinstance(entry, dict):
        raise UserError(f"{where} = {entry!r} is not a table; write [[fault]] above its keys")
    known = {field.name for field in fields(Fault)}
    for key in entry:
        if key not in known:
            raise UserError(f"{where}.{key} is not a key of a fault; it may be one of {', '.join(sorted(known))}")
    if entry.get("kind") not in KINDS:
        raise UserError(f"{where}.kind = {entry.get('kind')!r} is not allowed; it must be one of {', '.join(KINDS)}")
    at, every, seconds = entry.get("at", []), entry.get("every", 0), entry.get("seconds", 1.0)
    if not isinstance(at, list) or not all(type(number) is int and number > 0 for number in at):
        raise UserError(f"{where}.at = {at!r} is not allowed; it must be a list of numbers from 1 on")
    if type(every) is not int or every < 0 or not (at or every):
        raise UserError(f"{where} never strikes; give it `at`, a list of numbers, or `every`, a number from 1 on")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= 86_400:
        raise UserError(f"{where}.seconds = {seconds!r} is not allowed; it must be a number from 0 to 86400")
    if not isinstance(entry.get("instrument", ""), str):
        raise UserError(f"{where}.instrument = {entry['instrument']!r} is not allowed; it must be a name")
    return Fault(entry["kind"], tuple(at), every, entry.get("instrument", ""), float(seconds))


def guide() -> str:
    """The scenario file's keys and kinds, for `--help`."""
    sections = [
        ("kinds that strike one message", _MESSAGE),
        ("kinds that last for `seconds` from that message on", _LASTING),
        ("kinds that last for good", _FOR_GOOD),
        ("kinds that strike one REST request", _REQUEST),
        ("kinds that last for `seconds` from that request on", _REQUEST_LASTING),
    ]
    lines = [
        "the scenario FILE of --faults:",
        "  [[fault]]                    # as many as you like",
        '  kind = "drop"                # one of those below',
        "  at = [100, 250]              # which messages about books, counted from 1; for rest_...: which requests",
        "  every = 1000                 # or each 1000th",
        '  instrument = "BTCUSDT"       # count and spoil only this instrument\'s messages',
        "  seconds = 1.0                # for how long; for rest_limit: what Retry-After says",
    ]
    for title, kinds in sections:
        lines += ["", f"{title}:"]
        for kind, text in kinds.items():
            only = " (--synthetic)" if kind in MADE_UP else ""
            lines += textwrap.wrap(f"  {kind:<17}{text}{only}", 118, subsequent_indent=" " * 19)
    return "\n".join(lines)
