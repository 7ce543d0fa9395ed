"""The module ledger: what it notes, and that it gives back what was there."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.run_module import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the ledger is root's")


class Host:
    """A folder in which roles change things."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root / "lib/ledger"

    def note(self, *, role: str = "r", check: bool = False, **lists: list[str]) -> dict[str, Any]:
        arguments = {"role": role, "folder": str(self.folder), "_ansible_check_mode": check} | lists
        return run_module("ledger", arguments)

    def undo(self, **options: Any) -> dict[str, Any]:
        arguments = {"state": "undone", "folder": str(self.folder)} | options
        return run_module("ledger", arguments)

    def path(self, name: str) -> str:
        return str(self.root / name)

    def picture(self) -> dict[str, tuple[int, int, int, bytes]]:
        """Return everything below the root but the ledger."""
        return {
            str(path): (
                (status := path.lstat()).st_mode, status.st_uid, status.st_gid,
                path.read_bytes() if stat.S_ISREG(status.st_mode) else b"",
            )
            for path in self.root.rglob("*") if self.folder.parent not in (path, *path.parents)
        }  # fmt: skip


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    # The machine's own service manager has no part in this.
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "systemctl").write_text("#!/bin/sh\nexit 0\n")
    (tools / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    (tmp_path / "host").mkdir()
    return Host(tmp_path / "host")


def test_everything_is_as_before_and_the_ledger_is_gone(host: Host) -> None:
    (host.root / "own.conf").write_text("admin\n")
    (host.root / "own.conf").chmod(0o640)
    os.chown(host.root / "own.conf", 1, 2)
    (host.root / "link").symlink_to("own.conf")
    before = host.picture()
    files = [host.path(name) for name in ("own.conf", "link", "new/deep/file")]
    host.note(files=files, trees=[host.path("opt")])
    for name in ("own.conf", "new/deep/file", "opt/a/b"):
        (host.root / name).parent.mkdir(parents=True, exist_ok=True)
        (host.root / name).write_text("ours\n")
    (host.root / "link").unlink()
    (host.root / "link").write_text("ours\n")
    result = host.undo()
    assert host.picture() == before
    assert result["changed"]
    assert result["kept"] == []
    assert not host.folder.exists()
    assert not host.folder.parent.exists()
    assert host.undo() == {"changed": False, "undone": [], "kept": [], "invocation": result["invocation"]}


def test_the_first_note_counts(host: Host) -> None:
    own = host.root / "own.conf"
    own.write_text("admin\n")
    assert host.note(files=[str(own)])["changed"]
    own.write_text("ours\n")
    assert not host.note(files=[str(own)])["changed"]
    host.undo()
    assert own.read_text() == "admin\n"


def test_check_mode_notes_nothing_and_says_what_it_would(host: Host) -> None:
    result = host.note(files=[host.path("x")], check=True)
    assert result["noted"] == [f"file {host.path('x')}"]
    assert list(host.root.iterdir()) == []


def test_what_is_in_a_tree_needs_no_entry(host: Host) -> None:
    host.note(trees=[host.path("opt")])
    assert not host.note(files=[host.path("opt/releases/1/code")])["changed"]


def test_files_in_a_tree_that_was_there_are_noted_one_by_one(host: Host) -> None:
    (host.root / "opt").mkdir()
    (host.root / "opt/theirs").write_text("")
    host.note(trees=[host.path("opt")])
    assert host.note(files=[host.path("opt/ours")])["changed"]
    (host.root / "opt/ours").write_text("")
    host.undo()
    assert [path.name for path in (host.root / "opt").iterdir()] == ["theirs"]


def test_a_folder_with_others_files_stays_and_is_named(host: Host) -> None:
    host.note(files=[host.path("new/ours")])
    (host.root / "new").mkdir()
    (host.root / "new/ours").write_text("")
    (host.root / "new/theirs").write_text("")
    result = host.undo()
    assert [path.name for path in (host.root / "new").iterdir()] == ["theirs"]
    assert result["kept"] == [f"{host.path('new')}: it holds theirs, which wirebook didn't write"]


def test_recorded_data_is_kept_for_root_and_named(host: Host) -> None:
    host.note(data=[host.path("records"), host.path("empty")])
    for name in ("records", "empty"):
        (host.root / name).mkdir()
    (host.root / "records/1.zst").write_bytes(b"x" * 200_000)
    os.chown(host.root / "records/1.zst", 1234, 1234)
    result = host.undo()
    assert (host.root / "records/1.zst").stat().st_uid == 0
    assert not (host.root / "empty").exists()
    assert result["kept"] == [
        f"{host.path('records')}: recorded data, 0.2 MB, root's now; delete it yourself if nobody needs it"
    ]


def test_a_role_that_is_spared_keeps_its_files_and_the_ledger(host: Host) -> None:
    ours, other = host.root / "ours", host.root / "boot"
    host.note(files=[str(ours)])
    host.note(files=[str(other)], role="boot")
    ours.write_text("")
    other.write_text("")
    host.undo(spare=["boot"])
    assert not ours.exists()
    assert other.exists()
    host.undo()
    assert not other.exists()
    assert not host.folder.exists()


def test_a_folder_where_a_file_should_be_is_a_sentence(host: Host) -> None:
    result = host.note(files=[str(host.root)])
    assert result["msg"] == f"{host.root} is neither a file nor a link: take it away, then deploy again."


def test_users_groups_packages_and_units_that_are_there_are_noted_as_they_are(host: Host) -> None:
    assert host.note(users=["root"], groups=["root"], values=["/proc/sys/kernel/ostype"])["changed"]
    assert host.undo()["undone"] == []


def test_a_template_unit_has_no_state_to_note(host: Host) -> None:
    assert host.note(units=["a@.service", "a.service"])["noted"] == ["unit a.service"]


class TestWhatAnEarlierReleaseNoted:
    """It kept the ledger in a folder `journal` beside."""

    @pytest.fixture
    def former(self, host: Host) -> Path:
        Path(host.path("a")).write_text("before")
        host.note(files=[host.path("a")])
        Path(host.path("a")).write_text("changed")
        return host.folder.rename(host.folder.with_name("journal"))

    def test_is_taken_over_once_and_given_back(self, host: Host, former: Path) -> None:
        assert host.note(files=[host.path("a")]) | {"invocation": None} == {
            "changed": True, "noted": [], "invocation": None,
        }  # fmt: skip
        assert not former.exists()
        assert not host.note(files=[host.path("a")])["changed"]
        host.undo()
        assert Path(host.path("a")).read_text() == "before"

    def test_is_only_read_in_check_mode(self, host: Host, former: Path) -> None:
        assert host.note(files=[host.path("a")], check=True)["changed"]
        assert host.undo(_ansible_check_mode=True)["undone"] == [f"file {host.path('a')}"]
        assert former.is_dir()
        assert not host.folder.exists()

    def test_is_given_back_without_a_deploy_between(self, host: Host, former: Path) -> None:
        assert run_module("ledger_info", {"folder": str(host.folder)})["exists"]
        host.undo()
        assert Path(host.path("a")).read_text() == "before"
        assert not former.exists()
        assert not run_module("ledger_info", {"folder": str(host.folder)})["exists"]

    def test_wins_over_later_notes(self, host: Host, former: Path) -> None:
        """Such as an interrupted take-over, or an older release that ran once more, leaves."""
        aside = former.rename(former.with_name("aside"))
        host.note(files=[host.path("a"), host.path("b")])
        Path(host.path("b")).write_text("made")
        aside.rename(former)
        host.undo()
        assert Path(host.path("a")).read_text() == "before"
        assert not Path(host.path("b")).exists()

    def test_doesnt_win_over_earlier_ones(self, host: Host, former: Path) -> None:
        (entry,) = former.iterdir()
        later = json.loads(entry.read_text()) | {"noted": 4e9, "before": None}
        host.folder.mkdir()
        entry.rename(host.folder / entry.name)
        entry.write_text(json.dumps(later))
        host.undo()
        assert Path(host.path("a")).read_text() == "before"
