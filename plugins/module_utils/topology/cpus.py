"""CPU lists: sets of numbers, written as the kernel writes them.

The kernel's format is in Documentation/admin-guide/kernel-parameters.rst ("cpu lists"). Only numbers and ranges are
taken: `N` and `all` stand for something else on each host, and an appliance shipped with `irqaffinity` on all CPUs that
way (seapath/ansible#868).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SEPARATOR = re.compile(r"\s*,\s*|\s+")
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def parse_cpus(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as "0-2,5"; an empty text is the empty set.

    Commas separate, or white space: systemd writes "0-2 5", and the kernel ends a list with a line's end. Raises
    ValueError with a sentence for anything else.
    """
    cpus: set[int] = set()
    for part in _SEPARATOR.split(text.strip()) if text.strip() else []:
        match = _RANGE.fullmatch(part)
        if match is None:
            raise ValueError(f"'{text}' isn't a list of CPUs: write numbers and ranges, such as 2-3,6.")
        first, last = int(match.group(1)), int(match.group(2) or match.group(1))
        if last < first:
            raise ValueError(f"'{text}' isn't a list of CPUs: the range {part} runs backwards, write {last}-{first}.")
        cpus.update(range(first, last + 1))
    return frozenset(cpus)


def format_cpus(cpus: Iterable[int]) -> str:
    """Return the shortest list for a set of CPUs; expanded ones overflow GRUB's environment (tuned#514)."""
    ranges: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if ranges and cpu == ranges[-1][1] + 1:
            ranges[-1][1] = cpu
        else:
            ranges.append([cpu, cpu])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def format_mask(cpus: Iterable[int]) -> str:
    """Return a set of CPUs as the kernel prints a mask (%*pb): hexadecimal words of 32 bits, the highest first."""
    bits = sum(1 << cpu for cpu in set(cpus))
    words = [f"{bits & 0xFFFFFFFF:x}"]
    while bits := bits >> 32:
        words[-1] = f"{int(words[-1], 16):08x}"
        words.append(f"{bits & 0xFFFFFFFF:x}")
    return ",".join(reversed(words))
