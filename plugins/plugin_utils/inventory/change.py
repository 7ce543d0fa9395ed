"""What a change of the inventory does to hosts: which change, what reboots, what restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ansible_collections.wirebook.node.plugins.module_utils.topology.derive import derive
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import RISKS, Host

from . import engine
from .fleet import Node
from .host_rules import wish_of
from .machine import that_suits
from .specs import options
from .state import flow

REBOOT, RESTART, CLOCK, NICS, PLACE, NOTHING = (
    "reboots", "feeds and books restart", "clock's services restart", "NICs are set anew", "is set in place",
    "counts from the next deploy on",
)  # fmt: skip
# In the order of what they cost.
EFFECTS = (REBOOT, RESTART, CLOCK, NICS, PLACE, NOTHING)
_LATER = frozenset({
    "feed_engine_health_seconds", "feed_engine_keep_releases", "feed_engine_keep_compiler", "jitter_seconds",
    "jitter_cpus", "jitter_stop", "jitter_reports", "kernel_cmdline_trial_seconds", "kernel_cmdline_without_trial",
    "kernel_cmdline_boot_roles", "topology_accept_risk", "topology_management_nic",
})  # fmt: skip
# The longest that fits counts.
_BY_PREFIX = {
    "feed_engine_": RESTART, "topology_services": RESTART, "topology_clock": CLOCK, "clock_": CLOCK, "nic_": NICS,
    "topology_data_nics": NICS, "limits_": RESTART, "account_group": RESTART, "kernel_cmdline_extra": REBOOT,
}  # fmt: skip


@dataclass
class Change:
    """What becomes of a host: sentences by their effect."""

    host: str
    effects: dict[str, list[str]] = field(default_factory=dict)

    def note(self, effect: str, sentence: str) -> None:
        """Note what changes."""
        self.effects.setdefault(effect, []).append(sentence)


def between(
    before: Node, after: Node, facts: Mapping[str, Any] | None, others: tuple[list[Node], list[Node]] = ([], [])
) -> Change:
    """Return what a deploy of `after` changes on a host that was deployed with `before`; `others` are the fleet's."""
    change = Change(after.name)
    old, new = _by_name(_command_line(before, facts)), _by_name(_command_line(after, facts))
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            change.note(REBOOT, f"kernel command line: {old.get(name, '(without)')} → {new.get(name, '(without)')}")
    for name, was, will in _differences(_state(before, others[0]), _state(after, others[1])):
        if not name.startswith("kernel_cmdline_extra"):
            change.note(_effect(name), f"{name}: {_shown(was)} → {_shown(will)}")
    return change


def _command_line(node: Node, facts: Mapping[str, Any] | None) -> list[str]:
    wish = wish_of(node)
    if wish is None:
        return []
    host = that_suits(wish) if facts is None else Host.from_facts(dict(facts))
    # What was wrong before, nobody deployed.
    wish = replace(wish, accept_risk=tuple(risk for risk in wish.accept_risk if risk in RISKS))
    return [*derive(wish, host)["kernel_cmdline"], *map(str, node.get("kernel_cmdline_extra", []))]


def _by_name(parameters: list[str]) -> dict[str, str]:
    """Return the kernel's parameters by their names; one that is there twice counts as a whole."""
    found: dict[str, str] = {}
    for parameter in parameters:
        name = parameter.partition("=")[0]
        found[name] = f"{found[name]} {parameter}" if name in found else parameter
    return found


def _state(node: Node, others: list[Node]) -> dict[str, Any]:
    """Return what counts of a host, by names: the engine's settings as merged, and the feeds that it hears too."""
    state = {name: value for name, value in node.values.items() if name in options()}
    state.pop("feed_engine_host_settings", None)
    state["feed_engine_settings"] = engine.settings(node)
    # Its file names their streams, not the hosts.
    state["feed_engine_feeds of other hosts"] = {
        f"stream {feed.get('stream')}": {key: feed.get(key) for key in ("venue", "symbols")}
        for other in others
        if engine.hears(node, other)
        for feed in engine.feeds(other)
        if not feed.get("remote", False)
    }
    return state


_ABSENT = object()


def _differences(before: Any, after: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield where two values differ, as deep as both are tables, or lists of one length."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in dict.fromkeys([*before, *after]):
            yield from _differences(
                before.get(key, _ABSENT), after.get(key, _ABSENT), f"{name}.{key}" if name else str(key)
            )
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for place, (was, will) in enumerate(zip(before, after, strict=True)):
            yield from _differences(was, will, f"{name}[{place}]")
    elif before != after:
        yield name, before, after


def _shown(value: Any) -> str:
    return "(left out)" if value is _ABSENT else flow(value)


def _effect(name: str) -> str:
    variable = name.partition(".")[0].partition("[")[0]
    if variable in _LATER:
        return NOTHING
    fitting = [prefix for prefix in _BY_PREFIX if variable.startswith(prefix)]
    return _BY_PREFIX[max(fitting, key=len)] if fitting else PLACE


def lines(
    before: list[Node], after: list[Node], facts: Mapping[str, Mapping[str, Any]], code: list[str]
) -> Iterator[str]:
    """Yield what changes between two states of an inventory, host by host; `code` says what else changed."""
    were = {node.name: node for node in before}
    changes = [
        between(were[node.name], node, facts.get(node.name), (before, after)) for node in after if node.name in were
    ]
    gone = sorted(were.keys() - {node.name for node in after})
    yield from code
    for change in changes:
        if change.effects:
            yield ""
            yield change.host
            for effect in (effect for effect in EFFECTS if effect in change.effects):
                for place, sentence in enumerate(change.effects[effect]):
                    yield f"  {effect if place == 0 else '':31}  {sentence}"
    yield ""
    for words, names in (
        ("new", [node.name for node in after if node.name not in were]),
        ("no longer there (make undo with the inventory of before takes wirebook off)", gone),
        (REBOOT, [change.host for change in changes if REBOOT in change.effects]),
        (
            "feeds and books restart",
            [one.host for one in changes if RESTART in one.effects and REBOOT not in one.effects],
        ),
        ("nothing changes in the inventory of", [change.host for change in changes if not change.effects]),
    ):
        if names:
            yield f"{words}: {', '.join(names)}"
