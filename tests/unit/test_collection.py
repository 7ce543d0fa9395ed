"""The collection as others get it: built, installed without a network, and run from where it was installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml
from ansible_collections.wirebook.node.tests.unit.support.paths import ROOT

BIN = Path(sys.executable).parent
INVENTORY = """
nodes:
  hosts:
    here: {ansible_connection: local, ansible_python_interpreter: /usr/bin/python3, topology_isolated_cpus: ""}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [BIN / "ansible-galaxy", "collection", "build", "--output-path", folder, ROOT], capture_output=True, check=True
    )
    (archive,) = folder.iterdir()
    return archive


def test_nothing_is_built_in_but_what_is_in_git(built: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no checkout of Git")
    with tarfile.open(built) as archive:
        names = {member.name for member in archive if not member.isdir()}
    assert names - set(listed.stdout.split("\0")) == {"FILES.json", "MANIFEST.json"}
    assert {"plugins/modules/dropins.py", "roles/feed_engine/files/build-wheelhouse", "app/meson.build"} <= names


def test_its_version_is_the_engines() -> None:
    engine = re.search(r"^ *version: '(.*)'", (ROOT / "app/meson.build").read_text(), re.MULTILINE)
    assert engine
    assert yaml.safe_load((ROOT / "galaxy.yml").read_text())["version"] == engine.group(1)


def test_an_installed_playbook_runs_its_role_and_modules(built: Path, tmp_path: Path) -> None:
    if "ID=debian\n" not in Path("/etc/os-release").read_text():
        pytest.skip("the role topology refuses what isn't Debian")
    (tmp_path / "ansible.cfg").touch()
    environment = os.environ | {
        "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg"),  # the checkout's would lead to the checkout's roles
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_HOME": str(tmp_path / "home"),
    }

    def run(*command: str | Path) -> str:
        done = subprocess.run(
            [BIN / command[0], *command[1:]],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run("ansible-galaxy", "collection", "install", "--offline", "--collections-path", tmp_path, built)
    (tmp_path / "hosts.yml").write_text(INVENTORY)
    output = run("ansible-playbook", "--verbose", "--inventory", "hosts.yml", "wirebook.node.plan")
    assert "here: Debian GNU/Linux" in output
    assert "failed=0" in output
