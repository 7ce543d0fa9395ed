"""What a value of engine.toml may be: the rule of each field, and the sentence for a value that breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, field, fields
from ipaddress import IPv4Address
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

from wirebook.errors import UserError

MAX_SYMBOLS = 2048
"""Symbol ids run from 0 to one less than this: the books are preallocated, one slot per id."""

MAX_STREAMS = 64
"""A book process follows no more publishers than this."""

_T = TypeVar("_T")
_Test = Callable[[Any], bool]


def rule(allowed: str, test: _Test, default: Any = MISSING) -> Any:
    """A dataclass field whose value must pass `test`; `allowed` says in words what passes."""
    return field(default=default, metadata={"allowed": allowed, "test": test})


def between(low: int, high: int, default: Any = MISSING) -> Any:
    """An integer."""
    return rule(f"an integer from {low} to {high}", lambda value: low <= value <= high, default)


def seconds(low: float, high: float) -> Any:
    """A number of seconds; 0 stands for the venue's own."""
    return rule(
        f"a number of seconds from {low} to {high}, or 0 for the venue's own",
        lambda value: value == 0 or low <= value <= high,
        0.0,
    )


def choice(*choices: str, default: str) -> Any:
    """One of some words."""
    return rule("one of " + ", ".join(choices), lambda value: value in choices, default)


def boolean(default: bool) -> Any:
    """True or false."""
    return rule("true or false", lambda _: True, default)


def text(pattern: str, allowed: str, default: Any = MISSING) -> Any:
    """A string that matches `pattern` as a whole."""
    compiled = re.compile(pattern)
    return rule(allowed, lambda value: compiled.fullmatch(value) is not None, default)


def group(default: str) -> Any:
    """A multicast group."""
    return rule("an IPv4 multicast address, 224.0.1.0 to 239.255.255.255", _is_group, default)


def group_or_none() -> Any:
    """The group of an optional line, or nothing."""
    return rule(
        "an IPv4 multicast address, 224.0.1.0 to 239.255.255.255, or empty for no line B",
        lambda value: value == "" or _is_group(value),
        "",
    )


def _is_group(value: str) -> bool:
    """224.0.0.x is left out: those groups are link-local control traffic, which switches flood and never prune."""
    parts = value.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and str(int(part)) == part for part in parts):
        return False
    numbers = [int(part) for part in parts]
    return max(numbers) <= 255 and numbers >= [224, 0, 1, 0] and numbers[0] <= 239


def addresses(most: int) -> Any:
    """A list of IPv4 addresses, as a tuple."""
    return rule(
        f'a list of up to {most} IPv4 addresses, like ["10.1.2.3"]',
        lambda value: len(value) <= most and all(map(_is_address, value)),
        (),
    )


def _is_address(value: str) -> bool:
    try:
        return not IPv4Address(value).is_multicast
    except ValueError:
        return False


def url(*schemes: str) -> Any:
    """A URL with one of the schemes, or nothing."""
    allowed = "a URL with a host that starts with " + " or ".join(f"{scheme}://" for scheme in schemes)
    return rule(allowed, lambda value: _is_url(value, schemes), "")


def _is_url(value: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 (raises for a port that is no port)
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and not parts.query and not parts.fragment


def venues() -> tuple[str, ...]:
    """The names of those there are."""
    from wirebook.venues import names

    return names()


_HINTS: dict[type[Any], dict[str, Any]] = {}


def _hints(cls: type[Any]) -> dict[str, Any]:
    """The types of a dataclass's fields, worked out once: an inventory of many hosts asks thousands of times."""
    if cls not in _HINTS:
        _HINTS[cls] = get_type_hints(cls)
    return _HINTS[cls]


def faults(cls: type[Any], table: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Each key of a TOML table that breaks a rule of the dataclass `cls`, with the sentence that says so."""
    hints = _hints(cls)
    for key in table:
        if key not in hints:
            yield key, unknown(key, where + ".", hints)
    for entry in fields(cls):
        name, allowed = entry.name, _allowed(entry.metadata["allowed"])
        if name not in table:
            if entry.default is MISSING:
                yield name, f"{where}.{name} is missing; it must be {allowed}"
        elif not _is_a(table[name], hints[name]) or not entry.metadata["test"](table[name]):
            yield name, f"{where}.{name} = {show(table[name])} is not allowed; it must be {allowed}"


def build(cls: type[_T], table: Mapping[str, Any], where: str) -> _T:
    """An instance of the dataclass `cls` from a TOML table, every value checked against its field's rule."""
    for _, sentence in faults(cls, table, where):
        raise UserError(sentence)
    hints = _hints(cls)
    return cls(**{name: _as_a(value, hints[name]) for name, value in table.items()})


def _allowed(words: str) -> str:
    return words.replace("{venues}", ", ".join(venues()))


def _is_a(value: object, hint: object) -> bool:
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, hint if isinstance(hint, type) else tuple)


def _as_a(value: Any, hint: object) -> Any:
    if hint is float:
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def show(value: object) -> str:
    """A value as TOML would write it, cut short."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    if isinstance(value, str):
        text = f'"{value}"'
    return text if len(text) <= 60 else text[:57] + "..."


def unknown(key: str, where: str, known: Mapping[str, object]) -> str:
    """The sentence for a key that isn't there."""
    return f"{where}{key} is not a key that wirebook knows; here it may be one of {', '.join(sorted(known))}"
