"""What the ledger holds: an entry for each thing that a role changed, with what was there before the first change."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .files import replace_file
from .kinds import LOOKS

FORMAT = 1
FOLDER = Path("/var/lib/wirebook/ledger")
FORMER_NAME = "journal"


@dataclass(frozen=True)
class Entry:
    """A thing as it was: `before` is None if it wasn't there."""

    kind: str
    key: str
    role: str
    noted: float
    before: Any


class Ledger:
    """The entries of one host, a file each; the first note of a thing is kept, later ones change nothing."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self.folder = folder

    @classmethod
    def open(cls, folder: Path = FOLDER, *, read_only: bool = False) -> Ledger:
        """Return a host's ledger.

        An earlier release kept it in a folder `journal` beside: that is taken over, or only read where nothing is to be
        written.
        """
        former = folder.with_name(FORMER_NAME)
        if has_former(folder) and not read_only:
            _take_over(former, folder)
        return cls(former if has_former(folder) and not folder.is_dir() else folder)

    def path(self, kind: str, key: str) -> Path:
        """Return where an entry is kept."""
        return self.folder / f"{kind}:{quote(key, safe='')}.json"

    def has(self, kind: str, key: str) -> bool:
        """Whether a thing was noted, by itself or with the tree that it is in."""
        if self.path(kind, key).exists():
            return True
        return kind in ("file", "folder") and any(
            self._is_own_tree(str(folder)) for folder in (Path(key), *Path(key).parents)
        )

    def _is_own_tree(self, folder: str) -> bool:
        """Whether a folder with all below it goes as a whole: it was noted as a tree, and wasn't there."""
        path = self.path("tree", folder)
        return path.exists() and json.loads(path.read_text())["before"] is None

    def made_folder(self, key: str) -> bool:
        """Whether a folder wasn't there before wirebook made it."""
        path = self.path("folder", key)
        return path.exists() and json.loads(path.read_text())["before"] is None

    def note(self, role: str, kind: str, key: str) -> None:
        """Write down what is there now, unless that was done before. To be called before the change."""
        if self.has(kind, key):
            return
        if kind in ("file", "tree", "data"):
            self._note_folders(role, Path(key).parent)
        before = LOOKS[kind](key)
        entry = {
            "format": FORMAT, "kind": kind, "key": key, "role": role, "noted": time.time(), "before": before,
        }  # fmt: skip
        # Only for root: a file's former content may be anything.
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        replace_file(self.path(kind, key), (json.dumps(entry, indent=1) + "\n").encode(), 0o600)

    def forget(self, kind: str, key: str) -> None:
        """Drop the entry of a thing that is as it was before."""
        self.path(kind, key).unlink(missing_ok=True)

    def _note_folders(self, role: str, folder: Path) -> None:
        """Note the folders that will be made for a file, the outermost first."""
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        for one in reversed(missing):
            self.note(role, "folder", str(one))

    def entries(self) -> list[Entry]:
        """Return all entries; what is in a folder comes before the folder."""
        entries = []
        for path in self.folder.glob("*.json"):
            fields = json.loads(path.read_text())
            entries.append(Entry(*(fields[name] for name in ("kind", "key", "role", "noted", "before"))))
        return sorted(entries, key=lambda entry: entry.key, reverse=True)

    def remove(self) -> None:
        """Delete the ledger, and the folder above it if that is empty then."""
        shutil.rmtree(self.folder, ignore_errors=True)
        parent = self.folder.parent
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()


def has_former(folder: Path = FOLDER) -> bool:
    """Whether the notes of an earlier release still have to be taken over."""
    return folder.with_name(FORMER_NAME).is_dir()


def _take_over(former: Path, folder: Path) -> None:
    """Move the entries of a ledger that has another name. Of two notes of a thing the first one tells what was there.

    An entry at a time: one that is killed goes on at the next call.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path in former.glob("*.json"):
        kept = folder / path.name
        if kept.exists() and json.loads(kept.read_text())["noted"] <= json.loads(path.read_text())["noted"]:
            path.unlink()
        else:
            path.replace(kept)
    shutil.rmtree(former)
