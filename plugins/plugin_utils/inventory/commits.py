"""An inventory as a commit has it, in a folder of its own; and what else of the checkout changed between two."""

from __future__ import annotations

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

from .specs import ROOT

# What the name of a folder of the checkout means to a host, when it changed.
_CODE = {
    "app": "the engine's code changed: every host gets another release, and its feeds and books restart",
    "roles": "roles changed ({}): a deploy does more than what is told here",
    "plugins": "modules changed: a deploy may do more than what is told here",
    "playbooks": "playbooks changed: a deploy may do more than what is told here",
}


class CommitError(Exception):
    """Git doesn't have what is asked for: a sentence for the user."""


def unpack(commit: str, inventory: Path, folder: Path) -> Path:
    """Write an inventory as it was in a commit into a folder, and return where it is."""
    top = _top(inventory)
    name = inventory.resolve().relative_to(top)
    try:
        archive = _git(top, "archive", commit, "--", str(name))
    except CommitError as error:
        raise CommitError(f"{commit} has no {name} ({error}): name a commit that has, with FROM= and TO=.") from error
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        tar.extractall(folder, filter="data")
    return folder / name


def code(inventory: Path, old: str, new: str) -> list[str]:
    """Return sentences on what changed beside inventories between two commits; "" is what lies in the checkout."""
    if _top(inventory) != _top(ROOT):
        return []  # kept in a repository of its own, whose commits say nothing of this one
    names = _git(ROOT, "diff", "--name-only", old, *([new] if new else [])).decode().splitlines()
    found = []
    for folder, sentence in _CODE.items():
        inside = {Path(name).parts[1] for name in names if Path(name).parts[0] == folder and len(Path(name).parts) > 1}
        if folder == "app":
            inside &= {"src", "meson.build", "meson.options", "pyproject.toml"}
        if inside:
            found.append(f"{sentence.format(', '.join(sorted(inside)))}.")
    return found


def _top(folder: Path) -> Path:
    return Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip()).resolve()


def _git(folder: Path, *arguments: str) -> bytes:
    where = folder if folder.is_dir() else folder.parent
    done = subprocess.run(["git", "-C", str(where), *arguments], capture_output=True, check=False)  # noqa: S607
    if done.returncode:
        raise CommitError(done.stderr.decode(errors="replace").strip().splitlines()[0])
    return done.stdout
