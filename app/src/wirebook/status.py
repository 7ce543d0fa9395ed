"""What a process tells about itself: a small JSON file beside the market cache, once a second.

`transport.json` is the book process's, `feed-VENUE.json` a feed's. A file is replaced as a whole, so a reader never
sees half of it; `/run` is memory, so writing it waits for no disk.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_log = logging.getLogger(__name__)


TRANSPORT: Final = "transport"
"""The book process's file: which transport it has, and what became of the packets."""


def feed(venue: str) -> str:
    """The name of a feed's file."""
    return f"feed-{venue}"


def read(market: str | Path, name: str) -> dict[str, Any]:
    """Return what the process wrote last; empty if it isn't running, or if the file isn't ours."""
    try:
        said = json.loads(_path(market, name).read_text())
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def _path(market: str | Path, name: str) -> Path:
    return Path(market).with_name(f"{name}.json")


def replace(path: Path, said: Mapping[str, int | float | bool | str]) -> None:
    """Write a JSON file as a whole, or leave the one that is there. Raises OSError."""
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(said) + "\n")
    partial.rename(path)


class StatusFile:
    """`NAME.json` beside the market cache."""

    def __init__(self, market: str | Path, name: str) -> None:
        self.path = _path(market, name)
        self._complained = False

    def write(self, figures: Mapping[str, int | float | bool | str]) -> None:
        """Replace the file. If it can't be written, that is logged once, and the process goes on."""
        try:
            replace(self.path, figures)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("can't write %s: %s", self.path, error.strerror)

    def remove(self) -> None:
        """Remove the file, since nobody writes it any more."""
        self.path.unlink(missing_ok=True)
