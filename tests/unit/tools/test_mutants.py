"""tools/mutants in a repository of a few lines: what is noticed, what survives, and what is wrong with the list."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parents[3] / "tools/mutants"

CODE = """\
def total(numbers):
    result = 0
    for number in numbers:
        result += number
    return result


def hang():
    return 1
"""
TEST = """\
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import code_under_test as code


def test_total():
    assert code.total([1, 2]) == 3


def test_nothing():
    code.total([])
"""
ENTRY = """\
[[mutant]]
name = "{name}"
says = "what goes wrong"
file = "code_under_test.py"
find = "{find}"
replace = "{replace}"
{rest}
"""


def entry(name: str, find: str = "result += number", replace: str = "result -= number", rest: str = "") -> str:
    return ENTRY.format(name=name, find=find, replace=replace, rest=rest or 'tests = ["test_code.py"]')


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A repository with the tool, a program, its tests, and no mutants yet."""
    for folder in ("tools", "tests/mutants"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(TOOL, tmp_path / "tools/mutants")
    (tmp_path / "code_under_test.py").write_text(CODE)
    (tmp_path / "test_code.py").write_text(TEST)
    (tmp_path / "Makefile").write_text("collection:\n")
    (tmp_path / ".gitignore").write_text(".cache/\n__pycache__/\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def run(home: Path, *entries: str, options: tuple[str, ...] = ()) -> tuple[int, str]:
    """Exit status and all that was said."""
    (home / "tests/mutants/area.toml").write_text("\n".join(entries))
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "GIT"))}
    done = subprocess.run(
        [sys.executable, home / "tools/mutants", *options], cwd=home, env=environment, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_fault_that_a_test_notices_is_killed_and_the_checkout_is_left_alone(home: Path) -> None:
    code, said = run(home, entry("subtracts"))
    assert (code, said.splitlines()[-1][:44]) == (0, "1 killed, 0 survived, 0 that no test can see")
    assert "killed    area/subtracts  by test_code.py::test_total" in said
    assert (home / "code_under_test.py").read_text() == CODE


def test_a_fault_that_no_test_notices_survives(home: Path) -> None:
    blind = 'tests = ["test_code.py::test_nothing"]'
    code, said = run(home, entry("noticed"), entry("unnoticed", rest=blind))
    assert code == 1
    assert "SURVIVED  area/unnoticed  code_under_test.py:4" in said
    assert "1 killed, 1 survived" in said


def test_the_copy_is_mended_after_each_fault(home: Path) -> None:
    blind = 'tests = ["test_code.py::test_total"]'
    harmless = entry("harmless", "return 1", "return 2", rest=blind)
    code, said = run(home, entry("first"), harmless, options=("--jobs", "1"))
    assert code == 1
    assert "SURVIVED  area/harmless" in said


def test_what_no_test_can_see_is_counted_apart(home: Path) -> None:
    code, said = run(home, entry("subtracts"), entry("same", rest='equivalent = "adds all the same"'))
    assert code == 0
    assert "1 killed, 0 survived, 1 that no test can see" in said
    code, said = run(home, entry("same", rest='equivalent = "adds all the same"'), options=("--list",))
    assert "can't be seen: adds all the same" in said


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (entry("gone", find="return result + 1"), "its text is 0 times in code_under_test.py, not once"),
        (entry("twice", find="result"), "its text is 3 times in code_under_test.py, not once"),
        (entry("moved").replace("code_under_test.py", "old.py", 1), "there is no old.py any more (code_under_test.py"),
        (entry("tests", rest='tests = ["nothing.py"]'), "there is no nothing.py; name the tests"),
    ],
)
def test_an_entry_that_fits_no_more_is_an_error_that_says_so(home: Path, wrong: str, words: str) -> None:
    for options in ((), ("--list",)):
        code, said = run(home, entry("right"), wrong, options=options)
        assert code == 2
        assert words in said
        assert "killed" not in said


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("[[mutant]\n", "is not valid TOML"),
        (entry("x", rest='tests = ["a"]\ntest = "b"'), "test is no key"),
        (entry("x", rest='tests = "test_code.py"'), "tests must be a list"),
        (entry("x", rest='equivalent = ""'), "say either which tests"),
        (entry("x", rest='tests = ["test_code.py"]\nequivalent = "no"'), "say either which tests"),
        (entry("x").replace('says = "what goes wrong"', 'says = ""'), "says is missing"),
        (entry("x").replace('says = "what goes wrong"', "says = 7"), "must be text"),
        (entry("x") + entry("x"), "area/x is there twice"),
    ],
)
def test_a_misspelled_entry_is_an_error(home: Path, wrong: str, words: str) -> None:
    code, said = run(home, wrong)
    assert code == 2
    assert words in said
    assert "Traceback" not in said


def test_tests_that_fail_without_a_fault_can_tell_nothing(home: Path) -> None:
    (home / "test_code.py").write_text(TEST.replace("== 3", "== 4"))
    code, said = run(home, entry("subtracts"))
    assert code == 2
    assert "fail without any fault" in said
    assert "killed    area" not in said


@pytest.mark.parametrize(
    ("replace", "tests"), [("result += (", "test_code.py"), ("result -= number", "test_code.py::test_absent")]
)
def test_tests_that_can_not_run_are_no_kill(home: Path, replace: str, tests: str) -> None:
    code, said = run(home, entry("broken", replace=replace, rest=f'tests = ["{tests}"]'))
    assert code == 2
    assert "0 killed" in said


def test_some_can_be_chosen_by_their_names_and_files(home: Path) -> None:
    entries = (entry("first"), entry("second", "return 1", "return 2"))
    for words, wanted in (("first", 1), ("area/*", 2), ("sec nothing", 1), ("code_under_test", 2)):
        code, said = run(home, *entries, options=("--list", "--only", words))
        assert (code, said.count("what goes wrong")) == (0, wanted)
    code, said = run(home, *entries, options=("--only", "nothing"))
    assert (code, said) == (2, "no entry of tests/mutants has nothing\n")
