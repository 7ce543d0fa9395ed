"""A role's files, and its part of the desired state: the fragment that node-doctor reads."""

from __future__ import annotations

import grp
import json
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..ledger.files import replace_file
from ..ledger.store import Ledger

FORMAT = 1
DESIRED = "/etc/wirebook/desired.d"


@dataclass(frozen=True)
class File:
    """A file as it should be."""

    path: Path
    content: str
    mode: int
    uid: int
    gid: int

    def current(self) -> str | None:
        """Return the text that is there now; None where there is no such file."""
        try:
            return self.path.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return None

    def is_content(self, current: str | None) -> bool:
        """Whether a text is what should be in the file."""
        return current == self.content

    def is_right(self) -> bool:
        """Whether content, mode and owners are as they should be."""
        if not self.is_content(self.current()):
            return False
        status = self.path.stat()
        return (status.st_mode & 0o7777, status.st_uid, status.st_gid) == (self.mode, self.uid, self.gid)

    def write(self) -> None:
        """Replace the file atomically: a killed deploy leaves the old one or the new one, never a part."""
        replace_file(self.path, self.content.encode(), self.mode, self.uid, self.gid)


def wanted(entry: dict[str, Any]) -> File:
    """Return the file that an entry of `files` describes. KeyError: no such user or group."""
    return File(
        Path(entry["path"]),
        entry["content"],
        int(entry["mode"], 8),
        pwd.getpwnam(entry["owner"]).pw_uid,
        grp.getgrnam(entry["group"]).gr_gid,
    )


class Fragment(File):
    """A role's part of the desired state, which is compared as data: neither order nor white space makes it another."""

    def is_content(self, current: str | None) -> bool:
        """Whether a text says what this fragment says."""
        return current is not None and _meaning(current) == _meaning(self.content)


def _meaning(text: str) -> Any:
    """Return what a fragment says, its files and knobs in one order; the text itself where it is damaged."""
    try:
        state = json.loads(text)
        return {**state, "files": sorted(state["files"]), "knobs": sorted(state["knobs"], key=_in_one_order)}
    except (ValueError, KeyError, TypeError):
        return text


def _in_one_order(knob: dict[str, Any]) -> str:
    return json.dumps(knob, sort_keys=True)


def fragment(role: str, files: list[File], knobs: list[dict[str, Any]], desired: str) -> Fragment:
    """Return the role's part of the desired state."""
    state = {"format": FORMAT, "role": role, "files": [str(file.path) for file in files], "knobs": knobs}
    return Fragment(Path(desired, f"{role}.json"), json.dumps(state, indent=1) + "\n", 0o644, 0, 0)


def listed_in(text: str) -> list[Path]:
    """Return the files that a fragment lists."""
    try:
        return [Path(path) for path in json.loads(text)["files"]]
    except (ValueError, KeyError, TypeError):
        # A damaged fragment is mended by writing it anew; what it listed is lost either way.
        return []


def left_over(previous: str | None, files: list[File], others: set[Path]) -> list[Path]:
    """Return the files that the role's last fragment lists, and that neither this one nor another role's does."""
    if previous is None:
        return []
    kept = {file.path for file in files} | others
    return [path for path in listed_in(previous) if path not in kept and path.exists()]


def of_other_roles(role: str, *folders: str) -> set[Path]:
    """Return the files that other roles list. A file that changes its role is written by the new one first."""
    fragments = {path for folder in folders for path in Path(folder).glob("*.json") if path.stem != role}
    return {path for fragment in fragments for path in listed_in(fragment.read_text())}


def remove(path: Path, ledger: Ledger) -> None:
    """Remove a file, and the folders that wirebook made for it where nothing else is in them."""
    path.unlink()
    for folder in path.parents:
        if not ledger.made_folder(str(folder)) or any(folder.iterdir()):
            return
        folder.rmdir()
