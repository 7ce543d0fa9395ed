"""What goes wrong at a simulated venue, and when: the scenario file of `wirebook sim --faults FILE`.

```toml
[[fault]]
kind = "drop"               # one of KINDS
at = [100, 250]             # which messages about books, from 1 over the whole run; of `rest_...`, which requests
every = 1000                # or each so many
instrument = "BTCUSDT"      # only this instrument's messages are counted
seconds = 2.0               # silence, rest_slow: for how long; rest_limit: what Retry-After says
```
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from wirebook.errors import UserError

KINDS = {
    "drop": "the message is not sent",
    "duplicate": "it is sent twice",
    "swap": "it is sent after the next one",
    "truncate": "its second half is missing",
    "garble": "a character in its middle is another one",
    "checksum": "its checksum is another one",
    "silence": "nothing is sent for some seconds, while the market goes on",
    "disconnect": "every connection is reset instead",
    "cut": "every connection is closed in the middle of it",
    "rest_error": "the request is answered with status 503",
    "rest_slow": "it is answered after some seconds",
    "rest_limit": "it is answered with status 429 and Retry-After",
    "rest_disconnect": "every WebSocket is reset just before the answer",
}

_CHECKSUM = re.compile(rb'("checksum":)(-?\d+)')


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


class Scenario:
    """The faults of a run, and how far it has come."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.struck: Counter[str] = Counter()
        """How often each kind has struck."""
        self._faults = faults
        self._messages: Counter[str] = Counter()
        self._requests = 0

    def message(self, instrument: str | None) -> list[Fault]:
        """What strikes the next message, which is about the book of `instrument`."""
        self._messages[""] += 1
        if instrument:
            self._messages[instrument] += 1
        return self._strike(
            fault
            for fault in self._faults
            if not fault.kind.startswith("rest_")
            and fault.instrument in ("", instrument)
            and fault.due(self._messages[fault.instrument])
        )

    def request(self) -> list[Fault]:
        """What strikes the next REST request."""
        self._requests += 1
        return self._strike(
            fault for fault in self._faults if fault.kind.startswith("rest_") and fault.due(self._requests)
        )

    def _strike(self, found: Any) -> list[Fault]:
        faults = list(found)
        self.struck.update(fault.kind for fault in faults)
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
    return Scenario(tuple(_fault(entry, f"{path}: fault[{number}]") for number, entry in enumerate(entries)))


def _fault(entry: dict[str, Any], where: str) -> Fault:
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
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= 3600:
        raise UserError(f"{where}.seconds = {seconds!r} is not allowed; it must be a number from 0 to 3600")
    if not isinstance(entry.get("instrument", ""), str):
        raise UserError(f"{where}.instrument = {entry['instrument']!r} is not allowed; it must be a name")
    return Fault(entry["kind"], tuple(at), every, entry.get("instrument", ""), float(seconds))


def spoil(kind: str, message: bytes) -> list[bytes]:
    """What is sent instead of `message`."""
    half = len(message) // 2
    if kind == "drop":
        return []
    if kind == "duplicate":
        return [message, message]
    if kind == "truncate":
        return [message[:half]]
    if kind == "garble":
        return [message[:half] + b"?" + message[half + 1 :]]
    if kind == "checksum":
        return [_CHECKSUM.sub(lambda match: match[1] + b"%d" % (int(match[2]) + 1), message)]
    return [message]


def half_frame(message: bytes) -> bytes:
    """The beginning of the WebSocket frame (RFC 6455, 5.2) of a text message."""
    size = len(message)
    if size < 126:
        header = bytes([0x81, size])
    elif size < 1 << 16:
        header = b"\x81\x7e" + size.to_bytes(2, "big")
    else:
        header = b"\x81\x7f" + size.to_bytes(8, "big")
    return header + message[: size // 2]
