"""The command tools/inventory, run as make runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .paths import ROOT

Run = Callable[..., subprocess.CompletedProcess[str]]


def inventory_tool(folder: Path) -> Run:
    """Return what runs the command in a folder, without the PYTHONPATH of the tests."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "tools/inventory"), *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        )

    return run
