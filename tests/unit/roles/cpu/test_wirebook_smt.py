"""Which CPUs are taken offline, on a tree of files that stands for /sys/devices/system/cpu."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.wirebook.node.tests.unit.support.load import load_program
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES

ROLE = ROLES / "cpu"
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the program, looking at a host of four cores with two threads each: 0 and 4, 1 and 5, …"""
    module = load_program(ROLE / "files/wirebook-smt")
    monkeypatch.setattr(module, "CPUS", tmp_path)
    for cpu in range(8):
        (tmp_path / f"cpu{cpu}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{cpu}/topology/thread_siblings_list").write_text(f"{cpu % 4},{cpu % 4 + 4}\n")
        (tmp_path / f"cpu{cpu}/online").write_text("1\n")
    return module


def run(program: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["wirebook-smt", *arguments])
    return int(program.main())


def offline(tree: Path) -> list[str]:
    return sorted(path.parent.name for path in tree.glob("cpu*/online") if path.read_text() == "0")


def test_siblings_that_are_not_isolated_go_offline(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert run(program, monkeypatch, "offline", "1-3,7") == 0
    assert capsys.readouterr().out == "CPU 5: online -> offline\nCPU 6: online -> offline\n"
    assert offline(tmp_path) == ["cpu5", "cpu6"]


def test_a_dry_run_tells_and_takes_none(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert run(program, monkeypatch, "offline", "2", "--check") == 0
    assert capsys.readouterr().out == "CPU 6: online -> offline\n"
    assert offline(tmp_path) == []


def test_a_cpu_whose_sibling_is_offline_has_none(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    (tmp_path / "cpu2/topology/thread_siblings_list").write_text("2\n")
    assert run(program, monkeypatch, "offline", "2") == 0
    assert capsys.readouterr().out == ""


def test_what_the_kernel_refuses_is_told_and_the_others_go(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    write = Path.write_text

    def refuse(path: Path, text: str) -> int:
        if path.parent.name == "cpu5":
            raise OSError(16, "Device or resource busy")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert run(program, monkeypatch, "offline", "1-2") == 1
    assert capsys.readouterr().err == "wirebook-smt: CPU 5 can't be taken offline (Device or resource busy).\n"
    assert offline(tmp_path) == ["cpu6"]


def test_usage(program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    assert run(program, monkeypatch, "online") == 2
    assert capsys.readouterr().err.startswith("usage: ")
