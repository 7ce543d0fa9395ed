"""wirebook-affinity runs on: its unit names what it was started from, so that another program restarts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.wirebook.node.tests.unit.support.paths import COLLECTIONS, ON_HOST

SOURCES = """
import json, sys
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible_collections.wirebook.node.tests.unit.support.render_roles import ROLES, Role
init_plugin_loader()
role = Role(ROLES / "affinity")
known = role.variables | {"role_path": str(role.path)}
json.dump(Templar(role.loader, known).template(role.variables["__affinity_sources"]), sys.stdout)
"""
IMPORTED = """
import sys
import wirebook_node.programs.affinity
modules = [module for name, module in sys.modules.items() if name.startswith("wirebook_node")]
print(*(module.__file__ for module in modules if module.__file__))
"""


def said(code: str, path: Path) -> str:
    """Return what a Python process prints that has this path to its packages."""
    environment = os.environ | {"PYTHONPATH": str(path)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_its_unit_names_all_that_it_is_made_of() -> None:
    sources = {Path(path).resolve() for path in json.loads(said(SOURCES, COLLECTIONS))}
    imported = {Path(path).resolve() for path in said(IMPORTED, ON_HOST).split()}
    made_of = {path for path in imported if path.stat().st_size and path.name != "__init__.py"}
    assert made_of
    assert made_of - sources == set()
