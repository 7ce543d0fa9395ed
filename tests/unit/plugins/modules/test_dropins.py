"""The module dropins, run as Ansible runs it: with its arguments as JSON on standard input."""

from __future__ import annotations

import errno
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.dropins import values
from ansible_collections.wirebook.node.plugins.module_utils.dropins.files import File
from ansible_collections.wirebook.node.plugins.module_utils.ledger.store import Ledger
from ansible_collections.wirebook.node.plugins.modules import dropins
from ansible_collections.wirebook.node.tests.unit.support.run_module import run_module

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the files belong to root, so only root can write them")


class Host:
    """Where the role `sysctl` writes its files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fragment = root / "desired.d/sysctl.json"

    def write(
        self,
        files: dict[str, str],
        *,
        check: bool = False,
        sysctls: dict[str, Any] | None = None,
        values: dict[str, Any] | None = None,
        within: Sequence[str] = (),
        knobs: Sequence[dict[str, Any]] = ({"name": "k"},),
        **options: Any,
    ) -> dict[str, Any]:
        """Run the module for these files, by name."""
        arguments = {
            "role": "sysctl",
            "desired": str(self.root / "desired.d"),
            "ledger": str(self.root / "ledger"),
            "files": [{"path": str(self.root / name), "content": text, **options} for name, text in files.items()],
            "knobs": list(knobs),
            "sysctls": sysctls or {},
            "values": {str(self.root / name): value for name, value in (values or {}).items()},
            "_ansible_check_mode": check,
            "_ansible_diff": True,
        }
        return run_module("dropins", arguments, within)

    def ledger(self) -> list[str]:
        """Return the ledger's entries."""
        return [path.read_text() for path in (self.root / "ledger").rglob("*.json")]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_files_and_fragment_are_written_once(host: Host) -> None:
    first = host.write({"a/x.conf": "one\n"}, mode="0640")
    assert first["changed_paths"] == [str(host.root / "a/x.conf"), str(host.fragment)]
    assert (host.root / "a/x.conf").read_text() == "one\n"
    assert (host.root / "a/x.conf").stat().st_mode & 0o7777 == 0o640
    state = json.loads(host.fragment.read_text())
    assert state == {"format": 1, "role": "sysctl", "files": [str(host.root / "a/x.conf")], "knobs": [{"name": "k"}]}
    assert not host.write({"a/x.conf": "one\n"}, mode="0640")["changed"]


def test_a_changed_mode_or_text_is_mended(host: Host) -> None:
    host.write({"x.conf": "one\n"})
    (host.root / "x.conf").chmod(0o600)
    assert host.write({"x.conf": "one\n"})["changed_paths"] == [str(host.root / "x.conf")]
    assert (host.root / "x.conf").stat().st_mode & 0o7777 == 0o644
    (host.root / "x.conf").write_bytes(b"\xff")
    assert host.write({"x.conf": "one\n"})["changed_paths"] == [str(host.root / "x.conf")]
    assert (host.root / "x.conf").read_text() == "one\n"


@pytest.mark.parametrize(("owner", "group"), [(1, 0), (0, 1)])
def test_a_file_that_was_given_to_another_is_mended(host: Host, owner: int, group: int) -> None:
    host.write({"x.conf": "one\n"})
    os.chown(host.root / "x.conf", owner, group)
    assert host.write({"x.conf": "one\n"})["changed_paths"] == [str(host.root / "x.conf")]
    status = (host.root / "x.conf").stat()
    assert (status.st_uid, status.st_gid) == (0, 0)


def test_a_file_that_is_no_longer_listed_is_removed(host: Host) -> None:
    host.write({"x.conf": "one\n", "y.conf": "two\n"})
    result = host.write({"x.conf": "one\n"})
    assert result["changed_paths"] == [str(host.root / "y.conf"), str(host.fragment)]
    assert not (host.root / "y.conf").exists()


