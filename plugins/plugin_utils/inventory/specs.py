"""The argument specifications of all roles, and the inventory's variables held against them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path as File
from typing import Any

import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from .names import SURELY, instead, nearest
from .places import Path, dotted

ROOT = File(__file__).resolve().parents[3]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What roles hand each other by set_fact: an inventory that sets it would be overruled, or overrule them.
SET_BY_ROLES = frozenset({
    "topology_host", "topology_derived", "topology_drawing", "topology_engine_settings", "kernel_cmdline_boot",
})  # fmt: skip
_TYPES = {
    "bool": "true or false", "int": "a whole number", "float": "a number", "str": "text", "path": "a path",
    "list": "a list", "dict": "a table of names and values",
}  # fmt: skip


@dataclass(frozen=True)
class Option:
    """A variable: the role that it is for, and what it may be."""

    role: str
    spec: Mapping[str, Any]
    required: bool


@cache
def load(path: File) -> Any:
    """Read one of this checkout's YAML files."""
    return yaml.load(path.read_text(), Loader=_LOADER)  # noqa: S506  # it is the safe one, in C


@cache
def roles() -> tuple[str, ...]:
    """Return the names of all roles."""
    return tuple(sorted(path.parents[1].name for path in (ROOT / "roles").glob("*/meta/argument_specs.yml")))


@cache
def options() -> dict[str, Option]:
    """Return all variables that an inventory may set."""
    found: dict[str, Option] = {}
    for role in roles():
        for entry, specs in load(ROOT / f"roles/{role}/meta/argument_specs.yml")["argument_specs"].items():
            for name, spec in specs["options"].items():
                if name not in SET_BY_ROLES:
                    found.setdefault(name, Option(role, spec, entry == "main" and bool(spec.get("required"))))
    return found


@cache
def is_ours() -> re.Pattern[str]:
    """Return what matches the names that are wirebook's: those that begin with a role's."""
    return re.compile(f"({'|'.join(roles())})_")


@cache
def why_unknown(name: str) -> str:
    """Return what to do about a variable that no role reads, or "" for one that is none of wirebook's business."""
    known = options()
    if name in known:
        return ""
    if name in SET_BY_ROLES:
        return "it is what a role makes of the inventory: take it out."
    ours = is_ours().match(name)
    near = nearest(name, known, 0.7 if ours else SURELY)
    if not ours and near in name:
        return ""  # site_topology_services is somebody's own
    if not near and ours:
        # The nearest of the same role, whatever it is called.
        near = nearest(name, [one for one in known if one.startswith(ours.group(0))], 0.5)
    if ours:
        return f"no role reads it: {f'write {near}' if near else 'take it out'}, or call a variable of yours otherwise."
    return f"no role reads it: write {near}, or call a variable of yours otherwise." if near else ""


def faults(value: Any, spec: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    """Yield what a value isn't that its specification asks for: where, and a sentence."""
    kind = spec.get("type", "str")
    if value is None:
        nothing = {"list": "[]", "dict": "{}", "str": '""'}.get(kind)
        yield path, f"it has no value: write one{f', {nothing} for none' if nothing else ''}, or take the line out."
    elif not _is_a(value, kind):
        yield path, _not_a(value, kind)
    elif kind == "dict" and spec.get("options"):
        yield from _table_faults(value, spec["options"], path)
    elif kind == "list":
        for place, entry in enumerate(value):
            element = {
                "type": spec.get("elements", "str"),
                "options": spec.get("options"),
                "choices": spec.get("choices"),
            }
            yield from faults(entry, element, (*path, place))
    elif (choices := [str(choice) for choice in spec.get("choices") or []]) and str(value) not in choices:
        yield (
            path,
            f"{_show(value)} isn't one of {', '.join(choices)}: {instead(str(value), choices)}.",
        )


def _table_faults(value: Mapping[str, Any], specs: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str]]:
    missing = [name for name, spec in specs.items() if spec.get("required") and name not in value]
    for key in value:
        if key not in specs:
            yield (
                (*path, key),
                f"there is no key {key} here: {instead(str(key), missing if nearest(str(key), missing) else specs)}.",
            )
        else:
            yield from faults(value[key], specs[key], (*path, key))
    unknown = [str(key) for key in value if key not in specs]
    for name in missing:
        # One that is mistyped was told already.
        if not any(nearest(key, missing) == name for key in unknown):
            yield path, f"it has no {name}, which {dotted(path[:1])} needs: add {name}."


def _is_a(value: Any, kind: str) -> bool:
    """Whether a value is of a type; templates, which get it as it is, need more than what Ansible could convert."""
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "dict":
        return isinstance(value, Mapping)
    if kind == "list":
        return isinstance(value, list)
    if isinstance(value, (bool, Mapping, list)):
        return False
    if isinstance(value, {"int": int, "float": float}.get(kind, str)):
        return True
    try:
        return not ArgumentSpecValidator({"value": {"type": kind}}).validate({"value": value}).error_messages
    except (TypeError, ValueError, ArithmeticError):
        return False  # a date, infinity and the like


def _not_a(value: Any, kind: str) -> str:
    if kind in ("str", "path") and isinstance(value, bool):
        return f"YAML reads it as {str(value).lower()}, and it must be text: write it in quotes."
    if kind == "str" and isinstance(value, list) and not any(isinstance(one, (list, dict)) for one in value):
        return f'it is a list, and must be text: write "{",".join(map(str, value))}".'
    if kind == "bool" and isinstance(value, str) and value.lower() in ("true", "false", "yes", "no", "on", "off"):
        truth = value.lower() in ("true", "yes", "on")
        return (
            f"{_show(value)} is text, which counts as true whatever it says: write {str(truth).lower()} without quotes."
        )
    if kind == "list" and not isinstance(value, Mapping):
        return f"{_show(value)} must be a list: write [{value}]."
    return f"{_show(value)} isn't {_TYPES[kind]}: write {_TYPES[kind]}."


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (Mapping, list)):
        return "a table" if isinstance(value, Mapping) else "a list"
    return f'"{value}"' if isinstance(value, str) else str(value)


def converted(name: str, value: Any) -> Any:
    """Return a variable as a module gets it, with the defaults of what is left out; its own default if it can't be."""
    spec = {**options()[name].spec, "required": False}
    sound = value is not None and not any(True for _ in faults(value, spec, (name,)))
    return ArgumentSpecValidator({name: spec}).validate({name: value} if sound else {}).validated_parameters[name]
