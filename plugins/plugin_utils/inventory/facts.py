"""Saved facts: what a host was, in a file beside the inventory, so that it can be planned without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path as File
from typing import Any

import yaml
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Nic

from .files import SUFFIXES
from .machine import complete
from .names import instead, nearest
from .places import Mistake, Place, shown

FOLDER = "facts"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


# Facts that a plan doesn't use (`host.read_host`).
_UNUSED = ("python", "manager_cpus", "transparent_hugepages", "hugetlbfs")


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
    for path in _files(inventory):
        try:
            facts = yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506  # it is the safe one, in C
            problem = _unknown(facts)
            whole = {} if problem else complete(facts)
            if not problem:
                Host.from_facts(whole)
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = Place(shown(str(path)), mark.line + 1 if mark else 0)
            saved.mistakes.append(
                Mistake(place, path.name, f"this isn't YAML ({getattr(error, 'problem', error)}): mend it.")
            )
            continue
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problem = f"these aren't a host's facts ({f'{error} is missing' if isinstance(error, KeyError) else error})"
        if problem:
            way = "save them again with make facts, or see inventory/example/facts." if "aren't" in problem else ""
            saved.mistakes.append(Mistake(Place(shown(str(path))), path.name, f"{problem}: {way}" if way else problem))
        else:
            saved.facts[path.stem], saved.files[path.stem] = whole, path
    return saved


def _files(inventory: File) -> list[File]:
    folder = folder_of(inventory)
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in files if path.suffix in SUFFIXES and not path.name.startswith(".")]


def _unknown(facts: Any) -> str:
    """Return what to do about a fact that there isn't, or "": what stands in its place would be taken for granted."""
    if not isinstance(facts, dict):
        return "these aren't a host's facts"
    whole = complete({"nodes": [{"cpus": "0"}], "nics": [{}]})
    nics = [one.name for one in fields(Nic)]
    tables = [("", facts, [*whole, *_UNUSED])]
    tables += [("nodes", node, list(whole["nodes"][0])) for node in facts.get("nodes", [])]
    tables += [("nics", nic, nics) for nic in facts.get("nics", [])]
    for where, table, known in tables:
        for name in table:
            if name not in known:
                return f"there is no fact {name}{f' of {where}' if where else ''}: {instead(str(name), known)}."
    return "" if facts.get("nodes") else "it has no nodes: write the CPUs and the memory of each NUMA node."


def unused(inventory: File, hosts: set[str]) -> Iterator[Mistake]:
    """Yield the files whose host isn't in the inventory."""
    for path in _files(inventory):
        if path.stem not in hosts:
            near = nearest(path.stem, hosts)
            yield Mistake(
                Place(shown(str(path))),
                path.name,
                f"there is no host {path.stem}: "
                + (f"call it {near}{path.suffix}, or " if near else "")
                + "take the file away.",
            )
