"""What is to be proven, and what was found: the terms of node-doctor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .host import Host

FORMAT = 1

PASS, FAIL, NOT_RUN = "PASS", "FAIL", "NOT-RUN"

ABSENT = "absent"

NO_BOOT_VALUE = "-"


class DesiredStateError(Exception):
    """The command or a fragment can't be used; the text is one sentence for the operator."""


@dataclass(frozen=True)
class Knob:
    """One thing that a role set. `spec` holds the arguments of its probe."""

    role: str
    name: str
    probe: str
    want: Any
    source: str
    breaks: str
    scope: str
    spec: dict[str, Any]

    def argument(self, key: str) -> Any:
        """Return the probe's argument `key`; DesiredStateError if the fragment lacks it."""
        try:
            return self.spec[key]
        except KeyError:
            raise DesiredStateError(
                f"The knob '{self.name}' of role {self.role} lacks '{key}', which its probe '{self.probe}' needs."
            ) from None


@dataclass(frozen=True)
class Reading:
    """What a probe found. `boot_ok` is None where the knob has no value of its own for the next boot."""

    running: str
    running_ok: bool
    boot: str = NO_BOOT_VALUE
    boot_ok: bool | None = None


@dataclass(frozen=True)
class Finding:
    """The verdict on one knob, as printed."""

    knob: Knob
    status: str
    boot: str
    running: str
    reason: str


@dataclass(frozen=True)
class Probe:
    """How a kind of knob is read, and what it belongs to: 'kernel' knobs belong to the machine, not to a container."""

    read: Callable[[Host, Knob], Reading]
    scope: str


def describe(want: Any) -> str:
    """Return a desired value as one line."""
    if want is None:
        return "the boot entry"
    if isinstance(want, bool):
        return "on" if want else "off"
    if isinstance(want, list):
        return " ".join(str(item) for item in want)
    if isinstance(want, dict):
        return " ".join(",".join(map(str, value)) if isinstance(value, list) else str(value) for value in want.values())
    return str(want)
