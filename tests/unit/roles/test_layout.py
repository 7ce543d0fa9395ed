"""What roles and playbooks are made of: entry points that are described, tags, and names that stand by themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES, ROOT

PLAYS = sorted([*(ROOT / "playbooks").glob("*.yml"), *(ROOT / "playbooks/tasks").glob("*.yml")])
TASKS = sorted([*ROLES.glob("*/tasks/*.yml"), *ROLES.glob("*/handlers/*.yml")])
NAMES = sorted(path.parents[1].name for path in ROLES.glob("*/tasks/main.yml"))
CALLS = ("ansible.builtin.import_role", "ansible.builtin.include_role")
# They have playbooks of their own.
NOT_DEPLOYED = {"twin", "undo"}


def steps(of: Any) -> Iterator[dict[str, Any]]:
    """Yield plays and tasks with all that is in them."""
    for step in of or []:
        yield step
        for part in ("roles", "pre_tasks", "tasks", "post_tasks", "block", "rescue", "always"):
            yield from steps(step.get(part))


def calls(path: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the roles that a file calls: name, entry point, and the task."""
    for step in steps(yaml.safe_load(path.read_text())):
        if "role" in step:
            yield step["role"], "main", step
        for call in CALLS:
            if call in step:
                yield step[call]["name"], step[call].get("tasks_from", "main"), step


@pytest.mark.parametrize("path", [*PLAYS, *TASKS, *sorted((ROOT / "tests/twin").glob("*.yml"))], ids=str)
def test_an_entry_point_that_is_called_is_there_and_specified(path: Path) -> None:
    for role, entry, _ in calls(path):
        assert (ROLES / role / f"tasks/{entry}.yml").exists(), (role, entry)
        specs = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())["argument_specs"]
        assert entry in specs, (role, entry)


@pytest.mark.parametrize("path", sorted(ROLES.glob("*/meta/argument_specs.yml")), ids=str)
def test_what_is_specified_is_there(path: Path) -> None:
    for entry in yaml.safe_load(path.read_text())["argument_specs"]:
        assert (path.parents[1] / f"tasks/{entry}.yml").exists(), entry


@pytest.mark.parametrize("path", sorted(ROLES.glob("*/meta/main.yml")), ids=str)
def test_a_role_brings_no_other(path: Path) -> None:
    """A dependency is run for each entry point: a verify or a rollback would install what it depends on."""
    assert yaml.safe_load(path.read_text())["dependencies"] == []


def test_a_deploy_runs_every_role_by_its_tag() -> None:
    deploy = ROOT / "playbooks/tasks/deploy.yml"
    called = list(calls(deploy))
    assert {role for role, _, _ in called} == set(NAMES) - NOT_DEPLOYED
    (block,) = (step for step in steps(yaml.safe_load(deploy.read_text())) if "block" in step)
    inside = [step["name"] for step in steps([block])]
    for role, entry, step in called:
        tag = block["tags"] if step["name"] in inside else step["tags"]
        assert tag == ("always" if role == "topology" else "feed_engine" if entry == "explain" else role)


@pytest.mark.parametrize("path", [*PLAYS, *TASKS], ids=str)
def test_what_is_included_gets_its_tags(path: Path) -> None:
    """Of an include that a tag chooses, only what it applies the tag to is run."""
    if path.parents[1].name in NOT_DEPLOYED:
        return
    for step in steps(yaml.safe_load(path.read_text())):
        for include in ("ansible.builtin.include_role", "ansible.builtin.include_tasks"):
            if include in step:
                assert "apply" in step[include], step["name"]


@pytest.mark.parametrize("path", [*PLAYS, *TASKS], ids=str)
def test_a_name_says_what_happens_by_itself(path: Path) -> None:
    vague = re.compile(r"^\w+ (it|them)\b|\bwhat happened\b")
    names = [step["name"] for step in steps(yaml.safe_load(path.read_text())) if "name" in step]
    assert [name for name in names if vague.search(name)] == []


@pytest.mark.parametrize("path", sorted((ROOT / "playbooks").glob("*.yml")), ids=str)
def test_a_playbook_only_lists_roles_and_says_in_what_order(path: Path) -> None:
    allowed = {*CALLS, "ansible.builtin.import_tasks", "ansible.builtin.meta", "ansible.builtin.fail"}
    for step in steps(yaml.safe_load(path.read_text())):
        modules = {key for key in step if key.startswith(("ansible.", "wirebook."))}
        assert modules <= allowed, step["name"]


def test_the_overview_names_every_role() -> None:
    listed = re.findall(r"^\| \[`(\w+)`\]\(\1/README\.md\)", (ROLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(set(listed)) == NAMES
