"""What systemd-sysusers makes of the role's file, in a folder that stands for a host."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import jinja2
import pytest
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("systemd-sysusers"), reason="only root may use systemd-sysusers"
)


def make(root: Path, group: str) -> str:
    """Have the users made, and return what is said."""
    template = (ROLES / "account/templates/sysusers.conf.j2").read_text()
    path = root / "etc/sysusers.d/60-wirebook.conf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(jinja2.Template(template, trim_blocks=True).render(account_group=group))
    done = subprocess.run(["systemd-sysusers", f"--root={root}", path.name], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def groups(root: Path) -> dict[str, str]:
    """Return the members of each group."""
    lines = (root / "etc/group").read_text().splitlines()
    return {line.split(":")[0]: line.split(":")[3] for line in lines}


@pytest.mark.parametrize("group", ["wirebook", "trading"])
def test_the_engines_user_is_made_once_and_in_the_group(tmp_path: Path, group: str) -> None:
    assert "wirebook" in make(tmp_path, group)
    (user,) = [line for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("wirebook:")]
    assert user.split(":")[5:] == ["/nonexistent", "/usr/sbin/nologin"]
    assert groups(tmp_path)[group] == "wirebook"
    assert make(tmp_path, group) == ""


def test_members_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("trading:x:1001:ann\n")
    make(tmp_path, "trading")
    assert sorted(groups(tmp_path)["trading"].split(",")) == ["ann", "wirebook"]
