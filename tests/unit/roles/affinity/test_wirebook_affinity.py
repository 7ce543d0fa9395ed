"""Which interrupts are moved, on a tree of files that stands for /proc/irq."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from ansible_collections.wirebook.node.tests.unit.support.load import load_program
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES

ROLE = ROLES / "affinity"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the program, looking at a host with an interrupt on CPU 2, one on CPU 1, and one that nobody handles."""
    module = load_program(ROLE / "files/wirebook-affinity")
    monkeypatch.setattr(module, "IRQ", tmp_path)
    monkeypatch.setattr(module, "REFUSED", tmp_path / "refused.json")
    (tmp_path / "default_smp_affinity").write_text("0000000f\n")
    for number, cpus, name in (("24", "2-3", "enp0s4-rx-0"), ("25", "1", "ahci"), ("2", "0-3", "")):
        (tmp_path / number / name).mkdir(parents=True)
        (tmp_path / number / "smp_affinity_list").write_text(f"{cpus}\n")
    return module


def test_what_is_astray_is_moved_and_told(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.move_interrupts({0, 1}, {}, check=False) == []
    assert capsys.readouterr().out == "new interrupts: 0000000f -> 3\ninterrupt 24: 2,3 -> 0,1\n"
    assert (tmp_path / "default_smp_affinity").read_text() == "00000003"
    assert (tmp_path / "24/smp_affinity_list").read_text() == "0,1"
    assert (tmp_path / "2/smp_affinity_list").read_text() == "0-3\n"
    assert program.move_interrupts({0, 1}, {}, check=False) == []
    assert capsys.readouterr().out == ""


def test_a_dry_run_tells_and_moves_nothing(
    program: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.move_interrupts({0, 1}, {}, check=True)
    assert "interrupt 24: 2,3 -> 0,1" in capsys.readouterr().out
    assert (tmp_path / "24/smp_affinity_list").read_text() == "2-3\n"
    assert (tmp_path / "default_smp_affinity").read_text() == "0000000f\n"


def test_masks_of_many_cpus_are_written_in_words(program: ModuleType, tmp_path: Path) -> None:
    program.move_interrupts({0, 40}, {}, check=False)
    assert (tmp_path / "default_smp_affinity").read_text() == "00000100,00000001"


def test_what_the_kernel_refuses_is_listed_and_not_told_by_a_dry_run(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write = Path.write_text

    def refuse(path: Path, text: str) -> int:
        if path.parent.name == "24":
            raise OSError(5, "Input/output error")
        return write(path, text)

    monkeypatch.setattr(Path, "write_text", refuse)
    assert program.move_interrupts({0, 1}, {}, check=False) == [24]
    write(tmp_path / "refused.json", "[24]")
    capsys.readouterr()
    program.move_interrupts({0, 1}, {}, check=True)
    assert capsys.readouterr().out == ""


def test_lists_of_cpus(program: ModuleType) -> None:
    assert program.cpus_of("0-1,4\n") == {0, 1, 4}
    assert program.cpus_of("") == set()
    assert program.list_of({4, 0, 1}) == "0,1,4"
