"""Reading a decoded JSON message: each function returns what it promises or raises MalformedError."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from wirebook.venues.base import Levels, MalformedError

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)


def json_object(raw: bytes) -> dict[str, Any]:
    """The JSON object that a message is."""
    try:
        message = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error}") from error
    return mapping(message)


def mapping(value: object) -> dict[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise MalformedError(f"{cut(value)} is not a JSON object")
    return value


def array(value: object) -> list[Any]:
    """A JSON array."""
    if not isinstance(value, list):
        raise MalformedError(f"{cut(value)} is not a JSON array")
    return value


def text(value: object) -> str:
    """A JSON string."""
    if not isinstance(value, str):
        raise MalformedError(f"{cut(value)} is not text")
    return value


def number(value: object) -> int:
    """A JSON integer that can be an update id: 0 to 2^63 - 1."""
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise MalformedError(f"{cut(value)} is not an id")
    return value


def milliseconds(value: object) -> int:
    """A time in ms since 1970, as a number or as text, in ns."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        value = int(value)
    if type(value) is not int or not 0 <= value < (1 << 63) // 1_000_000:
        raise MalformedError(f"{cut(value)} is no time in milliseconds")
    return value * 1_000_000


def rfc3339(value: object) -> int:
    """A UTC time such as "2026-04-07T14:30:10.123456Z" in ns since 1970; digits beyond ns can't occur."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        whole = datetime.fromisoformat(match[1]).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise MalformedError(f"{cut(value)} is no time as in RFC 3339") from error
    time_ns = int(whole) * 1_000_000_000 + int((match[2] or "").ljust(9, "0"))
    if not 0 <= time_ns < 1 << 63:
        raise MalformedError(f"{cut(value)} is not a time from 1970 to 2262")
    return time_ns


def levels(value: object) -> Levels:
    """The [price, quantity, …] rows of one side, checked in shape; their digits are checked when they are scaled."""
    if not isinstance(value, list) or not all(isinstance(level, list) and len(level) >= 2 for level in value):
        raise MalformedError("a side is not a list of [price, quantity]")
    return [(text(level[0]), text(level[1])) for level in value]


def chunks(names: Sequence[str], size: int) -> list[Sequence[str]]:
    """`names` in portions of at most `size`."""
    return [names[start : start + size] for start in range(0, len(names), size)]


def cut(value: object) -> str:
    """A value for a log line: its beginning, if it is long. It can't break the line, nor paint the terminal."""
    shown = value[:1000].decode(errors="replace") if isinstance(value, bytes) else str(value)
    whole = len(shown) <= 200
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in shown[:200])
    return shown if whole else shown + "…"
