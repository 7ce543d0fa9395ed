"""The services that run by a role's files: what is asked of each, what is to be proven of it, and how it becomes so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..ledger.kinds import RUNNING, run

# Of each service: whether it runs, and whether the next boot starts it. The text is what goes wrong where it isn't so.
OPTIONS = {
    "name": {"type": "str", "required": True},
    "active": {"type": "str"},
    "inactive": {"type": "str"},
    "enabled": {"type": "str"},
    "scope": {"type": "str", "choices": ["kernel", "node"]},
    "source": {"type": "str", "default": "systemd.unit(5)"},
    "present": {"type": "bool", "default": True},
}
WANTS = {
    "active": ("ActiveState", "active"),
    "inactive": ("ActiveState", "inactive"),
    "enabled": ("UnitFileState", "enabled"),
}


def knobs(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what node-doctor is to prove of a service."""
    scope = {"scope": entry["scope"]} if entry.get("scope") else {}
    return [
        {
            "name": f"unit {entry['name']} {unit_property}",
            "probe": "unit",
            "unit": entry["name"],
            "property": unit_property,
            "want": want,
            "source": entry["source"],
            "breaks": entry[asked],
            **scope,
        }
        for asked, (unit_property, want) in WANTS.items()
        if entry.get(asked)
    ]


@dataclass(frozen=True)
class State:
    """A unit as systemd knows it."""

    active: str
    enabled: str
    needs_reload: bool


def states(names: list[str]) -> dict[str, State]:
    """Return the state of each unit, by its name; one that isn't installed is inactive. LedgerError: it fails."""
    if not names:
        return {}
    shown = run("systemctl", "show", "--property=ActiveState,UnitFileState,NeedDaemonReload", "--", *names)
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in shown.strip().split("\n\n")]
    return {
        name: State(block["ActiveState"], block["UnitFileState"], block["NeedDaemonReload"] == "yes")
        for name, block in zip(names, blocks, strict=True)
    }


def steps(entries: list[dict[str, Any]], found: dict[str, State], *, restart: bool) -> list[tuple[str, str]]:
    """Return the verbs of systemctl that make the services as they are asked for, each with its unit, in order.

    What is to be off is stopped before anything is started: two owners of one thing would pull it to and fro.
    """
    off = [("stop", entry["name"]) for entry in entries if entry["inactive"] and found[entry["name"]].active in RUNNING]
    on = []
    for entry in entries:
        state = found[entry["name"]]
        if entry["enabled"] and state.enabled != "enabled":
            on.append(("enable", entry["name"]))
        if entry["active"] and restart:
            on.append(("restart", entry["name"]))
        elif entry["active"] and state.active != "active":
            on.append(("start", entry["name"]))
    return off + on
