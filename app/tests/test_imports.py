"""Imports go one way, as the table of docs/architecture.md has it: of Python, and of Cython's cimport."""

import re
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

APP = Path(__file__).parents[1]
SOURCES = APP / "src"
PAGE = APP.parent / "docs" / "architecture.md"
IMPORT = re.compile(
    r"^\s*(?:from (wirebook[\w.]*) c?import (\([^)]*\)|[^\n#]*)|c?import (wirebook[\w.]*))", re.MULTILINE
)
FILES = [path for path in SOURCES.rglob("*") if path.suffix in {".py", ".pyi", ".pyx", ".pxd"}]
MODULES = {".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__") for path in FILES}


def imports() -> Iterator[tuple[str, str]]:
    """(module, module that it imports)."""
    for path in FILES:
        module = ".".join(path.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")
        for package, names, whole in IMPORT.findall(path.read_text()):
            for name in re.findall(r"(\w+)(?: as \w+)?", names) if package else [""]:
                one = f"{package}.{name}"
                yield module, one if one in MODULES else package or whole


def room(module: str) -> str:
    """The name of the table's row that a module belongs to."""
    parts = module.split(".")
    return ".".join(parts[1:3] if parts[1:2] == ["core"] else parts[1:2]) or "wirebook"


def table() -> dict[str, set[str]]:
    """What each row may import."""
    rows: dict[str, set[str]] = {}
    lines = PAGE.read_text().partition("| may import |\n|---|---|---|\n")[2].partition("\n\n")[0].splitlines()
    for line in lines:
        names, _, allowed = line.strip("| ").split(" | ")
        listed = set(rows) if allowed == "everything above" else set(re.findall(r"`([^`]+)`", allowed))
        rows |= dict.fromkeys(re.findall(r"`([^`]+)`", names), listed)
    return rows


def test_every_import_is_in_the_table() -> None:
    rows = table()
    assert {room(module) for module in MODULES} == set(rows)
    for module, imported in imports():
        one, other = room(module), room(imported)
        whole = other.startswith("core.") and not one.startswith("core")  # `core` is all its rooms to who is outside
        allowed = one == other or other in rows[one] or (whole and "core" in rows[one])
        assert allowed, f"{module} imports {imported}, and docs/architecture.md doesn't let {one} import {other}"


def test_no_module_imports_itself_by_others() -> None:
    graph: dict[str, set[str]] = {}
    for module, imported in imports():
        if module != imported:
            graph.setdefault(module, set()).add(imported)
    TopologicalSorter(graph).prepare()  # raises CycleError, which names them
