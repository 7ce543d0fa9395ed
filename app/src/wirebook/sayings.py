"""What an operator should read: logged at once, and for the same cause again from time to time, with a count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_AGAIN_SECONDS: Final = 300.0
"""The minimum time between two lines for the same cause."""
_FORGET_SECONDS: Final = 3600.0
"""A cause that was not seen for this long counts as new."""
_MOST_CAUSES: Final = 1000
"""If a venue keeps producing new causes, all those beyond this number share one line."""
_OTHERS: Final = "others"


@dataclass(slots=True)
class _Cause:
    said_at: float
    seen_at: float
    unsaid: int = 0


class Sayings:
    """Decides which lines are logged. Times are those of `time.monotonic`."""

    def __init__(self) -> None:
        self._causes: dict[str, _Cause] = {}

    def line(self, cause: str, text: str, now: float) -> str | None:
        """Return the line to log for this `cause` now; None if it is only counted."""
        if cause not in self._causes and len(self._causes) >= _MOST_CAUSES:
            self._causes = {key: each for key, each in self._causes.items() if now - each.seen_at < _FORGET_SECONDS}
            if len(self._causes) >= _MOST_CAUSES:
                cause, text = _OTHERS, f"{text} (there are many such lines, of more than {_MOST_CAUSES} causes)"
        seen = self._causes.get(cause)
        if seen is None or now - seen.seen_at >= _FORGET_SECONDS:
            self._causes[cause] = _Cause(now, now)
            return text
        seen.seen_at = now
        if now - seen.said_at < _AGAIN_SECONDS:
            seen.unsaid += 1
            return None
        more = f" ({seen.unsaid} more like it in the last {now - seen.said_at:.0f} s)" if seen.unsaid else ""
        seen.said_at, seen.unsaid = now, 0
        return text + more
