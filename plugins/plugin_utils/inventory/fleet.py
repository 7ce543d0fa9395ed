"""The inventory as Ansible merges it: each host with the variables that a play gives it, and where each was written."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path as File
from typing import Any

from ansible.cli import CLI
from ansible.constants import config as ansible_config
from ansible.errors import AnsibleError
from ansible.inventory.group import Group
from ansible.inventory.helpers import sort_groups
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.utils.display import Display
from ansible.vars.manager import VariableManager

from .files import FOLDERS, Written
from .places import Mistake, Path, Place, at, dotted, origin, within

# The plays are for these hosts (playbooks/*.yml).
NODES = "nodes"
# What only a play knows: a value that is made of these can't be judged before.
_OF_A_PLAY = re.compile(
    r"\b(topology_(host|derived|drawing|engine_settings)|ansible_facts|hostvars|ansible_play_\w+)\b"
)
_TEMPLATE = re.compile(r"\{\{|\{%")


class UnreadableError(Exception):
    """Ansible can't read the inventory: its own words."""


@dataclass
class Node:
    """A host of the inventory: its variables as they are written, and with their templates filled in."""

    name: str
    raw: Mapping[str, Any]
    place: Place
    # Where its variables may be written, the files that go before others last: name, line.
    files: tuple[Mapping[str, Place], ...] = ()
    values: dict[str, Any] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    # What the engine would refuse of its file, once somebody asked.
    engine: list[tuple[Path, str]] | None = None
    # Variables that only a play can fill in, or decrypt.
    untold: set[str] = field(default_factory=set)

    def where(self, path: Path) -> Place:
        """Return where the deepest part of a path that is there was written; the host's own line without any."""
        variable = str(path[0]) if path else ""
        if variable not in self.raw:
            return self.place
        found = within(self.raw, path)
        value = self.raw[variable]
        if origin(value) is None and len(path) == 1:
            # True, false and nothing know no place, and the key may be that of the file whose value was replaced.
            own = [lines[variable] for lines in self.files if variable in lines]
            found = own[-1] if own else found
        elif found is not None and (first := origin(value)) is not None and found.file != first.file:
            found = first
        return found or self.place

    def refuse(self, path: Path, sentence: str, what: str = "") -> None:
        """Note a mistake of the host's."""
        self.mistakes.append(Mistake(self.where(path), what or dotted(path), sentence, self.name))

    def get(self, variable: str, default: Any) -> Any:
        """Return a variable's value, or a default where it is left out, or isn't of the default's kind."""
        value = self.values.get(variable, default)
        return value if isinstance(value, type(default)) else default

    def at(self, path: Path) -> Any:
        """Return what is at a path; None where there is nothing."""
        return at(self.values, path)


