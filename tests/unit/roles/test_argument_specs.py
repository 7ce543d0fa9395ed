"""What every role promises: each variable has a default, and the argument specs and the README describe it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES

WITH_ARGUMENTS = sorted(path.parent.parent for path in ROLES.glob("*/meta/argument_specs.yml"))


def options(role: Path) -> dict[str, Any]:
    specs = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]
    return {name: option for spec in specs.values() for name, option in spec["options"].items()}


def nested(described: dict[str, Any]) -> dict[str, Any]:
    """Return options with those in them."""
    inner = [nested(option.get("options", {})) for option in described.values()]
    return described | {name: option for one in inner for name, option in one.items()}


@pytest.mark.parametrize("role", WITH_ARGUMENTS, ids=lambda role: role.name)
def test_its_options_say_nothing_else(role: Path) -> None:
    """In {type: str, description: One thing, another.} the comma ends the description, and what follows is a key."""
    known = {"type", "elements", "choices", "required", "default", "options", "description"}
    assert {name: set(option) - known for name, option in nested(options(role)).items() if set(option) - known} == {}


@pytest.mark.parametrize("role", WITH_ARGUMENTS, ids=lambda role: role.name)
def test_its_variables_are_described_everywhere(role: Path) -> None:
    path, readme = role / "defaults/main.yml", (role / "README.md").read_text()
    defaults = yaml.safe_load(path.read_text()) if path.exists() else {}
    described = options(role)
    assert set(defaults) == {name for name, option in described.items() if not option.get("required")}
    for name, option in described.items():
        assert f"`{name}`" in readme, name
        # A default that is worked out, or a list to choose from, is described in words.
        if "default" in option:
            assert option["default"] == defaults[name], name


def keys(described: dict[str, Any]) -> set[str]:
    """Return the keys by which options are described, those of their own options too."""
    return {key for option in described.values() for key in {*option, *keys(option.get("options", {}))}}


@pytest.mark.parametrize("role", WITH_ARGUMENTS, ids=lambda role: role.name)
def test_a_description_ends_where_it_was_meant_to(role: Path) -> None:
    """In `{description: One thing, another}` the comma ends it, and what follows is a key."""
    known = {"type", "elements", "required", "default", "choices", "description", "options"}
    assert keys(options(role)) <= known
