"""The public face is typed: what is right passes mypy --strict, and what is wrong is found."""

import ctypes
import inspect
import json
import re
import subprocess
import sys
from enum import IntEnum
from pathlib import Path

import pytest

import wirebook

HERE = Path(__file__).parent
SOURCES = HERE.parents[1] / "src"


def checked(name: str) -> list[tuple[int, str]]:
    """Line and code of what mypy has to say about the file beside this one."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-error-codes", str(HERE / name)]
    said = subprocess.run(command, cwd=HERE.parents[1], capture_output=True, text=True, check=False)
    assert not said.stderr
    return [
        (int(line), code) for line, code in re.findall(r":(\d+): error: .*\[([\w-]+)\]$", said.stdout, re.MULTILINE)
    ]


def checked_by_pyright(name: str) -> list[tuple[int, str]]:
    """The same of pyright, from its fork that needs nothing but what PyPI has."""
    command = [sys.executable, "-m", "basedpyright", "--level", "error", "--outputjson", "--project", str(HERE), name]
    said = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    found = json.loads(said.stdout)["generalDiagnostics"]
    return [(each["range"]["start"]["line"] + 1, each["rule"]) for each in found if each["file"].endswith(name)]


def settable(descriptor: object) -> bool:
    """Whether an attribute of a compiled class has a setter: CPython's PyGetSetDescrObject and PyGetSetDef say so."""
    if isinstance(descriptor, property):
        return descriptor.fset is not None
    assert inspect.isgetsetdescriptor(descriptor)
    word = ctypes.sizeof(ctypes.c_void_p)
    definition = ctypes.c_void_p.from_address(id(descriptor) + 5 * word).value
    assert definition is not None
    return ctypes.c_void_p.from_address(definition + 2 * word).value is not None


def test_what_a_strategy_writes_passes() -> None:
    assert checked("strategy.py") == []


    assert checked_by_pyright("strategy.py") == []


def test_each_mistake_is_found() -> None:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    marked = [(number, line.partition("# wrong: ")[2]) for number, line in enumerate(lines, 1) if "# wrong: " in line]
    assert checked("mistakes.py") == marked
    # Its names for them are others.
    assert {line for line, _ in checked_by_pyright("mistakes.py")} == {line for line, _ in marked}


@pytest.mark.parametrize("name", wirebook.__all__)
def test_the_face_has_what_it_says(name: str) -> None:
    assert getattr(wirebook, name)


@pytest.mark.parametrize("stub", sorted(SOURCES.rglob("*.pyi")), ids=lambda path: path.stem)
def test_stubs_tell_the_truth(stub: Path) -> None:
    """Every enum is one as its stub says, member by member; what the stub has as a property can't be set."""
    if stub.stem == "build_info":
        return  # made by the build, and plain Python
    module = __import__(".".join(stub.relative_to(SOURCES).with_suffix("").parts), fromlist=["x"])
    text = stub.read_text()
    for name, bases, body in re.findall(
        r"^class (\w+)(?:\(([\w., ]+)\))?:((?:\n    .*|\n(?=\n|    ))*)", text, re.MULTILINE
    ):
        there = getattr(module, name, None)
        if bases.endswith("Protocol"):
            continue
        assert inspect.isclass(there), f"{stub.name} has a class {name}, {module.__name__} has none"
        if bases.endswith(("IntEnum", "Enum", "IntFlag")):
            assert bases.endswith("IntEnum")
            assert issubclass(there, IntEnum)
            told = {member: int(value) for member, value in re.findall(r"    (\w+) = (\d+)", body)}
            assert told == {member.name: member.value for member in there}
            continue
        for attribute in re.findall(r"    def ((?!__buffer__)\w+)\(", body):
            assert hasattr(there, attribute), f"{name}.{attribute} is in {stub.name} only"
        for attribute in re.findall(r"@property\n    def (\w+)\(", body):
            assert inspect.isdatadescriptor(vars(there)[attribute]), f"{name}.{attribute} is no property"
            assert not settable(vars(there)[attribute]), f"{name}.{attribute} can be set, and {stub.name} says not"
