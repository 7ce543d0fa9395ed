"""What a command says at its end of each host: Ansible's recap."""

from __future__ import annotations

import re

HEADING = re.compile(r"^PLAY RECAP \*+$", re.MULTILINE)
# "lab1 : ok=3 changed=0 unreachable=0 …"
HOST_LINE = re.compile(r"^(?P<host>\S+)\s+: (?P<counters>ok=\d+ .*)$", re.MULTILINE)


def last_recap(output: str) -> dict[str, dict[str, int]]:
    """Return each host's counters (ok, changed, …) from the last recap in a command's output.

    `make deploy` of a twin runs two playbooks, and the first one's recap says nothing about the deploy.
    ValueError: the output has no recap.
    """
    headings = list(HEADING.finditer(output))
    if not headings:
        raise ValueError("the output has no recap")
    counters = {}
    for line in HOST_LINE.finditer(output, headings[-1].end()):
        words = (word.partition("=") for word in line["counters"].split())
        counters[line["host"]] = {name: int(number) for name, _, number in words}
    return counters


def changed_nothing(output: str, host: str) -> bool:
    """Whether a command's last playbook reached this host, finished there and changed nothing."""
    counters = last_recap(output).get(host)
    return counters is not None and not any(counters[name] for name in ("changed", "unreachable", "failed"))
