"""What a process tells about itself: a small JSON file beside the market cache, once a second.

The file is replaced as a whole, so a reader never sees half of it; `/run` is memory, so writing it waits for no disk.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

_log = logging.getLogger(__name__)


class StatusFile:
    """`NAME.json` in the directory of the market cache."""

    def __init__(self, market: Path, name: str) -> None:
        self.path = market.parent / f"{name}.json"
        self._complained = False

    def write(self, figures: Mapping[str, int | float | bool | str]) -> None:
        """Replace the file. That it can't be written is said once; the process goes on."""
        partial = self.path.with_suffix(".part")
        try:
            partial.write_text(json.dumps(figures) + "\n")
            partial.rename(self.path)
        except OSError as error:
            if not self._complained:
                self._complained = True
                _log.warning("can't write %s: %s", self.path, error.strerror)

    def remove(self) -> None:
        """Take the file away: nobody writes it any more."""
        self.path.unlink(missing_ok=True)
