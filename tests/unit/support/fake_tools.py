"""Commands in front of the PATH, which stand for what would change the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


class Tools:
    """A folder of commands; what they were called with is kept, in order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._calls = folder / "calls"
        folder.mkdir()
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def install(self, name: str, script: str = "") -> None:
        """Add a command; `$here` is this folder. A call is noted when it comes, and then the script runs."""
        path = self.folder / name
        path.write_text(f'#!/bin/sh\nhere={self.folder}\necho "{name} $*" >>"$here/calls"\n{script}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        """Return the calls so far."""
        return self._calls.read_text().splitlines() if self._calls.exists() else []

    def forget_calls(self) -> None:
        """Begin anew."""
        self._calls.unlink(missing_ok=True)


class ServiceManager:
    """A service manager of files: for each unit whether it is enabled, and whether it runs."""

    # `systemctl show` of a unit that isn't known says so by empty and inactive; every other verb sets one state.
    SCRIPT = r"""
verb=$1; for unit; do :; done
file="$here/units/$unit"
[ -e "$file.refused" ] && [ "$verb" != show ] && { echo "Job for $unit failed." >&2; exit 1; }
enabled= active=inactive
[ -e "$file" ] && . "$file"
case $verb in
  show) echo "UnitFileState=$enabled"; echo "ActiveState=$active"; exit 0 ;;
  start) active=active ;;
  stop) [ "$active" = failed ] || active=inactive ;;
  reset-failed) active=inactive ;;
  enable) enabled=enabled ;;
  disable | unmask) enabled=disabled ;;
  mask) enabled=masked ;;
  daemon-reload) exit 0 ;;
  *) echo "no verb $verb" >&2; exit 1 ;;
esac
echo "enabled=$enabled active=$active" >"$file"
"""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._units = tools.folder / "units"
        self._units.mkdir()
        tools.install("systemctl", self.SCRIPT)

    def set(self, unit: str, enabled: str, active: str) -> None:
        """Put a unit into a state."""
        (self._units / unit).write_text(f"enabled={enabled} active={active}\n")

    def refuse(self, unit: str, *, refused: bool = True) -> None:
        """Let whatever is asked of a unit fail, or no more."""
        if refused:
            (self._units / f"{unit}.refused").touch()
        else:
            (self._units / f"{unit}.refused").unlink()

    def state(self, unit: str) -> tuple[str, str]:
        """Return whether a unit is enabled, and whether it runs."""
        words = dict(word.split("=") for word in (self._units / unit).read_text().split())
        return words["enabled"], words["active"]

    def changes(self) -> list[str]:
        """Return what was asked for but `show`: verb and unit."""
        calls = (call for call in self._tools.calls() if call.startswith("systemctl "))
        told = (call.removeprefix("systemctl ").replace("-- ", "") for call in calls)
        return [call for call in told if not call.startswith("show ")]