class Fleet:
    """All hosts of an inventory."""

    def __init__(self, inventory: File, written: Written) -> None:
        self.written = written
        self.loader = DataLoader()
        self.loader.set_vault_secrets(_secrets())
        try:
            self.manager = InventoryManager(self.loader, sources=[str(inventory)])
            self._variables = VariableManager(self.loader, self.manager)
        except AnsibleError as error:
            raise UnreadableError(str(error)) from error

    @cached_property
    def nodes(self) -> list[Node]:
        """The hosts that wirebook's plays are for, in the inventory's order."""
        return [self._node(name) for name in self.names]

    @property
    def names(self) -> list[str]:
        """The names of those hosts."""
        return [host.name for host in self.manager.get_hosts(NODES)] if NODES in self.manager.groups else []

    @cached_property
    def named(self) -> set[str]:
        """All words of all templates: a variable of one's own is named there."""
        texts = {text for node in self.nodes for text in templates(dict(node.raw))}
        return {word for text in texts for word in re.findall(r"\w+", text)}

    @property
    def groups(self) -> dict[str, bool]:
        """The groups, and whether any host is in them; those of all hosts have some."""
        groups: Mapping[str, Group] = self.manager.groups
        return {name: name == "all" or bool(group.get_hosts()) for name, group in groups.items()}

    @property
    def hosts(self) -> set[str]:
        """All hosts, the nodes and others."""
        return set(self.manager.hosts)

    def _node(self, name: str) -> Node:
        host = self.manager.get_host(name)
        try:
            raw = self._variables.get_vars(host=host, include_hostvars=False)
        except AnsibleError as error:
            raise UnreadableError(str(error)) from error
        order = [*(group.name for group in sort_groups(host.get_groups())), name]
        place = self.written.hosts.get(name, Place(str(raw.get("inventory_file") or "")))
        return Node(name, raw, place, tuple(self._lines(order)))

    def _lines(self, order: list[str]) -> Iterator[dict[str, Place]]:
        """Yield the lines of the files of groups and host, in the order in which they replace each other."""
        for place, name in enumerate(order):
            folder = "host_vars" if place == len(order) - 1 else "group_vars"
            for file in self._files.get((folder, name), ()):
                yield {key: Place(file, line) for key, line in self.written.variables[file].items()}

    @cached_property
    def _files(self) -> dict[tuple[str, str], list[str]]:
        """The files of variables, by folder and the host or group that they are for: NAME, NAME.yml or NAME/….yml."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for file in self.written.variables:
            path = File(file)
            folder = next(part for part in reversed(path.parts) if part in FOLDERS)
            below = path.parts[len(path.parts) - path.parts[::-1].index(folder) :]
            found[folder, below[0].removesuffix(path.suffix if len(below) == 1 else "")].append(file)
        return found

    def fill_in(self, node: Node, variables: set[str]) -> None:
        """Fill in the templates of a host's variables, and refuse those that can't be."""
        templar = None
        for variable in sorted(variables & set(node.raw)):
            value = node.raw[variable]
            if is_sealed(value):
                node.untold.add(variable)
                continue
            if not has_template(value):
                node.values[variable] = value
                continue
            templar = templar or Templar(self.loader, dict(node.raw))
            try:
                node.values[variable] = templar.template(value)
            except Exception:  # whatever a filter or a lookup raises is for the user
                node.untold.add(variable)
                _blame(node, value, (variable,), templar)


def _blame(node: Node, value: Any, path: Path, templar: Templar) -> None:
    """Refuse each template in a value that can't be filled in, unless only a play can."""
    if isinstance(value, (Mapping, list)):
        for step, part in value.items() if isinstance(value, Mapping) else enumerate(value):
            _blame(node, part, (*path, step), templar)
    elif has_template(value) and not _OF_A_PLAY.search(str(value)):
        try:
            templar.template(value)
        except Exception as error:  # as above
            node.refuse(path, f"its template can't be filled in ({_first(error)}): mend it.")


def templates(value: Any) -> Iterator[str]:
    """Yield every text in a value that has a template in it."""
    if isinstance(value, str):
        if _TEMPLATE.search(value):
            yield value
    elif isinstance(value, (Mapping, list)):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from templates(part)


def is_sealed(value: Any) -> bool:
    """Whether a value, or a part of it, is encrypted; what it says is left to the play."""
    if isinstance(value, (Mapping, list)):
        return any(map(is_sealed, value.values() if isinstance(value, Mapping) else value))
    return isinstance(value, EncryptedString)


def has_template(value: Any) -> bool:
    """Whether there is a template somewhere in a value."""
    return any(True for _ in templates(value))


def _first(error: Exception) -> str:
    """Return the first line of an error's own words, without an end of its own."""
    words = str(getattr(error, "message", "") or error).strip().splitlines()
    return (words[0] if words else type(error).__name__).rstrip(". ")


@cache
def _secrets() -> Any:
    """Make Ansible's plugins known, and return the passwords of its vaults: both can be done once only."""
    init_plugin_loader()
    return CLI.setup_vault_secrets(
        DataLoader(), list(ansible_config.get_config_value("DEFAULT_VAULT_IDENTITY_LIST")), auto_prompt=False
    )


def quiet() -> None:
    """Keep Ansible's own warnings off the screen: what they are about is told with its place."""
    setattr(Display(), "display", lambda *_, **__: None)  # noqa: B010  # mypy takes no method for a variable
