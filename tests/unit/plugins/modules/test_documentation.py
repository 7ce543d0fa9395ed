"""Every module is documented as Ansible people write it, and takes the arguments that its documentation lists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ansible_test
import pytest
import yaml
from ansible_collections.wirebook.node.tests.unit.support.paths import COLLECTIONS, ROOT

ANSIBLE_DOC = Path(sys.executable).with_name("ansible-doc")
MODULES = sorted((ROOT / "plugins/modules").glob("*.py"))
ENVIRONMENT = os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)}


def findings() -> set[str]:
    """Return what validate-modules says, as the lines of an ignore file.

    It is called as `ansible-test sanity --test validate-modules` calls it, which itself needs a network: it would
    download pip and what the test needs, and that is in this environment.
    """
    checker = Path(ansible_test.__file__).parent / "_util/controller/sanity/validate-modules"
    done = subprocess.run(
        [
            *(sys.executable, str(checker / "validate.py"), "--format", "json", "--arg-spec"),
            *("--collection", "ansible_collections/wirebook/node", "--collection-version", "0.1.0"),
            *(str(path.relative_to(ROOT)) for path in MODULES),
        ],
        cwd=ROOT,
        env=ENVIRONMENT | {"PYTHONPATH": f"{checker}:{COLLECTIONS}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return {
        f"{path} validate-modules:{error['code']} # {error['msg']}"
        for path, errors in json.loads(done.stdout).items()
        for error in errors["errors"]
    }


def without_comment(lines: set[str]) -> set[str]:
    return {line.partition(" #")[0] for line in lines}


def test_validate_modules_finds_nothing() -> None:
    ignored = without_comment(set((ROOT / "tests/sanity/ignore-2.19.txt").read_text().splitlines()))
    found = findings()
    assert {line for line in found if line.partition(" #")[0] not in ignored} == set()
    assert ignored - without_comment(found) == set(), "these needn't be ignored any more"


@pytest.fixture(scope="module")
def documentation() -> dict[str, Any]:
    """Return what ansible-doc shows."""
    names = [f"wirebook.node.{path.stem}" for path in MODULES]
    done = subprocess.run(
        [ANSIBLE_DOC, "--json", "--type", "module", *names], env=ENVIRONMENT, capture_output=True, check=True
    )
    return dict(json.loads(done.stdout))


def test_ansible_doc_lists_every_module() -> None:
    done = subprocess.run(
        [ANSIBLE_DOC, "--list", "--json", "--type", "module", "wirebook.node"],
        env=ENVIRONMENT,
        capture_output=True,
        check=True,
    )
    assert set(json.loads(done.stdout)) == {f"wirebook.node.{path.stem}" for path in MODULES}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_it_says_what_it_does_in_check_and_diff_mode_and_has_an_example(
    path: Path, documentation: dict[str, Any]
) -> None:
    name = f"wirebook.node.{path.stem}"
    shown = documentation[name]
    assert {"check_mode", "diff_mode"} <= set(shown["doc"]["attributes"])
    (example, *_) = yaml.safe_load(shown["examples"])
    assert name in example
