"""engine.toml: one file for the whole node, checked completely before any process does anything.

Read with the standard library's `tomllib` and checked by the rules of `sections`. A schema library was tried
first: its messages name the type it expected, not the value it found nor the range that is allowed, and those two are
what an operator needs at 3 am.

Every error is a `UserError` of one sentence: the key, the value, what is allowed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

from wirebook.config import fields, together
from wirebook.config.fields import MAX_SYMBOLS
from wirebook.config.sections import AfXdp, Book, Config, Feed, Market, Memory, Node, Symbol, Transport
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
    """Check a parsed TOML document and make a `Config` of it. Raises UserError."""
    feeds = table.get("feed", [])
    if not isinstance(feeds, list) or not all(isinstance(entry, dict) for entry in feeds):
        raise UserError("feed must be written as [[feed]] tables, one for each venue")
    sections: dict[str, Any] = {}
    hints = get_type_hints(Config)
    for key, value in table.items():
        if key not in hints:
            raise UserError(fields.unknown(key, "", hints))
        if key == "feed":
            continue
        if not isinstance(value, dict):
            raise UserError(f"{key} = {fields.show(value)} must be a table; write [{key}]")
        sections[key] = fields.build(hints[key], value, key)
    config = Config(**sections, feed=tuple(_feed(entry, f"feed[{n}]") for n, entry in enumerate(feeds)))
    together.check(config)
    return config


def _feed(entry: Mapping[str, Any], where: str) -> Feed:
    symbols = entry.get("symbols")
    if not isinstance(symbols, list) or not all(isinstance(symbol, dict) for symbol in symbols):
        return fields.build(Feed, entry, where)  # refused there, with the words for a missing or misshapen list
    built = tuple(fields.build(Symbol, symbol, f"{where}.symbols[{n}]") for n, symbol in enumerate(symbols))
    return fields.build(Feed, {**entry, "symbols": built}, where)
