"""What the venue says of its instruments: read at the start, until each is either defined or known not to be there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from wirebook.feed.rest import Rest, RestError
from wirebook.venues.base import Scale, Venue
from wirebook.venues.fields import chunks

_REFUSED: Final = 400
"""The status of a request that names an instrument which isn't there, among others."""


class Definitions:
    """The scales of those instruments that the venue has. What was found out is kept when a request fails."""

    def __init__(self, venue: Venue, rest: Rest, names: Sequence[str]) -> None:
        self.scales: dict[str, Scale] = {}
        self.unknown: list[str] = []
        """Names that the venue doesn't know, in order."""
        self._venue = venue
        self._rest = rest
        self._left = [list(share) for share in chunks(names, venue.names_per_request)]
        """Of whom nothing is known yet, in the portions that are asked for."""

    async def read(self) -> None:
        """Ask for all that isn't known yet. Raises RestError and MalformedError; to be called again then."""
        while self._left:
            names = self._left[0]
            found: dict[str, Scale] = {}
            try:
                for path in self._venue.instruments_paths(names):
                    found.update(self._venue.instruments(await self._rest.get(path)))
            except RestError as error:
                if error.status != _REFUSED:
                    raise
                if len(names) > 1:  # it doesn't say because of which: halve the list until one is left
                    half = len(names) // 2
                    self._left[:1] = [names[:half], names[half:]]
                    continue
            self.scales.update({name: found[name] for name in names if name in found})
            self.unknown += [name for name in names if name not in found]
            del self._left[0]
