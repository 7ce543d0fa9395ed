"""engine.toml: one file for the whole node, checked completely before any process does anything.

Read with the standard library's `tomllib` and checked by the rules of `sections`. A schema library was tried
first: its messages name the type it expected, not the value it found nor the range that is allowed, and those two are
what an operator needs at 3 am.

Every error is a `UserError` of one sentence: the key, the value, what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from wirebook.config import fields, together
from wirebook.config.fields import MAX_SYMBOLS
from wirebook.config.sections import AfXdp, Book, Config, Feed, Market, Memory, Node, Symbol, Transport
from wirebook.config.together import Place
from wirebook.errors import UserError

__all__ = [
    "DEFAULT_PATH",
    "MAX_SYMBOLS",
    "AfXdp",
    "Book",
    "Config",
    "Feed",
    "Market",
    "Memory",
    "Node",
    "Symbol",
    "Transport",
    "faults",
    "load",
    "parse",
]

DEFAULT_PATH = Path("/etc/wirebook/engine.toml")


def load(path: Path) -> Config:
    """Read and check `path`. Raises UserError, naming the file, the key, the value and what is allowed."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise UserError(f"can't read the configuration {path}: {error.strerror}; name another with --config") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}; mend that line") from error
    try:
        return parse(table)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def parse(table: Mapping[str, Any]) -> Config:
    """Check a parsed TOML document and make a `Config` of it. Raises UserError, for the first fault."""
    for _, sentence in faults(table):
        raise UserError(sentence)
    return _built(table)


def faults(table: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Each fault of a parsed TOML document: where it is, and the sentence that `parse` raises for the first."""
    hints = get_type_hints(Config)
    sound: dict[str, Any] = {}
    for key, value in table.items():
        if key == "feed":
            continue
        if key not in hints:
            yield (key,), fields.unknown(key, "", hints)
        elif not isinstance(value, dict):
            yield (key,), f"{key} = {fields.show(value)} must be a table; write [{key}]"
        else:
            wrong = dict(fields.faults(hints[key], value, key))
            yield from (((key, name), sentence) for name, sentence in wrong.items())
            sound[key] = {name: one for name, one in value.items() if name not in wrong}
    entries = table.get("feed", [])
    whole = isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)
    if not whole:
        yield ("feed",), "feed must be written as [[feed]] tables, one for each venue"
    found = [fault for n, entry in enumerate(entries if whole else []) for fault in _feed_faults(entry, n)]
    yield from found
    # What a feed that isn't sound has in common with others, nobody can tell.
    sound["feed"] = entries if whole and not found else []
    broken = {key for key in sound if key != "feed" and len(sound[key]) < len(table[key])}
    yield from (fault for fault in together.contradictions(_built(sound)) if fault[0][0] not in broken)


def _feed_faults(entry: Mapping[str, Any], number: int) -> Iterator[tuple[Place, str]]:
    where = f"feed[{number}]"
    symbols = entry.get("symbols")
    listed = isinstance(symbols, list) and all(isinstance(symbol, dict) for symbol in symbols)
    # Of symbols that are judged one by one, only whether there is any is left to say.
    table = {**entry, "symbols": tuple(symbols)} if listed and symbols else entry
    yield from ((("feed", number, key), sentence) for key, sentence in fields.faults(Feed, table, where))
    for place, symbol in enumerate(symbols if listed and symbols else []):
        for key, sentence in fields.faults(Symbol, symbol, f"{where}.symbols[{place}]"):
            yield ("feed", number, "symbols", place, key), sentence


def _built(table: Mapping[str, Any]) -> Config:
    hints = get_type_hints(Config)
    sections = {key: fields.build(hints[key], value, key) for key, value in table.items() if key != "feed"}
    return Config(**sections, feed=tuple(_feed(entry, f"feed[{n}]") for n, entry in enumerate(table.get("feed", []))))


def _feed(entry: Mapping[str, Any], where: str) -> Feed:
    symbols = [fields.build(Symbol, symbol, f"{where}.symbols[{n}]") for n, symbol in enumerate(entry["symbols"])]
    return fields.build(Feed, {**entry, "symbols": tuple(symbols)}, where)