def test_a_file_that_another_role_lists_by_now_stays(host: Host) -> None:
    host.write({"x.conf": "one\n"})
    (host.root / "desired.d/programs.json").write_text(json.dumps({"files": [str(host.root / "x.conf")]}))
    assert host.write({})["changed_paths"] == [str(host.fragment)]
    assert (host.root / "x.conf").read_text() == "one\n"
    # Neither lists it: it goes.
    host.write({"x.conf": "one\n"})
    (host.root / "desired.d/programs.json").write_text(json.dumps({"files": []}))
    host.write({})
    assert not (host.root / "x.conf").exists()


def test_a_folder_goes_with_its_last_file_if_wirebook_made_it(host: Host) -> None:
    (host.root / "before").mkdir()
    host.write({"made/below/x.conf": "one\n", "made/y.conf": "two\n", "before/z.conf": "three\n"})
    host.write({"made/y.conf": "two\n"})
    assert not (host.root / "made/below").exists()
    assert (host.root / "made/y.conf").exists()
    assert (host.root / "before").is_dir()
    (host.root / "made/not-ours").write_text("")
    host.write({})
    assert list((host.root / "made").iterdir()) == [host.root / "made/not-ours"]


def test_check_mode_writes_nothing_and_shows_the_difference(host: Host) -> None:
    host.write({"x.conf": "one\n", "y.conf": "two\n"})
    before = {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()}
    result = host.write({"x.conf": "three\n", "z.conf": "four\n"}, check=True)
    assert result["changed"]
    assert {path: path.read_bytes() for path in host.root.rglob("*") if path.is_file()} == before
    shown = {Path(diff["after_header"]).name: (diff["before"], diff["after"]) for diff in result["diff"]}
    assert shown["x.conf"] == ("one\n", "three\n")
    assert shown["y.conf"] == ("two\n", "")
    assert shown["z.conf"] == ("", "four\n")


def test_no_other_file_is_left_behind(host: Host) -> None:
    host.write({"x.conf": "one\n"})
    host.write({"x.conf": "two\n"})
    there = {path.relative_to(host.root).parts[0] for path in host.root.rglob("*")}
    assert there == {"desired.d", "ledger", "x.conf"}
    assert [path.name for path in (host.root / "desired.d").iterdir()] == ["sysctl.json"]


def test_a_damaged_fragment_is_mended(host: Host) -> None:
    host.write({"x.conf": "one\n"})
    host.fragment.write_text("{")
    assert host.write({"x.conf": "one\n"})["changed_paths"] == [str(host.fragment)]


def test_an_unknown_group_is_a_sentence(host: Host) -> None:
    result = host.write({"x.conf": "one\n"}, group="nobody-has-this")
    assert result["failed"]
    assert result["msg"].startswith("The files of role sysctl need a user or group that isn't there")
    assert not (host.root / "x.conf").exists()


def test_a_sysctl_that_the_kernel_lacks_is_a_sentence(host: Host) -> None:
    result = host.write({"x.conf": "one\n"}, sysctls={"net.core.no_such_thing": 1})
    assert result["failed"]
    assert result["msg"] == "The running kernel has no sysctl net.core.no_such_thing: boot one of Debian's own kernels."
    assert not (host.root / "x.conf").exists()


