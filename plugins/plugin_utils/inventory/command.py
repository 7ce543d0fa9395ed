"""The command tools/inventory: what it takes, and what it prints."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from . import change, commits, facts, report, state
from .judge import Verdict, judge
from .plan import drawing
from .script import write

WRONG, NO_FACTS = 2, 3
_TARGETS = {"check": "deploy", "plan": "plan", "show": "inventory"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = _parser().parse_args(arguments)
    return int(given.run(given))


def _say(*lines: str) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return WRONG


def _judged(given: argparse.Namespace, *, any_host: bool) -> Verdict | None:
    """Return the verdict on an inventory that is right, with the host that is asked for; None: what isn't was told."""
    if not given.inventory.exists():
        there = " ".join(map(str, sorted(Path("inventory").glob("*"))))
        _say(f"There is no {given.inventory}: choose INVENTORY from: {there}")
        return None
    verdict = judge(given.inventory)
    if verdict.mistakes:
        _say(*report.lines(verdict.mistakes, str(given.inventory), len(verdict.nodes)))
        return None
    names = [node.name for node in verdict.nodes]
    if given.host is None or given.host in names or (any_host and given.host == "all"):
        return verdict
    first = f"There is no host {given.host} in {given.inventory}" if given.host else "Say which host"
    choice = [*names, "all"] if any_host else names
    _say(f"{first}: make {given.target} HOST=... with one of: {' '.join(choice)}")
    return None


def _check(given: argparse.Namespace) -> int:
    verdict = _judged(given, any_host=False)
    if verdict is None:
        return WRONG
    if given.groups:
        print(*next((node.raw["group_names"] for node in verdict.nodes if node.name == given.host), ()))
    return 0


def _plan(given: argparse.Namespace) -> int:
    """Draw a host, or all; of one without saved facts nothing is drawn."""
    verdict = _judged(given, any_host=True)
    if verdict is None:
        return WRONG
    nodes = [node for node in verdict.nodes if given.host in (node.name, "all")]
    saved = facts.load_all(given.inventory)
    without = [node.name for node in nodes if node.name not in saved.facts]
    if without == [given.host]:
        return NO_FACTS
    drawings = [
        "\n".join(drawing(node, saved.facts[node.name], saved.files[node.name]))
        for node in nodes
        if node.name not in without
    ]
    if drawings:
        print("\n\n\n".join(drawings))
    if without:
        file = facts.folder_of(given.inventory) / f"{without[0]}.yml"
        way = f"make facts HOST={without[0]} saves them, or write {file} by hand"
        return _say(f"Of {', '.join(without)} no facts are saved: {way}.")
    return 0


def _show(given: argparse.Namespace) -> int:
    """Tell what a host gets, and from where; of an inventory with mistakes too, which are told behind it."""
    verdict = _judged(given, any_host=False)
    if verdict is None:
        return WRONG
    print(*state.lines(next(node for node in verdict.nodes if node.name == given.host)), sep="\n")
    return 0


def _diff(given: argparse.Namespace) -> int:
    """Tell what a change does to the hosts: between two commits, or between one and what lies in the checkout."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            before = judge(commits.unpack(given.old, given.inventory, Path(folder) / "old"))
            inventory = (
                commits.unpack(given.new, given.inventory, Path(folder) / "new") if given.new else given.inventory
            )
        except commits.CommitError as error:
            return _say(str(error))
        code = commits.code(given.inventory, given.old, given.new)
        given.inventory = inventory
        after = _judged(given, any_host=False)
        if after is None:
            return WRONG
        if before.fleet is None:
            return _say(f"The inventory of {given.old} can't be read: name a commit whose inventory can, with FROM=.")
        known = facts.load_all(inventory).facts
        print(*change.lines(before.nodes, after.nodes, known, code), sep="\n")
    return 0


def _script(given: argparse.Namespace) -> int:
    write(given.file)
    print(f"{given.file} is to be run on the host: sudo python3 {given.file.name} > HOST.json")
    print(f"HOST.json belongs into the folder {facts.FOLDER} of the inventory")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/inventory", description="Judge an inventory, and say what it means.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, words in (
        ("check", _check, "judge the inventory, and a host's name"),
        ("show", _show, "tell what a host gets, and which file and line set it"),
        ("plan", _plan, f"draw a host, or all, from saved facts; status {NO_FACTS}: the host has none"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("inventory", type=Path)
        command.add_argument("--host", help="a host that must be there")
        command.add_argument("--target", default=_TARGETS[name], help="the target of make that asks")
        command.set_defaults(run=run)
        if name == "check":
            command.add_argument("--groups", action="store_true", help="print the groups that the host is in")
    diff = commands.add_parser("diff", help="tell what a change does to the hosts")
    diff.add_argument("inventory", type=Path)
    diff.add_argument("old", help="the commit before")
    diff.add_argument("new", nargs="?", default="", help="the commit after; left out what lies in the checkout")
    diff.set_defaults(run=_diff, host=None)
    script = commands.add_parser("script", help="write a program for a host that reads what it is")
    script.add_argument("file", type=Path)
    script.set_defaults(run=_script)
    return parser
