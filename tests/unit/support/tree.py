"""A host made of files, and node-doctor as it is run on it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible_collections.wirebook.node.tests.unit.support.paths import ON_HOST

PROGRAM = "import sys; from wirebook_node.programs.node_doctor import PROGRAM; sys.exit(PROGRAM.main())"


class Tree:
    """A host made of files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {"PYTHONPATH": str(ON_HOST)}

    def write(self, name: str, text: str) -> None:
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def desire(self, *knobs: dict[str, Any], role: str = "sysctl") -> None:
        filled = [{"source": "sched(7)", "breaks": "It is slow."} | knob for knob in knobs]
        self.write(f"/etc/wirebook/desired.d/{role}.json", json.dumps({"format": 1, "role": role, "knobs": filled}))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", PROGRAM, "--root", str(self.root), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | self.environment,
        )

    def report(self, *arguments: str) -> dict[str, Any]:
        done = self.run("--json", *arguments)
        assert done.stderr == ""
        report: dict[str, Any] = json.loads(done.stdout)
        assert done.returncode == (1 if report["fail"] else 0)
        return report

    def only(self) -> dict[str, Any]:
        """Return the report on the only knob."""
        (knob,) = self.report()["knobs"]
        return dict(knob)

    def status(self) -> str:
        return str(self.only()["status"])

    def install(self, name: str, script: str) -> None:
        """Put a command in front of the PATH: there may be no service manager where the tests run."""
        self.write(f"/bin/{name}", f"#!/bin/sh\n{script}\n")
        (self.root / "bin" / name).chmod(0o755)
        self.environment["PATH"] = f"{self.root}/bin:{os.environ['PATH']}"
