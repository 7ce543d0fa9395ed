"""What the roles have the module dropins write, rendered by Ansible's own templating for hosts of every kind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.paths import COLLECTIONS, ROLES

SEEDS = ("1", "2")
# They are `list(set(a) - set(b))` and the like in Ansible: the order of their result is another in each process.
SET_FILTERS = re.compile(r"\|\s*(difference|intersect|symmetric_difference|union)\b")


@pytest.fixture(scope="session")
def rendered() -> list[dict[str, Any]]:
    """Return what is rendered by mode and role, once for each seed of Python's hashes."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "ansible_collections.wirebook.node.tests.unit.support.render_roles"],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(COLLECTIONS)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in SEEDS
    ]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(SEEDS)
    return [json.loads(output) for output in outputs]


def test_the_order_of_a_set_reaches_no_file_and_no_knob(rendered: list[dict[str, Any]]) -> None:
    first, *others = rendered
    assert all(first.values())
    for other in others:
        for mode, roles in first.items():
            for role, calls in roles.items():
                assert other[mode][role] == calls, f"{role} in the mode {mode}"


def test_no_role_uses_a_filter_whose_order_is_that_of_a_set() -> None:
    sources = [path for folder in ("roles", "playbooks") for path in (ROLES.parent / folder).rglob("*.*")]
    used = [
        f"{path.relative_to(ROLES.parent)}: {match.group(1)}"
        for path in sources
        if path.suffix in (".yml", ".j2")
        for match in SET_FILTERS.finditer(path.read_text())
    ]
    assert used == []


def engine_toml(rendered: list[dict[str, Any]], host: str) -> dict[str, Any]:
    """Return the engine's configuration of a host."""
    (call,) = rendered[0][host]["feed_engine"]
    (text,) = [file["content"] for file in call["files"] if file["path"].endswith("/engine.toml")]
    return tomllib.loads(text)


def test_a_host_of_the_example_fleet_changes_only_what_it_names_of_the_fleets_settings(
    rendered: list[dict[str, Any]],
) -> None:
    fleet, own = (engine_toml(rendered, host)["transport"] for host in ("colo1", "colo3"))
    assert own == fleet | {"interface": "enp24s0f0", "interface_b": "enp24s0f1"}
    assert (own["group_b"], own["snapshot_group_b"]) == ("239.192.8.1", "239.192.8.2")
