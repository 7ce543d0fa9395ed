"""How much may be asked of a venue's REST, and when: by the venue's own weights, with a third left for others.

The venue counts an address, not a process. So a part of its limit is never used, what the venue says that it has
counted is believed, and a ban is kept in a file: a feed that starts again asks nothing before it is over.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from wirebook import status
from wirebook.config import Config
from wirebook.feed.refusals import LONGEST_BAN_SECONDS
from wirebook.venues.base import Venue

_log = logging.getLogger(__name__)

_OURS: Final = 2 / 3
_MINUTE: Final = 60.0
"""The window of what the venue tells that it has counted."""


def state_path(config: Config, venue: Venue) -> Path:
    """The file that keeps a venue's ban: where systemd lets a service keep state, else beside the market cache."""
    told = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return (Path(told) if told else Path(config.market.path).parent) / f"rest-{venue.name}.json"


class Quota:
    """Decides when the next request may be made. `limit`: the weight that the venue allows in `seconds`."""

    def __init__(
        self,
        limit: float,
        seconds: float,
        path: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`path`: the file that keeps a ban over restarts; None: nothing does."""
        self.budget = limit * _OURS
        """The weight that may be used in any `seconds`."""
        self.seconds = seconds
        self._path = path
        self._clock = clock
        self._wall = wall
        self._spent: deque[tuple[float, float]] = deque()
        """(time, weight) of the requests of the last `seconds`."""
        self._sum = 0.0
        self._closed_until = clock() + self._kept()
        self._told_until = -math.inf
        self._told_left = 0.0
        """What the venue's count leaves of the budget, until then."""

    @property
    def closed(self) -> float:
        """Seconds for which the venue wants no request at all; 0 if it takes them."""
        return max(0.0, self._closed_until - self._clock())

    def wait(self, weight: float) -> float:
        """Seconds until a request of that weight may be made; 0: now."""
        now = self._clock()
        weight = min(weight, self.budget)
        at = max(now, self._closed_until)
        if now < self._told_until and weight > self._told_left:
            at = max(at, self._told_until)
        self._forget(now)
        left = self._sum
        for when, spent in self._spent:
            if left + weight <= self.budget:
                break
            left -= spent
            at = max(at, when + self.seconds)
        return at - now

    def spend(self, weight: float) -> None:
        """A request is made now."""
        now = self._clock()
        self._forget(now)
        self._spent.append((now, weight))
        self._sum += weight
        self._told_left -= weight

    def told(self, used: float) -> None:
        """The venue says what it has counted of this address in this minute, by whomever."""
        if 0 <= used < math.inf:
            self._told_left = self.budget - used
            self._told_until = self._clock() + _MINUTE - self._wall() % _MINUTE

    def close(self, seconds: float) -> None:
        """The venue wants no request for so long."""
        until = self._clock() + seconds
        if until > self._closed_until:
            self._closed_until = until
            self._keep(seconds)

    def duration(self, weight: float, count: int) -> float:
        """Seconds that `count` requests of that weight take at least."""
        return max(0.0, count * weight - (self.budget - self._sum)) / self.budget * self.seconds

    def _forget(self, now: float) -> None:
        while self._spent and self._spent[0][0] <= now - self.seconds:
            self._sum -= self._spent.popleft()[1]
        if not self._spent:
            self._sum = 0.0

    def _keep(self, seconds: float) -> None:
        if self._path is None:
            return
        try:
            status.replace(self._path, {"closed_until": self._wall() + seconds})
        except OSError as error:
            _log.warning(
                "can't write %s: %s; a restart would not know of the venue's refusal", self._path, error.strerror
            )

    def _kept(self) -> float:
        """Seconds that the refusal in the file still lasts; 0 for a file that isn't there or can't be right."""
        if self._path is None:
            return 0.0
        try:
            said = json.loads(self._path.read_bytes()[:1000])["closed_until"]
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return 0.0
        if isinstance(said, bool) or not isinstance(said, int | float):
            return 0.0
        left = said - self._wall()
        return left if 0 < left <= LONGEST_BAN_SECONDS else 0.0
