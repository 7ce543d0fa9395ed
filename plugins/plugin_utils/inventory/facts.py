"""Saved facts: what a host was, in a file beside the inventory, so that it can be planned without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

import yaml
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host

from .files import SUFFIXES
from .machine import complete
from .names import nearest
from .places import Mistake, Place, shown

FOLDER = "facts"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass
class Saved:
    """The facts of the hosts that have any, and what is wrong with the files."""

    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def of(self, host: str) -> dict[str, Any] | None:
        """Return a host's facts; None where none are saved."""
        return self.facts.get(host)


def folder_of(inventory: File) -> File:
    """Return where the facts of an inventory's hosts are."""
    return (inventory if inventory.is_dir() else inventory.parent) / FOLDER


def load_all(inventory: File) -> Saved:
    """Read all facts that are saved beside an inventory."""
    saved = Saved()
    folder = folder_of(inventory)
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix not in SUFFIXES or path.name.startswith("."):
            continue
        place = Place(shown(str(path)))
        try:
            facts = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506  # it is the safe one, in C
            whole = complete(facts)
            Host.from_facts(whole)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            saved.mistakes.append(
                Mistake(
                    Place(place.file, mark.line + 1 if mark else 0),
                    path.name,
                    f"this isn't YAML ({getattr(error, 'problem', error)}): mend it.",
                )
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            said = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            saved.mistakes.append(
                Mistake(
                    place,
                    path.name,
                    f"these aren't a host's facts ({said}): save them again with make facts, or write nodes and nics.",
                )
            )
        else:
            saved.facts[path.stem], saved.files[path.stem] = whole, path
    return saved


def unused(inventory: File, hosts: set[str]) -> Iterator[Mistake]:
    """Yield the files whose host isn't in the inventory."""
    folder = folder_of(inventory)
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.suffix in SUFFIXES and path.stem not in hosts and not path.name.startswith("."):
            near = nearest(path.stem, hosts)
            yield Mistake(
                Place(shown(str(path))),
                path.name,
                f"there is no host {path.stem}: "
                + (f"call it {near}{path.suffix}, or " if near else "")
                + "take the file away.",
            )
