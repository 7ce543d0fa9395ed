"""Where a value was written, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# The only thing here that isn't Ansible's public interface: every value that it loads knows its file and line.
from ansible._internal._datatag._tags import Origin

# Keys, and places in lists: ("topology_services", 1, "cpu").
Path = tuple[str | int, ...]


@dataclass(frozen=True, order=True)
class Place:
    """A line of a file, as an editor opens it; line 0 is the file as a whole."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Mistake:
    """What is wrong at a place: the variable or the thing that it is about, and a sentence with the way out."""

    place: Place
    what: str
    sentence: str
    # Of which host it is; "" where it doesn't depend on one.
    host: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.what}: {self.sentence}"


def shown(file: str) -> str:
    """Return a file's name from where the user is, or as it is where that isn't shorter."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative


def dotted(path: Iterable[str | int]) -> str:
    """Return a path as people write it: `topology_services[1].cpu`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def origin(value: Any) -> Place | None:
    """Return where a value was written; None for what no file says, and for true, false and nothing."""
    tag = Origin.get_tag(value)
    return Place(shown(tag.path), tag.line_num or 0) if tag is not None and tag.path else None


def within(value: Any, path: Path) -> Place | None:
    """Return where the deepest part of a path into a value was written, as far as the value goes."""
    found = origin(value)
    for step in path:
        if isinstance(value, Mapping) and step in value:
            # The key, since the value may be true, false or nothing, which know no place.
            found = origin(next(key for key in value if key == step)) or found
            value = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
            found = origin(value) or found
        else:
            break
    return found


def at(value: Any, path: Path) -> Any:
    """Return what is at a path in a value; None where there is nothing."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
