"""The modules dropins and services together: what runs is what is written, whenever a deploy was killed.

systemctl is a program that keeps the units' states in files: this machine's own systemd isn't the test's to command.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.run_module import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the files belong to root, so only root can write them")

SYSTEMCTL = """#!/bin/bash
# Units are folders with the files active and enabled; what was asked for is noted.
cd {root}/units || exit
verb=$1 unit=${{!#}}
case $verb in
  show)
    while [ "$1" != -- ]; do shift; done; shift
    for unit; do
      echo "ActiveState=$(cat "$unit/active" 2>/dev/null || echo inactive)"
      echo "UnitFileState=$(cat "$unit/enabled" 2>/dev/null)"
      echo "NeedDaemonReload=$(cat "$unit/reload" 2>/dev/null || echo no)"
      echo
    done
    exit ;;
  is-enabled | is-active) exit 1 ;;
esac
echo "$*" >> {root}/asked
[ ! -e "$unit/broken" ] || {{ echo "Job for $unit failed." >&2; exit 1; }}
case $verb in
  daemon-reload) rm -f -- */reload ;;
  start | restart) echo active > "$unit/active" ;;
  stop) echo inactive > "$unit/active" ;;
  enable) echo enabled > "$unit/enabled" ;;
  disable) echo disabled > "$unit/enabled"; echo inactive > "$unit/active" ;;
esac
"""
SERVICES = [
    {"name": "old.service", "inactive": "Two pull it."},
    {"name": "new.service", "active": "Nobody pulls it.", "enabled": "Nobody will.", "scope": "kernel"},
]


class Host:
    """A host whose role `clock` has the service new.service, which is to run instead of old.service."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for unit in ("old.service", "new.service"):
            (root / "units" / unit).mkdir(parents=True)
        (root / "bin").mkdir()
        (root / "bin/systemctl").write_text(SYSTEMCTL.format(root=root))
        (root / "bin/systemctl").chmod(0o755)

    def set(self, unit: str, **states: str) -> None:
        for name, value in states.items():
            (self.root / "units" / unit / name).write_text(value + "\n")

    def write(self, text: str, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """Run the module dropins for one file."""
        files = [{"path": str(self.root / "new.conf"), "content": text}]
        options = {"services": SERVICES, "files": files, "desired": str(self.root / "desired.d")} | options
        return run_module("dropins", {**self._common(check), "ledger": str(self.root / "ledger"), **options})

    def run(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        """Run the module services."""
        return run_module("services", {**self._common(check), "services": SERVICES, **options})

    def asked(self) -> list[str]:
        """Return what systemctl was asked for since the last time."""
        path = self.root / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

    def _common(self, check: bool) -> dict[str, Any]:
        return {"role": "clock", "due": str(self.root / "due"), "_ansible_check_mode": check}


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return Host(tmp_path)


@pytest.fixture
def running(host: Host) -> Host:
    """Return a host that was deployed."""
    host.write("one\n")
    host.run()
    host.asked()
    return host


def test_what_is_off_is_stopped_before_what_is_on_is_started(host: Host) -> None:
    host.set("old.service", active="active")
    assert host.write("one\n")["due"]
    assert host.run()["changed"]
    assert host.asked() == ["daemon-reload", "stop old.service", "enable new.service", "restart new.service"]


def test_a_second_deploy_asks_for_nothing(running: Host) -> None:
    assert not running.write("one\n")["due"]
    assert running.run() == running.run() | {"changed": False, "done": []}
    assert running.asked() == []


def test_a_deploy_that_was_killed_before_the_restart_is_made_up_for(running: Host) -> None:
    running.write("two\n")  # and killed here
    again = running.write("two\n")
    assert (again["changed"], again["due"]) == (False, True)
    assert running.run()["changed"]
    assert running.asked() == ["daemon-reload", "restart new.service"]
    assert not running.write("two\n")["due"]


def test_a_restart_that_failed_stays_due(running: Host) -> None:
    running.write("two\n")
    running.set("new.service", broken="")
    failed = running.run()
    assert failed["msg"] == "`systemctl restart new.service` failed: Job for new.service failed."
    (running.root / "units/new.service/broken").unlink()
    assert running.run()["done"] == ["daemon-reload", "restart new.service"]


def test_a_file_that_goes_is_a_change_too(running: Host) -> None:
    assert running.write("one\n", files=[])["due"]


def test_what_is_only_said_of_the_knobs_restarts_nothing(running: Host) -> None:
    assert running.write("one\n", knobs=[{"name": "k"}])["changed"]
    assert not running.run()["changed"]


def test_a_role_without_services_is_never_due(host: Host) -> None:
    assert not host.write("one\n", services=None)["due"]
    assert not (host.root / "due").exists()


def test_what_was_changed_by_hand_is_mended(running: Host) -> None:
    running.set("old.service", active="active")
    running.set("new.service", active="failed", enabled="disabled", reload="yes")
    running.run()
    assert running.asked() == ["daemon-reload", "stop old.service", "enable new.service", "start new.service"]


def test_what_is_of_no_use_any_more_is_stopped_and_disabled(running: Host) -> None:
    assert running.run(gone=["old.service"])["done"] == ["disable --now old.service"]


def test_check_mode_does_nothing_and_says_what_it_would_do(running: Host) -> None:
    running.write("two\n")
    assert running.run(check=True)["done"] == ["daemon-reload", "restart new.service"]
    assert running.asked() == []
    assert running.run()["changed"]
    assert running.write("three\n", check=True)["due"]
    assert not running.write("two\n")["due"]


def test_entries_that_are_not_present_count_for_nothing(host: Host) -> None:
    absent = {"present": False}
    files = [{"path": str(host.root / "x"), "content": "x", **absent}]
    services = [entry | absent for entry in SERVICES]
    host.write("", files=files, services=services, knobs=[{"name": "k", **absent}, {"name": "l", "present": True}])
    assert host.run(services=services)["done"] == []
    state = json.loads((host.root / "desired.d/clock.json").read_text())
    assert (state["files"], state["knobs"]) == ([], [{"name": "l"}])


def test_each_state_of_a_service_is_a_knob(running: Host) -> None:
    state = json.loads((running.root / "desired.d/clock.json").read_text())
    unit = {"probe": "unit", "source": "systemd.unit(5)"}
    new = unit | {"unit": "new.service", "scope": "kernel"}
    assert state["knobs"] == [
        unit
        | {"name": "unit old.service ActiveState", "unit": "old.service"}
        | {"property": "ActiveState", "want": "inactive", "breaks": "Two pull it."},
        new
        | {"name": "unit new.service ActiveState", "property": "ActiveState", "want": "active"}
        | {"breaks": "Nobody pulls it."},
        new
        | {"name": "unit new.service UnitFileState", "property": "UnitFileState", "want": "enabled"}
        | {"breaks": "Nobody will."},
    ]
