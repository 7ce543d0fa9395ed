"""Which roles' services still run by older files than those on the disk.

A role is due from before its first file is changed until its services were restarted, so that a deploy which was killed
in between is made up for by the next one. /run forgets it when the host boots, which starts everything by what is on
the disk. Times aren't compared: the clock of a host that is being provisioned jumps.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path("/run/wirebook-due")


class Due:
    """Whether a role's services are due for a restart."""

    def __init__(self, role: str, folder: Path = FOLDER) -> None:
        self._path = folder / role

    def is_set(self) -> bool:
        """Whether files were written since the services were started."""
        return self._path.exists()

    def set(self) -> None:
        """Say that files are about to be written."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()

    def clear(self) -> None:
        """Say that the services run by what is written."""
        self._path.unlink(missing_ok=True)