def test_a_sysctl_that_is_right_is_left_alone(host: Host) -> None:
    now = " ".join(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    assert host.write({}, sysctls={"net.ipv4.ip_local_port_range": now})["changed_sysctls"] == []


def test_a_unit_is_disabled_before_its_file_goes(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a systemctl that notes what it is asked and which units are there: the machine's own isn't the test's."""
    units, programs, asked = host.root / "units", host.root / "bin", host.root / "asked"
    units.mkdir()
    programs.mkdir()
    (programs / "systemctl").write_text(f'#!/bin/sh\necho "$*: $(ls {units} | xargs)" >>{asked}\n')
    (programs / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    within = ("unshare", "--mount", "sh", "-c", f'mount --bind {units} /etc/systemd/system && exec "$@"', "sh")
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no mount namespaces")
    files = {f"/etc/systemd/system/{name}": "[Service]\n" for name in ("wirebook-a.service", "wirebook-b@.service")}
    host.write(files, within=within)
    asked.unlink(missing_ok=True)
    host.write({}, check=True, within=within)
    assert not asked.exists()
    host.write({}, within=within)
    (line,) = asked.read_text().splitlines()
    assert line == "disable -- wirebook-a.service: wirebook-a.service wirebook-b@.service"
    assert not list(units.iterdir())


def test_a_sysctl_is_set_in_the_running_kernel(host: Host) -> None:
    """In a network namespace of its own, since the test must not change the machine."""
    within = ("unshare", "--net")
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine makes no network namespaces")
    key, other = "net.ipv4.ip_default_ttl", 63
    assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() != f"{other}\n"
    assert host.write({}, check=True, sysctls={key: other})["changed_sysctls"] == [key]
    # Its read-back fails the module where the value isn't there.
    assert host.write({}, sysctls={key: other}, within=within)["changed_sysctls"] == [key]
    (entry,) = (host.root / "ledger").glob("value:*")
    assert json.loads(entry.read_text())["before"] == "64"


def test_a_sysctl_that_the_kernel_reads_otherwise_is_a_sentence(host: Host) -> None:
    """It takes hexadecimal, and gives back the same number as a decimal one: nothing changes."""
    now = int(Path("/proc/sys/net/ipv4/ip_default_ttl").read_text())
    result = host.write({}, sysctls={"net.ipv4.ip_default_ttl": hex(now)})
    assert result["failed"]
    assert result["msg"] == (
        f"The kernel made net.ipv4.ip_default_ttl = {now} of {hex(now)}: choose another value."
    )  # fmt: skip


def test_a_value_that_the_kernel_refuses_is_a_sentence(host: Host) -> None:
    """A time to live is at most 255."""
    (host.root / "ttl").symlink_to("/proc/sys/net/ipv4/ip_default_ttl")
    result = host.write({}, values={"ttl": "9999"})
    assert result["failed"]
    assert result["msg"] == (
        f"The kernel refuses 9999 for {host.root / 'ttl'} (Invalid argument): choose another."
    )  # fmt: skip
    result = host.write({}, sysctls={"net.ipv4.ip_default_ttl": "9999"})
    assert result["msg"] == (
        "The kernel refuses net.ipv4.ip_default_ttl = 9999 (Invalid argument): choose another value."
    )


def test_a_value_that_is_another_one_after_it_was_written_is_a_sentence(host: Host) -> None:
    (host.root / "value").symlink_to("/dev/null")  # takes everything, keeps nothing
    result = host.write({}, values={"value": "1"})
    assert result["failed"]
    assert result["msg"] == f"The kernel made nothing of 1 in {host.root / 'value'}: choose another value."


@pytest.mark.parametrize(
    ("path", "noted"),
    [
        ("/etc/systemd/system/x.service", ["file", "unit"]),
        ("/etc/systemd/system/x.timer", ["file", "unit"]),
        ("/etc/systemd/system/x.mount", ["file", "unit"]),
        ("/etc/systemd/system/x.socket", ["file", "unit"]),
        ("/etc/systemd/system/x.target", ["file", "unit"]),
        ("/etc/systemd/system/x.path", ["file", "unit"]),
        ("/etc/systemd/system/x@.service", ["file"]),
        ("/etc/systemd/system/x.conf", ["file"]),
        ("/etc/x.service", ["file"]),
    ],
)
def test_a_unit_is_noted_with_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, noted: list[str]
) -> None:
    (tmp_path / "systemctl").write_text("#!/bin/sh\necho UnitFileState=enabled; echo ActiveState=active\n")
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    ledger = Ledger(tmp_path / "ledger")
    dropins.note(ledger, "r", [File(Path(path), "", 0o644, 0, 0)], [])
    entries = {entry.kind: entry for entry in ledger.entries() if entry.kind != "folder"}
    assert sorted(entries) == noted
    if "unit" in noted:
        assert entries["unit"].key == Path(path).name
        assert entries["unit"].before == {"enabled": "enabled", "active": "active"}


def test_what_was_there_is_noted_once(host: Host) -> None:
    (host.root / "old.conf").write_text("admin\n")
    host.write({"old.conf": "one\n", "new/new.conf": "one\n"}, check=True)
    assert not (host.root / "ledger").exists()
    for text in ("one\n", "two\n"):
        host.write({"old.conf": text, "new/new.conf": text})
    noted = {}
    for path in (host.root / "ledger").iterdir():
        entry = json.loads(path.read_text())
        assert entry["role"] == "sysctl"
        assert path.stat().st_mode & 0o7777 == 0o600
        noted[entry["kind"], str(Path(entry["key"]).relative_to(host.root))] = entry["before"]
    assert noted.pop(("file", "old.conf"))["content"] == "YWRtaW4K"  # admin, in base64
    assert noted == {
        ("folder", "new"): None,
        ("file", "new/new.conf"): None,
        ("folder", "desired.d"): None,
        ("file", "desired.d/sysctl.json"): None,
    }


def test_a_value_is_written_where_it_is_off_and_noted(host: Host) -> None:
    values = {"cpumask": "3", "enabled": "madvise", "absent": "1"}
    (host.root / "cpumask").write_text("0000000f\n")
    (host.root / "enabled").write_text("always [madvise] never\n")
    assert host.write({}, values=values, check=True)["changed_values"] == [str(host.root / "cpumask")]
    assert (host.root / "cpumask").read_text() == "0000000f\n"
    assert host.write({}, values=values)["changed_values"] == [str(host.root / "cpumask")]
    assert (host.root / "cpumask").read_text() == "3\n"
    (noted,) = [entry for entry in map(json.loads, host.ledger()) if entry["kind"] == "value"]
    assert (noted["key"], noted["before"]) == (str(host.root / "cpumask"), "0000000f")
    (host.root / "cpumask").write_text("00000003\n")
    assert not host.write({}, values=values)["changed"]


@pytest.mark.parametrize("name", ["/proc/sys/vm/compact_memory", "closed"])
def test_a_value_that_the_kernel_lets_nobody_read_is_left_out(host: Host, name: str) -> None:
    """As all of debugfs with Secure Boot. compact_memory is for writing only."""
    closed = Path(name) if name.startswith("/") else host.root / name
    if name == "closed":
        closed.symlink_to("/proc/sys/vm/compact_memory")
    (host.root / "open").write_text("1\n")
    result = host.write({}, values={str(closed): "0", "open": "2"})
    assert "failed" not in result, result
    assert result["changed_values"] == [str(host.root / "open")]


def test_a_value_that_cannot_be_read_for_another_reason_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(values.ValueRefusedError, match=r"The kernel doesn't tell .* \(Is a directory\): look at dmesg"):
        values.running_value(tmp_path)


def test_a_value_that_only_the_next_boot_sets_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "write_text", busy)
    said = values.set_value(tmp_path / "runtime", "0")
    assert said.endswith("(Device or resource busy): the next boot sets it.")


def test_a_fragment_in_another_order_is_the_same(host: Host) -> None:
    knobs: list[dict[str, Any]] = [{"name": "k", "want": [1, 2]}, {"name": "l"}]
    host.write({"x.conf": "one\n", "y.conf": "two\n"}, knobs=knobs)
    state = json.loads(host.fragment.read_text())
    shuffled = state | {"files": state["files"][::-1], "knobs": state["knobs"][::-1]}
    host.fragment.write_text(json.dumps(shuffled, sort_keys=True))
    assert not host.write({"x.conf": "one\n", "y.conf": "two\n"}, knobs=knobs)["changed"]
    # Within a knob order may mean something.
    knobs[0]["want"] = [2, 1]
    assert host.write({"x.conf": "one\n", "y.conf": "two\n"}, knobs=knobs)["changed_paths"] == [str(host.fragment)]


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL, errno.EIO, errno.ENOSPC, errno.EPERM])
def test_any_other_error_is_no_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_text", refuse)
    with pytest.raises(values.ValueRefusedError, match=os.strerror(number)):
        values.set_value(tmp_path / "runtime", "0")
