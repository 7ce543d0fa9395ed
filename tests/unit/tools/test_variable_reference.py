"""docs/reference/variables.md: the page is what the roles' argument specs and defaults say now, and it misses none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES, ROOT

PAGE = (ROOT / "docs/reference/variables.md").read_text()
# What roles find out and hand to each other.
FACTS = {"topology_derived", "topology_host", "topology_drawing", "topology_engine_settings"}
# A counter of the engine's.
OTHERS = {"clock_steps"}
SPECS = sorted(ROLES.glob("*/meta/argument_specs.yml"))


def section(variable: str) -> str:
    """Return what the page says of a variable, its keys included."""
    _, _, rest = PAGE.partition(f"\n### `{variable}`\n")
    return re.split(r"(?m)^##", rest)[0]


def keys(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the keys of a table and of all tables in it."""
    return {
        name: option
        for key, of in options.items()
        for name, option in [(key, of), *keys(of.get("options", {})).items()]
    }


def test_the_page_is_generated_from_the_roles_as_they_are(tmp_path: Path) -> None:
    page = tmp_path / "variables.md"
    subprocess.run([sys.executable, ROOT / "tools/variable-reference", page], check=True)
    assert page.read_text() == PAGE, "run `make reference`"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.parents[1].name)
def test_it_says_of_each_variable_what_the_role_says(path: Path) -> None:
    specs = yaml.safe_load(path.read_text())["argument_specs"]
    file = path.parents[1] / "defaults/main.yml"
    defaults = yaml.safe_load(file.read_text()) if file.exists() else {}
    for name, option in ((name, option) for spec in specs.values() for name, option in spec["options"].items()):
        said = section(name)
        assert said.startswith(f"\n{'list of ' if option['type'] == 'list' else option['type']}")
        assert ("**required**" in said.splitlines()[1]) == bool(option.get("required"))
        default = defaults.get(name)
        if isinstance(default, (int, float, bool)) or (isinstance(default, str) and default and "{{" not in default):
            assert f"default: `{str(default).lower() if isinstance(default, bool) else default}`" in said
        for choice in option.get("choices", []):
            assert f"`{choice}`" in said
        for key, of in keys(option.get("options", {})).items():
            item = re.search(rf"(?m)^ *- `{key}` \(([^)]*)", said)
            assert item, key
            assert ("required" in item.group(1)) == bool(of.get("required"))


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_variables_that_a_page_names_are_there(page: Path) -> None:
    """In code and in blocks of YAML; roles and modules have such names, too."""
    roles = {path.parents[1].name for path in SPECS}
    known = {*re.findall(r"(?m)^### `(\w+)`$", PAGE), *FACTS, *OTHERS, *roles}
    known |= {path.stem for path in (ROOT / "plugins/modules").glob("*.py")}
    text = page.read_text()
    code = [*re.findall(r"`([^`\n]+)`", text), *re.findall(r"(?s)```yaml\n(.*?)```", text)]
    variable = re.compile(rf"(?<!/)\b(?:{'|'.join(sorted(roles))})_[a-z_]+\b(?!/)")
    named = {name for part in code for name in variable.findall(part)}
    assert named - known == set()
