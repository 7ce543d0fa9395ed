"""What was found, for the screen: by file, the last line the sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from .places import Mistake


def lines(mistakes: Sequence[Mistake], inventory: str, hosts: int) -> list[str]:
    """Return all mistakes, each on a line that an editor can open, and how many there are."""
    files: dict[str, list[Mistake]] = defaultdict(list)
    for mistake in mistakes:
        files[mistake.place.file].append(mistake)
    told = []
    for file in sorted(files):
        told += [
            "",
            *(
                _line(mistake, file, hosts)
                for mistake in sorted(files[file], key=lambda one: (one.place.line, one.what))
            ),
        ]
    return [
        *told[1:],
        "",
        f"{inventory}: {_count(len(mistakes), 'mistake')} in {_count(len(files), 'file')}; nothing was touched.",
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _line(mistake: Mistake, file: str, hosts: int) -> str:
    """Return a mistake; of one that is in a file of several hosts and isn't all hosts', whose it is."""
    names = mistake.host.split(", ") if mistake.host else []
    own = len(names) == 1 and (names[0] in Path(file).parts or Path(file).stem == names[0] or mistake.what == names[0])
    if not names or own or len(names) == hosts:
        return str(mistake)
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{mistake} ({shown})"
