"""The command tools/inventory: what it takes, and what it prints."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import report
from .judge import Verdict, judge

WRONG = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    given = _parser().parse_args(arguments)
    if not given.inventory.exists():
        there = " ".join(map(str, sorted(Path("inventory").glob("*"))))
        return _say(f"There is no {given.inventory}: choose INVENTORY from: {there}")
    verdict = judge(given.inventory)
    if verdict.mistakes:
        return _say(*report.lines(verdict.mistakes, str(given.inventory), len(verdict.nodes)))
    return int(given.run(verdict, given))


def _say(*lines: str) -> int:
    print(*lines, sep="\n", file=sys.stderr)
    return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tools/inventory", description="Judge an inventory, and say what it means.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="judge the inventory, and a host's name")
    check.add_argument("inventory", type=Path)
    check.add_argument("--host", help="a host that must be there")
    check.add_argument("--target", default="deploy", help="the target of make that asks")
    check.set_defaults(run=_check)
    return parser


def _check(verdict: Verdict, given: argparse.Namespace) -> int:
    names = [node.name for node in verdict.nodes]
    if given.host is not None and given.host not in names:
        first = f"There is no host {given.host} in {given.inventory}" if given.host else "Say which host"
        return _say(f"{first}: make {given.target} HOST=... with one of: {' '.join(names)}")
    return 0
