"""Runs the roles' modules as Ansible runs them: with their arguments as JSON, and the roles' module_utils in reach."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROLES = Path(__file__).parents[2]
# Ansible's own loader does this for all roles of a play.
MODULE_UTILS = [str(path) for path in ROLES.glob("*/module_utils")]
RUN = """
import runpy, sys
import ansible.module_utils
module, *paths = sys.argv[1:]
ansible.module_utils.__path__ += paths
sys.argv = [module]
runpy.run_path(module, run_name="__main__")
"""


def module_command(module: str) -> list[str]:
    """Return the command that runs a module, ROLE/library/NAME.py."""
    return [sys.executable, "-c", RUN, str(ROLES / module), *MODULE_UTILS]


def run_module(module: str, arguments: dict[str, Any], within: Sequence[str] = ()) -> dict[str, Any]:
    """Run a module, maybe within a command such as unshare, and return its result."""
    done = subprocess.run(
        [*within, *module_command(module)],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
    )
    if not done.stdout:
        pytest.fail(done.stderr)
    return dict(json.loads(done.stdout))
