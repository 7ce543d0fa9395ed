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
        """Names that the venue doesn't know or tells under another one, in order."""
        self.aliases: dict[str, str] = {}
        """Under which name the venue tells of one."""
        self._venue = venue
        self._rest = rest
        self._left = [list(share) for share in chunks(names, venue.names_per_request)]
        """Of whom nothing is known yet, in the portions that are asked for."""

    def objection(self, name: str) -> str:
        """What is wrong with an unknown name, and what to do about it."""
        alias = self.aliases.get(name)
        if alias is not None:
            return f"{self._venue.name} tells the book of {name} as {alias}: name that in the [[feed]]'s symbols"
        return f"{self._venue.name} has no instrument {name}: take it out of the [[feed]]'s symbols"

    async def read(self) -> None:
        """Ask for all that isn't known yet. Raises RestError and MalformedError; to be called again then."""
        while self._left:
            names = self._left[0]
            found: dict[str, Scale] = {}
            try:
                for path in self._venue.instruments_paths(names):
                    body = await self._rest.get(path)
                    found.update(self._venue.instruments(body))
                    self.aliases.update(self._venue.aliases(body))
            except RestError as error:
                if error.status != _REFUSED:
                    raise
                if len(names) > 1:  # it doesn't say because of which: halve the list until one is left
                    half = len(names) // 2
                    self._left[:1] = [names[:half], names[half:]]
                    continue
            there = [name for name in names if name in found and name not in self.aliases]
            self.scales.update({name: found[name] for name in there})
            self.unknown += [name for name in names if name not in there]
            del self._left[0]
