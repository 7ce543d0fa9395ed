"""How far behind the venue a feed is.

The venue's clock and ours differ by an unknown offset, so the age of a message says nothing by itself; how much it
exceeds the smallest one of the last minutes does. A feed that is too slow shows so in the age (messages wait in the
socket until they are read) and in the event loop's own clock, which then comes late.
"""

from __future__ import annotations

from collections import deque

_WINDOW_SECONDS = 60.0
_WINDOWS = 5
"""The smallest age is that of the last five minutes: clocks drift, and a step of one of them is forgotten."""
_PATIENCE_SECONDS = 1.0
"""A feed is behind once it has been late for this long without a break: one slow message is no trend."""


class Lag:
    """Judges samples of a feed's lateness. All seconds are those of `time.monotonic`."""

    def __init__(self, limit: float) -> None:
        """`limit`: how many seconds of lateness are too many."""
        self.behind = False
        self.late = 0.0
        """Seconds behind by the latest sample: of messages or of the event loop, whichever is more."""
        self.worst = 0.0
        """The largest `late` so far."""
        self._limit = limit
        self._least: deque[float] = deque([float("inf")], _WINDOWS)
        self._window_end = 0.0
        self._late_since: float | None = None

    def sample(self, now: float, age: float | None, loop_late: float) -> None:
        """Take note of the `age` of a message (receive time - exchange time, None: none came), and of the loop's."""
        if now >= self._window_end:
            self._window_end = now + _WINDOW_SECONDS
            self._least.append(float("inf"))
        over = 0.0
        if age is not None:
            self._least[-1] = min(self._least[-1], age)
            over = age - min(self._least)
        self.late = max(over, loop_late)
        self.worst = max(self.worst, self.late)
        if self.late >= self._limit:
            self._late_since = now if self._late_since is None else self._late_since
        elif age is not None or not self.behind:  # without a message, that the loop is on time is no news
            self._late_since = None
        self.behind = self._late_since is not None and now - self._late_since >= _PATIENCE_SECONDS

    def forget(self) -> None:
        """Start to judge anew, after the connection was made anew: what waited was thrown away, so no age is lateness.

        Where it wasn't slowness but a clock that was set, here or at the venue, its new offset is learnt.
        """
        self._late_since = None
        self.behind = False
        self._least = deque([float("inf")], _WINDOWS)
