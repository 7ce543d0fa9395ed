"""A host made of files for the programs, and commands that write down how they were called."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.programs import release, system, vfio_bind


class FakeHost:
    """A host below a folder. Each command of its `bin` appends a line to `calls`, then runs a script."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / "calls"
        (root / "bin").mkdir()

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")

    def write(self, name: str, text: str) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def read(self, name: str) -> str:
        return self.path(name).read_text()

    def install(self, command: str, script: str = "") -> None:
        path = self.path(f"bin/{command}")
        path.write_text(f'#!/bin/sh\necho "{command} $*" >> {self.log}\n{script}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def everything(self) -> dict[str, str]:
        """Return what every file holds and every link points to."""
        return {
            str(path.relative_to(self.root)): str(path.readlink()) if path.is_symlink() else path.read_text()
            for path in sorted(self.root.rglob("*"))
            if path.is_symlink() or path.is_file()
        }


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    fake = FakeHost(tmp_path)
    monkeypatch.setattr(system, "ROOT", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for command in ("systemctl", "modprobe", "systemd-run"):
        fake.install(command)
    monkeypatch.setattr(system, "SYSTEMCTL", f"{tmp_path}/bin/systemctl")
    monkeypatch.setattr(vfio_bind, "MODPROBE", f"{tmp_path}/bin/modprobe")
    monkeypatch.setattr(release, "SYSTEMD_RUN", f"{tmp_path}/bin/systemd-run")
    # The tests' own process keeps its signals.
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    return fake
