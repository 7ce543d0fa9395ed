"""What a live book has to prove continuously: that its events come, that they can be read, and that they go forward.

Frames prove nothing: a venue whose book data stopped goes on answering pings. So a follower's books are looked at four
times a second, and each is asked how many events it has taken since. All limits are named in `docs/adding-a-venue.md`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from wirebook.core.decode.chain import Chain, Phase
from wirebook.core.wire.records import Reason

LOOK_SECONDS: Final = 0.25
"""Least time between two looks at the books."""
UNREADABLE_SECONDS: Final = 1.0
"""How long a book may stay live after a message that may have been its event and couldn't be read."""
REPEATS_SECONDS: Final = 3.0
"""How long a book may get nothing but events that it has had: then its ids went back, and the book is another one."""
SUBSCRIBED_SECONDS: Final = 60.0
"""How long the first event of a book whose snapshot is there may take before it is said."""
AHEAD_SECONDS: Final = 10.0
"""How long a snapshot may be ahead of the events: no venue's REST is that much quicker than its stream."""

_LEARNT_LEAST_SECONDS: Final = 5.0
_LEARNT_FACTOR: Final = 5.0
"""A book's own limit is this many times its longest pause."""
_LEARNT_EVENTS: Final = 50
_LEARNT_SECONDS: Final = 10.0
"""Nothing is learnt about a book's pauses before this many events and seconds."""
_WINDOW_SECONDS: Final = 300.0
"""The longest pause is taken from this window and the previous one."""


class Marked(Chain):
    """A book's place in its sequence, with marks of what makes its liveness doubtful. A mark counts until an event."""

    def __init__(self, symbol: int) -> None:
        super().__init__(symbol)
        self.unread: int | None = None
        """How many events it had taken when a message that may have been its event couldn't be read."""
        self.repeated: int | None = None
        """How many events it had taken when one came that it has had."""
        self.pulse: Pulse | None = None
        """None until the book was looked at."""
        self.crossed = False
        """It stayed crossed for too long, and is STALE until it isn't any more; its events go on being taken."""
        self.crossed_since: float | None = None
        """The look that first saw it crossed, or locked."""

    def crosses(self, crossed: bool, now: float) -> float:
        """Seconds for which the book has been crossed at every look; 0 if it isn't."""
        if not crossed:
            self.crossed_since = None
            return 0.0
        self.crossed_since = now if self.crossed_since is None else self.crossed_since
        return now - self.crossed_since


class Pulse:
    """When a book last took an event, and how long its pauses are. Times are `time.monotonic`'s, of the looks."""

    def __init__(self, phase: int, events: int, now: float) -> None:
        self.phase = phase
        self.events = self.taken_at_first = events
        self.at = self.began = now
        self.doubted: float | None = None
        """The look that first saw a mark that is set since the last event."""
        self.longest = self.longest_before = 0.0
        self.window_end = now + _WINDOW_SECONDS

    def beat(self, events: int, now: float) -> None:
        """Take note of events since the previous look."""
        if now > self.window_end:
            self.window_end = now + _WINDOW_SECONDS
            self.longest, self.longest_before = 0.0, self.longest
        self.longest = max(self.longest, now - self.at)
        self.events, self.at, self.doubted = events, now, None

    def doubt(self, mark: int | None, now: float) -> float:
        """Seconds since the first look at which `mark` said that all events since are doubtful; 0 if it doesn't."""
        if mark != self.events:
            return 0.0
        self.doubted = now if self.doubted is None else self.doubted
        return now - self.doubted

    def limit(self, venue_seconds: float) -> float:
        """The longest pause that is no silence: as learnt from the book itself, and never more than `venue_seconds`."""
        if self.events - self.taken_at_first < _LEARNT_EVENTS or self.at - self.began < _LEARNT_SECONDS:
            return venue_seconds
        return min(venue_seconds, max(_LEARNT_LEAST_SECONDS, _LEARNT_FACTOR * max(self.longest, self.longest_before)))


class Doubt(NamedTuple):
    """A book that must not stay as it is, and why."""

    chain: Marked
    reason: Reason
    text: str


def doubts(chains: Iterable[Marked], now: float, book_seconds: float) -> list[Doubt]:
    """Look at the books at `now`, time.monotonic: those that have nothing to show for being live.

    `book_seconds` is the venue's limit for one book, infinite where it promises no sign of life of each.
    """
    found = []
    for chain in chains:
        pulse = chain.pulse
        if pulse is None or pulse.phase != chain.phase:
            chain.pulse = Pulse(chain.phase, chain.events, now)
        else:
            if chain.events != pulse.events:
                pulse.beat(chain.events, now)
            doubt = _doubt(chain, pulse, now, book_seconds)
            if doubt is not None:
                found.append(doubt)
    return found


def _doubt(chain: Marked, pulse: Pulse, now: float, book_seconds: float) -> Doubt | None:
    if chain.phase == Phase.LIVE:
        quiet = now - pulse.at
        if pulse.doubt(chain.unread, now) > UNREADABLE_SECONDS:
            return Doubt(chain, Reason.UNREADABLE, "a message that may be its event can't be read, and none came since")
        if pulse.doubt(chain.repeated, now) > REPEATS_SECONDS:
            return Doubt(chain, Reason.RESYNC, f"nothing but events that it has had for {REPEATS_SECONDS:.0f} s")
        if quiet > pulse.limit(book_seconds):
            return Doubt(chain, Reason.SILENCE, f"no event for {quiet:.1f} s")
    elif chain.phase == Phase.UNCHAINED and pulse.doubt(chain.repeated, now) > AHEAD_SECONDS:
        return Doubt(chain, Reason.GAP, f"its snapshot is at id {chain.at}, ahead of the events")
    return None
