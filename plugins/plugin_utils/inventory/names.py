"""The nearest right name, for who mistyped one."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# So alike that the one was meant for the other, whatever it is.
SURELY = 0.85


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return the known name that is most like a name, or "" if none is like it.

    A name that the other begins with is like it, however short: grp isn't, gro is.
    """
    names = sorted(known)
    close = get_close_matches(name.lower(), names, n=1, cutoff=cutoff)
    begun = [one for one in names if name and one.startswith(name.lower())]
    return close[0] if close else begun[0] if len(begun) == 1 and cutoff < SURELY else ""


def instead(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """Return "write NAME" for the nearest, or else what there is to choose from."""
    names = sorted(known)
    near = nearest(name, names, cutoff)
    if near:
        return f"write {near}"
    if not names:
        return "take it out"
    if len(names) > 30:
        return "take it out, or look its name up"
    return f"choose from {', '.join(names)}"
