"""What the roles have the module dropins write, rendered by Ansible's own templating for hosts of every kind."""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.wirebook.node.plugins.module_utils.doctor.probes import PROBES
from ansible_collections.wirebook.node.tests.unit.support.paths import COLLECTIONS, ROLES

MODES = ROLES.parent / "tests/unit/roles/modes"
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


# What is said of a knob to people, and where the code is. The release's name has a hash of all of it.
PROSE = ("name", "source", "breaks", "lacking")
PROGRAMS = ("/usr/local/sbin/", "/usr/local/lib/", "/usr/local/share/")
RELEASE = re.compile(r"^/opt/wirebook/releases/1\.0-01234567-[0-9a-f]{8}/")


def content(file: dict[str, Any]) -> Any:
    """Return what is in a file: data, or its lines without comments."""
    if file["path"].endswith(".json"):
        return json.loads(file["content"])
    if file["path"].endswith(".toml"):
        return tomllib.loads(file["content"])
    return [line for line in file["content"].splitlines() if line and not line.startswith("#")]


def told(calls: Any) -> dict[str, Any]:
    """Return what a role has on a host, by kind and name."""
    (call,) = calls
    files = [file for file in call["files"] if not file["path"].startswith(PROGRAMS)]
    return {
        "files": {RELEASE.sub("RELEASE/", file["path"]): content(file) for file in files},
        "knobs": {knob["name"]: {k: v for k, v in knob.items() if k not in PROSE} for knob in call["knobs"]},
        "values": call["values"],
        "sysctls": call["sysctls"],
    }


def has_lines(data: Any) -> bool:
    """Whether data is the text of a file."""
    return isinstance(data, list) and len(data) > 0 and all(isinstance(line, str) for line in data)


def difference(now: Any, before: Any) -> Any:
    """Return what is otherwise now: of tables the keys, of texts the lines, else the whole; None where it is gone."""
    if isinstance(now, dict) and isinstance(before, dict):
        keys = [key for key in sorted(now.keys() | before.keys()) if now.get(key) != before.get(key)]
        return {key: difference(now.get(key), before.get(key)) for key in keys}
    if has_lines(now) and has_lines(before):
        return [line[0] + line[2:] for line in difflib.ndiff(before, now) if line[0] in "+-"]
    return now


def told_of_all(mode: dict[str, Any]) -> dict[str, Any]:
    """Return what all roles have on a host, and by what the engine is built."""
    return {name: calls if name in ("packages", "build") else told(calls) for name, calls in mode.items()}


@pytest.mark.parametrize("path", sorted(MODES.glob("*.yml")), ids=lambda path: path.stem)
def test_a_mode_changes_what_it_is_for_and_nothing_else(rendered: list[dict[str, Any]], path: Path) -> None:
    common, mode = (told_of_all(rendered[0][name]) for name in ("common", path.stem))
    found = mode if path.stem == "common" else difference(mode, common)
    assert found == yaml.safe_load(path.read_text())["expected"], yaml.safe_dump(found)


def test_every_knob_says_what_it_is_about(rendered: list[dict[str, Any]]) -> None:
    for mode, roles in rendered[0].items():
        for role in roles.keys() - {"packages", "build"}:
            (call,) = roles[role]
            names = [knob["name"] for knob in call["knobs"]]
            assert len(names) == len(set(names)), (mode, role)
            for knob in call["knobs"]:
                assert knob["probe"] in PROBES, knob
                assert ("want" in knob) != (knob["probe"] == "boot_entry"), knob
                assert knob.get("scope", "node") in ("kernel", "node"), knob
                assert knob["breaks"].endswith("."), knob
                assert len(knob["source"]) > 5, knob
                assert ("boot_file" in knob) == ("boot_line" in knob), knob
                assert ("needs" in knob) == ("lacking" in knob), knob


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
