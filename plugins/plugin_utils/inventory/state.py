"""What a host gets: every variable with the place that set it, the roles' own defaults among them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from ansible.parsing.dataloader import DataLoader

from . import engine
from .fleet import Node, is_sealed
from .places import Path, Place, dotted, origin, shown
from .specs import ROOT, options, roles

# What Ansible adds by itself, of no interest to anybody who asks what the inventory says.
CONNECTION = "ansible_"
# A password is nobody's to read over a shoulder, in a vault or not.
_SECRET = re.compile("pass|secret|token")


@dataclass(frozen=True)
class Setting:
    """A value, what sets it, and where."""

    path: Path
    value: Any
    place: Place

    @property
    def name(self) -> str:
        """The variable, or the part of one."""
        return dotted(self.path)

    @property
    def text(self) -> str:
        """The value as YAML has it, on one line."""
        return flow(self.value)


def flow(value: Any) -> str:
    """Return a value as YAML writes it on one line."""
    text = yaml.safe_dump(_plain(value), default_flow_style=True, width=1 << 30, sort_keys=False, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> Any:
    """Return a value without Ansible's own types, which YAML can't write."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if is_sealed(value):
        return "(in the vault)"
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value if value is None else str(value)


def settings(node: Node) -> list[Setting]:
    """Return what the inventory says of a host: each variable, in parts where its parts stand on lines of their own."""
    wanted = [
        name for name in node.raw if name in options() or (name.startswith(CONNECTION) and origin(name) is not None)
    ]
    return [setting for name in sorted(wanted) for setting in _parts(node, (name,), _seen(node, name))]


def _seen(node: Node, name: str) -> Any:
    return "(not shown)" if _SECRET.search(name) else node.values.get(name, node.raw[name])


def _parts(node: Node, path: Path, value: Any) -> Iterator[Setting]:
    steps = list(value) if isinstance(value, Mapping) else list(range(len(value))) if isinstance(value, list) else []
    lines = {node.where((*path, *rest)) for step in steps for rest in _below(value[step], (step,))}
    if len(lines) <= 1:
        yield Setting(path, value, next(iter(lines), node.where(path)))
    else:
        for step in steps:
            yield from _parts(node, (*path, step), value[step])


def _below(value: Any, path: Path) -> Iterator[Path]:
    yield path
    steps = list(value) if isinstance(value, Mapping) else list(range(len(value))) if isinstance(value, list) else []
    for step in steps:
        yield from _below(value[step], (*path, step))


def defaults(node: Node) -> list[Setting]:
    """Return what the roles take for what the inventory leaves out."""
    return [
        Setting((name,), value, place)
        for name, (value, place) in sorted(_defaults().items())
        if name not in node.raw and not name.startswith("twin_")
    ]


@cache
def _defaults() -> dict[str, tuple[Any, Place]]:
    loader = DataLoader()
    found = {}
    for role in roles():
        file = ROOT / f"roles/{role}/defaults/main.yml"
        for name, value in (loader.load_from_file(str(file)) or {}).items() if file.exists() else ():
            found[str(name)] = (value, origin(name) or Place(shown(str(file))))
    return found


def engine_file(node: Node) -> list[Setting]:
    """Return the keys of engine.toml that the inventory sets, by way of the variables that are merged into it."""
    found = []
    for table, keys in engine.settings(node).items():
        for key, value in keys.items() if isinstance(keys, dict) else ():
            found.append(Setting((table, key), value, node.where(engine.variable_of(node, (table, key)))))
    return found


def lines(node: Node) -> Iterator[str]:
    """Yield what a host gets, for the screen: name, value and place in columns."""
    parts = (
        (f"{node.name}, by its inventory:", settings(node)),
        ("engine.toml, merged of feed_engine_settings and feed_engine_host_settings:", engine_file(node)),
        ("What it leaves out, by the roles' defaults:", defaults(node)),
    )
    first = True
    for title, found in parts:
        if found:
            yield from () if first else ("",)
            yield title
            yield from _columns(found)
            first = False


def _columns(found: list[Setting]) -> Iterator[str]:
    width = min(48, max(len(setting.name) for setting in found))
    wide = min(48, max(len(setting.text) for setting in found))
    for setting in found:
        yield f"  {setting.name:{width}}  {setting.text:{wide}}  {setting.place}".rstrip()
