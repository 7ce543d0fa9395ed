"""The programs as a host has them: what the role writes, run by the system's own Python from a tree of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.paths import COLLECTIONS, ROLES
from wirebook_node.programs import VERSION
from wirebook_node.programs.table import PROGRAMS

RENDER = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
from ansible_collections.wirebook.node.tests.unit.support.render_roles import ROLES, Role
init_plugin_loader()
role = Role(ROLES / "programs")
(call,) = role.render(role.calls("dropins"), {})
json.dump(call["files"], sys.stdout)
"""
# For the controller, which writes the manual pages by it.
NOT_IMPORTED = {"programs/manual.py"}


@pytest.fixture(scope="module")
def files() -> list[dict[str, Any]]:
    """Return the files that the role has the module dropins write."""
    environment = os.environ | {"PYTHONPATH": str(COLLECTIONS)}
    done = subprocess.run([sys.executable, "-c", RENDER], capture_output=True, text=True, check=True, env=environment)
    rendered: list[dict[str, Any]] = json.loads(done.stdout)
    return rendered


@pytest.fixture(scope="module")
def root(files: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all of them, as they are below / on a host."""
    root = tmp_path_factory.mktemp("host")
    for file in files:
        path = root / file["path"].lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file["content"])
        path.chmod(int(file.get("mode", "0644"), 8))
    return root


def test_every_program_has_its_script_and_its_manual_page(root: Path) -> None:
    assert {path.name for path in (root / "usr/local/sbin").iterdir()} == set(PROGRAMS)
    assert {path.stem for path in (root / "usr/local/share/man/man8").iterdir()} == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_runs_from_what_is_installed_and_leaves_nothing_behind(root: Path, name: str) -> None:
    before = sorted(root.rglob("*"))
    for option, said in (("--help", f"usage: {name} "), ("--version", f"{name} (wirebook) {VERSION}\n")):
        # Isolated, whatever the caller's environment says.
        done = subprocess.run(
            [root / "usr/local/sbin" / name, option],
            capture_output=True, text=True, check=False, env={"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"},
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(said)
    done = subprocess.run([root / "usr/local/sbin" / name, "--no-such"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert sorted(root.rglob("*")) == before


def test_what_is_installed_is_what_is_imported(root: Path) -> None:
    library = root / "usr/local/lib/wirebook"
    code = (
        "import sys; sys.path.append(sys.argv[1]); import wirebook_node.programs.table;"
        "print(*(m.__file__ for n, m in sys.modules.items() if n.startswith('wirebook_node') and m.__file__))"
    )
    command = ["/usr/bin/python3", "-IBc", code, str(library)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {str(Path(path).relative_to(library / "wirebook_node")) for path in done.stdout.split()}
    installed = {str(path.relative_to(library / "wirebook_node")) for path in library.rglob("*.py")}
    assert installed == imported | NOT_IMPORTED


def test_no_other_role_writes_to_their_places(files: list[dict[str, Any]]) -> None:
    # Two roles would write it over and over.
    sources = [*ROLES.glob("*/vars/*.yml"), *ROLES.glob("*/tasks/*.yml"), *ROLES.glob("*/templates/*.yml.j2")]
    others = [path for path in sources if path.relative_to(ROLES).parts[0] != "programs"]
    assert [str(path) for path in others if "path: /usr/local/sbin" in path.read_text()] == []
    assert [str(path) for path in others if "'path': '/usr/local/sbin" in path.read_text()] == []
