"""How far a start has come: told now and then until every book was live once."""

from __future__ import annotations

from typing import Final

_SAID_SECONDS: Final = 10.0


class Progress:
    """Of a start at `now`, time.monotonic, with `total` books."""

    def __init__(self, total: int, now: float) -> None:
        self.text = f"starting: 0 of {total:,} live"
        """For the status; empty when the start is over."""
        self._total = total
        self._began = now
        self._say_at = now + _SAID_SECONDS

    def look(self, live: int, now: float, least: float) -> str | None:
        """Take note of how many books are live; a line to say, now and then.

        `least`: the seconds that the venue's limits let the rest take at least.
        """
        if not self.text:
            return None
        if live >= self._total:
            self.text = ""
            return None
        so_far = now - self._began
        left = max(least, so_far * (self._total - live) / live if live else 0.0)
        self.text = f"starting: {live:,} of {self._total:,} live" + (f", {_told(left)} left" if left else "")
        if now < self._say_at:
            return None
        self._say_at = now + _SAID_SECONDS
        return self.text


def _told(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
