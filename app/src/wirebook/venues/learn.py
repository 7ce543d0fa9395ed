"""What a capture tells about its instruments. It doesn't hold the venue's definitions, so the traffic itself must."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import NamedTuple

from wirebook import traffic
from wirebook.errors import UserError
from wirebook.venues.base import Depth, Scale, Snapshot, Venue, decimals_of, parts

_log = logging.getLogger(__name__)


class Learned(NamedTuple):
    """The instruments of a capture, in order of appearance."""

    scales: dict[str, Scale]
    """The fewest decimals that hold every level of the capture exactly."""
    snapshots: dict[str, Snapshot]
    """The first snapshot of each instrument that has one."""


def learn(venue: Venue, path: Path) -> Learned:
    """Read all of the capture once. Raises UserError if it is damaged, of another venue, or ambiguous.

    A message that can't be decoded is skipped, as the live feed does.
    """
    first_error: ValueError | None = None
    unreadable = first_line = 0
    decimals: dict[str | None, list[int]] = {}
    snapshots: dict[str | None, Snapshot] = {}
    for number, (_, raw) in enumerate(traffic.entries(path), start=1):
        if traffic.mark_of(raw) is not None:
            continue
        try:
            for part in parts(venue.decode(raw)):
                if not isinstance(part, (Depth, Snapshot)):
                    continue
                needed = [(decimals_of(price), decimals_of(quantity)) for price, quantity in (*part.bids, *part.asks)]
                if isinstance(part, Snapshot):
                    snapshots.setdefault(part.instrument, part)
                held = decimals.get(part.instrument, [0, 0])
                decimals[part.instrument] = [max(each) for each in zip(held, *needed, strict=True)]
        except ValueError as error:
            first_error, first_line = first_error or error, first_line or number
            unreadable += 1
    names = [name for name in decimals if name is not None]
    if not names and first_error is not None:
        raise UserError(f"{path}, line {first_line}: {first_error}; is this a capture of {venue.name}?")
    if first_error is not None:
        _log.warning("%s: unreadable messages passed over: %d, the first in line %d", path, unreadable, first_line)
    if not names:
        raise UserError(f"{path} has no depth events of {venue.name}; name the venue it was recorded from with --venue")
    if None in decimals:
        if len(names) > 1:
            raise UserError(f"{path} has {len(names)} instruments and a snapshot that doesn't say of which; split it")
        nameless = decimals.pop(None)
        decimals[names[0]] = [max(pair) for pair in zip(decimals[names[0]], nameless, strict=True)]
        snapshots.setdefault(names[0], snapshots.pop(None))
    return Learned(
        {name: Scale(*decimals[name]) for name in names},
        {name: snapshots[name] for name in names if name in snapshots},
    )
