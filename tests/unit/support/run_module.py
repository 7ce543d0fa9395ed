"""Runs a module as Ansible runs it: as a program, with its arguments as JSON on standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.paths import COLLECTIONS


def run_module(module: str, arguments: dict[str, Any], within: Sequence[str] = ()) -> dict[str, Any]:
    """Run a module, maybe within a command such as unshare, and return its result."""
    done = subprocess.run(
        [*within, sys.executable, "-m", f"ansible_collections.wirebook.node.plugins.modules.{module}"],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(COLLECTIONS)},
    )
    if not done.stdout:
        pytest.fail(done.stderr)
    return dict(json.loads(done.stdout))
