"""The order that the market cache's seqlock needs is promised to the compiler, for any machine.

On x86-64 a dropped fence is seen by no run: the CPU keeps the order by itself, and today's compilers happen to. So this
looks at what a compiler is told, in LLVM's words, between the record's copy and the sequence's. They are the order of
seqlocks in H.-J. Boehm, "Can seqlocks get along with programming language memory models?" (MSPC 2012).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[3] / "src"
ORDERED = re.compile(
    r"(fence \w+)|(load|store) atomic (i\d+)[^\n]* (\w+), align|@(llvm\.mem(?:cpy|set))|^  (store) (?!atomic)",
    re.MULTILINE,
)
"""Fences, atomic accesses with their width and order, and what is copied in between."""

METHOD = re.compile(r"^define [^\n]*@__pyx_f_\w+\d(?:MarketWriter|MarketView)_(\w+)\((.*?)^}", re.MULTILINE | re.DOTALL)
"""A method, by the name that Cython gives it."""


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """LLVM's assembly of each method of the writer and of the view, by the method's name."""
    clang, cython = shutil.which("clang"), Path(sys.executable).with_name("cython")
    if clang is None or not cython.exists():
        pytest.skip("clang and cython are needed to look at what a compiler is told")
    home = tmp_path_factory.mktemp("fences")
    found: dict[str, str] = {}
    for module in ("writer", "view"):
        made = home / module
        source = f"wirebook/core/market/{module}.pyx"
        subprocess.run([cython, "-3", "-I", ".", source, "-o", made.with_suffix(".c")], cwd=SOURCE, check=True)
        options = ["-O1", "-S", "-emit-llvm", "-w", "-march=x86-64-v3", "-I", sysconfig.get_paths()["include"]]
        output = ["-o", made.with_suffix(".ll"), made.with_suffix(".c")]
        subprocess.run([clang, *options, "-I", SOURCE / "wirebook/core", *output], check=True)
        found |= dict(METHOD.findall(made.with_suffix(".ll").read_text()))
    return found


def order(body: str) -> list[str]:
    """What happens in it, one after another; a run of plain stores and copies is `bytes`."""
    told: list[str] = []
    for fence, access, width, how, copied, stored in ORDERED.findall(body):
        what = "bytes" if copied or stored else fence or f"{access} {width} {how}"
        if what != "bytes" or told[-1:] != ["bytes"]:
            told.append(what)
    return told


@pytest.mark.parametrize("method", ["publish", "define", "reset"])
def test_a_writer_marks_a_record_before_it_changes_it_and_after(functions: dict[str, str], method: str) -> None:
    """Odd; a fence that keeps every later write behind it; the record; even, behind every earlier write."""
    told = order(functions[method])
    assert told == ["store i32 monotonic", "fence release", "bytes", "store i32 release"]


def test_a_reader_looks_at_the_sequence_before_it_copies_and_after(functions: dict[str, str]) -> None:
    """Before every read of the record; a fence that keeps those before it; and once more."""
    assert order(functions["read"])[:4] == ["load i32 acquire", "bytes", "fence acquire", "load i32 monotonic"]


def test_a_heartbeat_is_written_behind_all_that_was_published(functions: dict[str, str]) -> None:
    assert "store i64 release" in order(functions["beat"])
    assert "load i64 acquire" in order(functions["is_alive"])
