"""The judge: everything that is wrong with an inventory, at once, by the files and hosts that it has."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as File
from typing import Any

from ansible.errors import AnsibleError

from . import facts as saved
from . import fleet_rules, host_rules
from .files import read, unread
from .fleet import NODES, Fleet, Node, UnreadableError, quiet
from .names import SURELY, nearest
from .places import Mistake, Path, Place, dotted, shown
from .specs import faults, is_ours, options, why_unknown

# Of the group that the plays are for, and of the twins'.
_GROUPS = (NODES, "lab")
_CONNECTION = (
    "ansible_host", "ansible_port", "ansible_user", "ansible_become", "ansible_become_user", "ansible_become_method",
    "ansible_connection", "ansible_password", "ansible_ssh_private_key_file", "ansible_ssh_common_args",
    "ansible_ssh_extra_args", "ansible_python_interpreter", "ansible_become_password",
)  # fmt: skip


@dataclass
class Verdict:
    """What was found: the fleet, as far as it can be read, and all mistakes."""

    mistakes: list[Mistake]
    fleet: Fleet | None = None

    @property
    def nodes(self) -> list[Node]:
        """The hosts that can be planned."""
        return self.fleet.nodes if self.fleet else []


def judge(inventory: File) -> Verdict:
    """Judge an inventory, a folder or a file; no host is asked."""
    quiet()
    written = read(inventory, is_ours())
    verdict = Verdict(written.mistakes)
    if not written.readable:
        return verdict
    try:
        fleet = Fleet(inventory, written)
        nodes = fleet.nodes
    except (UnreadableError, AnsibleError) as error:
        verdict.mistakes.append(
            Mistake(Place(shown(str(inventory))), "Ansible", f"{str(error).strip().rstrip('.')}: mend it.")
        )
        return verdict
    verdict.fleet = fleet
    mistyped = _mistyped_groups(fleet)
    found = [
        *unread(inventory, fleet.hosts, fleet.groups | dict.fromkeys(mistyped, True)),
        *_groups(fleet, inventory, mistyped),
    ]
    facts = saved.load_all(inventory)
    found += facts.mistakes
    found += saved.unused(inventory, fleet.hosts)
    for node in nodes:
        fleet.fill_in(node, set(options()))
    shared = _nics_by_place(nodes)
    for node in nodes:
        found += _node(node, facts.of(node.name), shared, fleet.named)
    found += _left_out(fleet)
    found += [
        Mistake(member.node.where(path), dotted(path), sentence, member.name)
        for member, path, sentence in fleet_rules.faults(nodes)
    ]
    verdict.mistakes += _told_once(found, written.mistakes)
    return verdict


def _nics_by_place(nodes: list[Node]) -> dict[Place, set[str]]:
    """Return the data NICs of all hosts that share a value: what a fleet's table says of one host's NIC is right."""
    shared: dict[Place, set[str]] = defaultdict(set)
    for node in nodes:
        for variable in ("nic_overrides", "nic_flow_rules"):
            if variable in node.raw:
                shared[node.where((variable,))] |= host_rules.data_nics(node).keys()
    return shared


def _node(node: Node, facts: dict[str, Any] | None, shared: Mapping[Place, set[str]], named: set[str]) -> list[Mistake]:
    """Return what is wrong of one host."""
    known = options()
    for name in node.raw:
        sentence = why_unknown(name) or _connection(name)
        if sentence and name not in named:
            node.refuse((name,), sentence)
    refused: set[Path] = set()
    for name, option in known.items():
        if name in node.values:
            for path, sentence in faults(node.values[name], option.spec, (name,)):
                refused.add(path)
                node.refuse(path, sentence)
    for path, sentence in host_rules.faults(node, refused, facts, shared):
        if not _was_told(path, sentence, refused):
            node.refuse(path, sentence)
    return node.mistakes


def _connection(name: str) -> str:
    """Return what to do about a variable of Ansible's own that is mistyped, or ""."""
    if not name.startswith("ansible") or name in _CONNECTION:
        return ""
    near = nearest(name, _CONNECTION, 0.93)
    return f"Ansible doesn't read it: write {near}." if near and abs(len(near) - len(name)) <= 1 else ""


def _was_told(path: Path, sentence: str, refused: set[Path]) -> bool:
    """Whether something was refused already: it isn't of the right kind, stands in such a thing, or follows from it."""
    if any(path[: len(wrong)] == wrong or wrong[: len(path)] == path for wrong in refused):
        return True
    if "is missing; it must be" in sentence:
        return any(path[:-1] == wrong[:-1] for wrong in refused)
    return any(wrong[0] != path[0] and str(wrong[0]) in sentence for wrong in refused)


def _left_out(fleet: Fleet) -> Iterator[Mistake]:
    """Yield the variables that hosts need and lack; of what all lack, once."""
    twins = {host.name for host in fleet.manager.groups["lab"].get_hosts()} if "lab" in fleet.manager.groups else set()
    for name, option in options().items():
        if not option.required:
            continue
        lacking = [
            node
            for node in fleet.nodes
            if name not in node.raw
            and (option.role != "twin" or node.name in twins)
            and not any(nearest(other, [name], SURELY) for other in node.raw)
        ]
        sentence = f"it has no {name}, which every host needs: add it."
        if lacking and len(lacking) == len(fleet.nodes) > 1 and NODES in fleet.written.groups:
            yield Mistake(fleet.written.groups[NODES], f"group {NODES}", sentence)
        else:
            yield from (Mistake(node.place, node.name, sentence, node.name) for node in lacking)


def _mistyped_groups(fleet: Fleet) -> dict[str, str]:
    """Return the groups of the plays that aren't there, and those that were written for them."""
    return {
        near: name
        for name in fleet.written.groups
        if name not in _GROUPS and (near := nearest(name, _GROUPS, 0.75)) and near not in fleet.written.groups
    }


def _groups(fleet: Fleet, inventory: File, mistyped: Mapping[str, str]) -> Iterator[Mistake]:
    """Yield what keeps hosts away from the plays."""
    for meant, name in mistyped.items():
        place = fleet.written.groups[name]
        yield Mistake(
            place,
            f"group {name}",
            f"the plays are for the group {meant}: write {meant}, or call a group of yours otherwise.",
        )
    if not fleet.names and NODES not in mistyped:
        place = fleet.written.groups.get(NODES, Place(shown(str(inventory))))
        yield Mistake(
            place,
            f"group {NODES}",
            "it has no hosts, and the plays are for those: add them to the group in the inventory.",
        )


def _told_once(found: list[Mistake], before: list[Mistake]) -> list[Mistake]:
    """Return each mistake once, with all hosts that have it; none of lines that YAML already reads wrongly."""
    hosts: dict[Mistake, list[str]] = {}
    misread = {mistake.place for mistake in before if mistake.place.line}
    for mistake in found:
        if mistake.place not in misread:
            hosts.setdefault(replace(mistake, host=""), []).append(mistake.host)
    return [replace(mistake, host=", ".join(dict.fromkeys(filter(None, names)))) for mistake, names in hosts.items()]
