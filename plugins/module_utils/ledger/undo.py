"""Takes back what the ledger lists. Every step may be done twice, so an interrupted undo can be run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import kinds
from .store import Entry, Ledger

# Services first, while their files are there; a user last, when nothing is theirs any more. What was running before is
# started again when its files and packages are as they were.
BEFORE_PACKAGES: tuple[tuple[str, Callable[[str, Any], bool]], ...] = (
    ("unit", kinds.stop_unit),
    ("driver", kinds.restore_driver),
    ("value", kinds.restore_value),
    ("file", kinds.restore_file),
)
AFTER_PACKAGES: tuple[tuple[str, Callable[[str, Any], bool]], ...] = (
    ("data", kinds.restore_data),
    ("tree", kinds.restore_tree),
    ("folder", kinds.restore_folder),
    ("unit", kinds.start_unit),
    ("user", kinds.restore_user),
    ("group", kinds.restore_group),
)


@dataclass
class Report:
    """What was taken back, and what wasn't, each as a line for the operator."""

    undone: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def take_back(ledger: Ledger, spare: frozenset[str] = frozenset()) -> Report:
    """Take everything back but what the roles in `spare` did. The ledger goes when nothing is spared.

    LedgerError: a step failed; what came before it is done, and the ledger is whole.
    """
    entries = [entry for entry in ledger.entries() if entry.role not in spare]
    report = Report()
    _steps(BEFORE_PACKAGES, entries, report)
    if entries:
        kinds.run("systemctl", "daemon-reload")
    packages = [entry.key for entry in entries if entry.kind == "package" and entry.before is None]
    if packages:
        gone, needed = kinds.purge(packages)
        report.undone += [f"package {name}" for name in gone]
        report.kept += [f"package {name}: other packages need it now" for name in needed]
    _steps(AFTER_PACKAGES, entries, report)
    report.kept += _kept(entries)
    if not spare:
        ledger.remove()
    return report


def _steps(steps: tuple[tuple[str, Callable[[str, Any], bool]], ...], entries: list[Entry], report: Report) -> None:
    """Do the steps one after the other, each for its entries."""
    for kind, step in steps:
        for entry in entries:
            if entry.kind != kind:
                continue
            try:
                if step(entry.key, entry.before):
                    report.undone.append(f"{kind} {entry.key}")
            except kinds.LedgerError as error:
                if kind != "value":
                    raise
                # The reboot that follows gives it back: no reason to stop half-way.
                report.kept.append(f"{error} A reboot does")


def _kept(entries: list[Entry]) -> list[str]:
    """Return what is left of things that weren't there, and why."""
    lines = []
    for entry in entries:
        path = Path(entry.key)
        if entry.before is not None or entry.kind not in ("data", "folder") or not path.is_dir():
            continue
        names = sorted(one.name for one in path.iterdir())
        if entry.kind == "data":
            megabytes = sum(one.stat().st_size for one in path.rglob("*") if one.is_file()) / 1e6
            lines.append(
                f"{entry.key}: recorded data, {megabytes:.1f} MB, root's now; delete it yourself if nobody needs it"
            )
        else:
            lines.append(f"{entry.key}: it holds {', '.join(names[:5])}, which wirebook didn't write")
    return lines
