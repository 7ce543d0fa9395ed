"""wirebook-hugepages: reserve hugepages and set the transparent hugepage policy."""

from __future__ import annotations

import argparse

from .program import CHECK, FailedError, MistakeError, Program
from .system import at, chosen, refusal, tell

SETTINGS = "/etc/wirebook/hugepages.conf"
COMPACT = "/proc/sys/vm/compact_memory"


def wanted() -> dict[str, str]:
    """Return the values of the kernel's files, by their paths."""
    try:
        lines = at(SETTINGS).read_text().splitlines()
    except FileNotFoundError:
        raise MistakeError(f"there is no {SETTINGS}: deploy this host first.") from None
    values = {}
    for fields in map(str.split, lines):
        if fields and not fields[0].startswith("#"):
            if len(fields) != 2 or not fields[0].startswith("/sys/"):
                raise MistakeError(f"{SETTINGS} is damaged: deploy this host again.")
            values[fields[0]] = fields[1]
    return values


def bring(path: str, value: str) -> str:
    """Give a file of the kernel its value; return what is wrong with it then, or ""."""
    file = at(path)
    reason = refusal(file, f"{value}\n")
    if not reason and chosen(file) != value and file.name == "nr_hugepages":
        # Free memory lies in pieces that are too small: let the kernel move pages together, once.
        refusal(at(COMPACT), "1\n")
        reason = refusal(file, f"{value}\n")
    if reason:
        return f"{path} can't be set to {value} ({reason}): choose another value in the inventory"
    found = chosen(file)
    if found == value:
        return ""
    return f"{path} is {found} instead of {value}: reboot, or ask for less in topology_hugepages"


def run(arguments: argparse.Namespace) -> int:
    """Set what is off, and print it."""
    off = []
    for path, value in wanted().items():
        try:
            before = chosen(at(path))
        except FileNotFoundError:
            off.append(f"this kernel has no {path}: take it out of the inventory")
            continue
        if before == value:
            continue
        tell(f"{path}: {before} -> {value}")
        if not arguments.check and (problem := bring(path, value)):
            off.append(problem)
    if off:
        raise FailedError(f"{'; '.join(off)}.")
    return 0


PROGRAM = Program(
    name="wirebook-hugepages",
    summary="reserve hugepages and set the policy for transparent ones",
    description=(
        "Reserves hugepages on each NUMA node, and sets the policy for transparent hugepages; prints what it changes.",
        "If free memory is too fragmented, the kernel is asked once to compact it. The result is judged by what is "
        "read back at the end.",
    ),
    run=run,
    arguments=(CHECK,),
    files={
        SETTINGS: "what is wanted: a path below /sys and its value in each line",
        "/etc/systemd/system/wirebook-hugepages.service": "runs it at each boot",
    },
    examples={"wirebook-hugepages --check": "Print what is off."},
    see_also=("node-doctor(8)",),
)
