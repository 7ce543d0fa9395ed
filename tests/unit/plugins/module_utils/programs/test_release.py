"""wirebook-release on a host made of files, with a service manager that says what the test wants."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.programs import release

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]
SYSTEMCTL = """
case $1 in show) ;; *) exit 0 ;; esac
property=${3#--property=}
shift 3
separator=
for unit; do
  printf "$separator"
  separator='\\n'
  case $property in
    ActiveState) cat "$STATES/$unit" 2>/dev/null || echo active ;;
    NRestarts) echo 0 ;;
    MainPID) echo $PPID ;;
    CPUAffinity) cat "$STATES/cpus" 2>/dev/null || echo 0-1023 ;;
  esac
done
"""
TOP = '#!/bin/sh\ncat "$(dirname "$0")/../books.json"\n'
CONFIGURATION = """
[[feed]]
venue = "binance"
symbols = [{instrument = "BTCUSDT"}]

[[feed]]
venue = "kraken"
remote = true
symbols = [{instrument = "BTC/USD"}]
"""
"""A node whose own feed is Binance's: that another node's book is dark here is no fault of its release."""
ALIASES = ("/usr/local/bin/wirebook", "/etc/wirebook/engine.toml", "/etc/wirebook/desired.d/feed_engine.json")


@pytest.fixture
def node(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    """Return a host with the releases `one` and `two`, of which none runs yet."""
    host.path("/states").mkdir()
    monkeypatch.setenv("STATES", f"{host.root}/states")
    monkeypatch.setattr(release, "POLL_SECONDS", 0.01)
    host.install("systemctl", SYSTEMCTL)
    host.path("/etc/systemd/system").mkdir(parents=True)
    for name in ("one", "two"):
        add(host, name)
    return host


def add(host: FakeHost, name: str, *, state: str = "LIVE", units: tuple[str, ...] = ("wirebook-book.service",)) -> None:
    """Add a release; its only book is in this state."""
    for unit in ("wirebook.target", *units):
        host.write(f"/opt/wirebook/releases/{name}/units/{unit}", f"# of {name}\n")
    host.write(f"/opt/wirebook/releases/{name}/code", f"venv-{name}\n")
    host.write(f"/opt/wirebook/releases/{name}/engine.toml", CONFIGURATION)
    host.write(f"/opt/wirebook/releases/{name}/feed_engine.json", "{}")
    venv = f"/opt/wirebook/venvs/venv-{name}"
    host.write(f"{venv}/bin/wirebook", TOP).chmod(0o755)
    host.write(f"{venv}/books.json", json.dumps({"symbols": [{"name": "binance:BTCUSDT", "state": state}]}))


def run(*arguments: str) -> int:
    return release.PROGRAM.main([*arguments, "--timeout", "0"] if arguments[0] != "list" else arguments)


def running(host: FakeHost) -> str | None:
    link = host.path("/opt/wirebook/current")
    return link.resolve().name if link.is_symlink() else None


def unit(host: FakeHost, name: str = "wirebook-book.service") -> str:
    return host.read(f"/etc/systemd/system/{name}")


def test_the_first_release_runs_and_its_command_is_in_everybodys_path(node: FakeHost, capsys: Captured) -> None:
    assert run("activate", "one") == 0
    assert json.loads(capsys.readouterr().out) == {"changed": True, "release": "one"}
    assert (running(node), unit(node)) == ("one", "# of one\n")
    assert "systemctl --quiet restart --no-block wirebook.target" in node.calls()
    command = node.path("/usr/local/bin/wirebook")
    assert command.resolve() == node.path("/opt/wirebook/venvs/venv-one/bin/wirebook").resolve()
    assert run("activate", "two") == 0
    assert command.resolve() == node.path("/opt/wirebook/venvs/venv-two/bin/wirebook").resolve()


def test_a_release_that_runs_is_left_alone(node: FakeHost, capsys: Captured) -> None:
    run("activate", "one")
    capsys.readouterr()
    calls = len(node.calls())
    assert run("activate", "one") == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False
    assert all(call.startswith("systemctl show") for call in node.calls()[calls:])


def test_a_switch_that_was_killed_before_the_restart_is_made_up_for(node: FakeHost, capsys: Captured) -> None:
    run("activate", "one")
    node.install("systemctl", "case $2 in restart) exit 1 ;; esac\n" + SYSTEMCTL)
    assert run("activate", "two") != 0
    assert (running(node), unit(node)) == ("two", "# of two\n")
    node.install("systemctl", SYSTEMCTL)
    calls = len(node.calls())
    capsys.readouterr()
    assert run("activate", "two") == 0
    assert json.loads(capsys.readouterr().out)["changed"] is True
    assert "systemctl --quiet restart --no-block wirebook.target" in node.calls()[calls:]
    assert run("activate", "two") == 0
    assert json.loads(capsys.readouterr().out)["changed"] is False


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_that_was_taken_away_comes_back(node: FakeHost, capsys: Captured, alias: str) -> None:
    run("activate", "one")
    node.path(alias).unlink()
    capsys.readouterr()
    assert run("activate", "one") == 0
    assert json.loads(capsys.readouterr().out)["changed"] is True
    assert node.path(alias).exists()


def test_what_was_stopped_is_started_and_what_was_moved_starts_anew(node: FakeHost, capsys: Captured) -> None:
    run("activate", "one")
    node.write("/states/wirebook.target", "inactive\n")
    node.write("/states/cpus", "4094 4095\n")
    capsys.readouterr()
    assert run("activate", "one") == 0
    assert json.loads(capsys.readouterr().out)["changed"] is True
    assert "systemctl --quiet start --no-block wirebook.target" in node.calls()
    assert "systemctl --quiet restart --no-block wirebook-book.service" in node.calls()


def test_a_release_whose_books_stay_dark_is_taken_back(node: FakeHost, capsys: Captured) -> None:
    run("activate", "one")
    add(node, "two", state="STALE", units=("wirebook-book.service", "wirebook-sim.service"))
    capsys.readouterr()
    assert run("activate", "two") == 1
    assert capsys.readouterr().err == (
        "wirebook-release: Release two wasn't healthy within 0 s: binance:BTCUSDT is STALE. Release one runs again; "
        "look at `journalctl -u 'wirebook-*'`.\n"
    )
    assert (running(node), unit(node)) == ("one", "# of one\n")
    assert not node.path("/etc/systemd/system/wirebook-sim.service").exists()


def test_the_first_release_that_fails_leaves_nothing(node: FakeHost, capsys: Captured) -> None:
    add(node, "one", state="STALE")
    assert run("activate", "one") == 1
    assert "There is none to go back to, and the engine is stopped" in capsys.readouterr().err
    assert running(node) is None
    assert list(node.path("/etc/systemd/system").iterdir()) == []
    assert not any(node.path(alias).is_symlink() for alias in ALIASES)


def test_a_release_that_objects_to_the_host_is_not_started(node: FakeHost, capsys: Captured) -> None:
    run("activate", "one")
    node.install("systemd-run", 'echo "FAIL  hugepages   none"; exit 1')
    assert run("activate", "two") == 1
    assert capsys.readouterr().err == (
        "wirebook-release: Release two can't run here and wasn't started: FAIL hugepages none.\n"
    )
    assert running(node) == "one"


def test_back_and_forth(node: FakeHost, capsys: Captured) -> None:
    run("activate", "one")
    run("activate", "two")
    capsys.readouterr()
    assert run("rollback") == 0
    assert json.loads(capsys.readouterr().out) == {"changed": True, "release": "one"}
    assert running(node) == "one"
    assert run("list") == 0
    listed = json.loads(capsys.readouterr().out)
    assert sorted((one["release"], one["current"], one["previous"]) for one in listed) == [
        ("one", True, False),
        ("two", False, True),
    ]


def test_there_is_nothing_to_go_back_to(node: FakeHost, capsys: Captured) -> None:
    run("activate", "one")
    assert run("rollback") == 2
    assert "there is nothing to go back to" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["three", "../releases/one", "..", "", "one/"])
def test_a_release_that_is_not_there(node: FakeHost, capsys: Captured, name: str) -> None:
    before = node.everything()
    assert run("activate", name) == 2
    assert f"There is no release {name} on this host" in capsys.readouterr().err
    assert {path: text for path, text in node.everything().items() if path != "opt/wirebook/lock"} == before


def test_a_host_without_releases(host: FakeHost, capsys: Captured) -> None:
    for command in (["list"], ["rollback"], ["activate", "one"]):
        assert release.PROGRAM.main(command) == 2
        assert capsys.readouterr().err == "wirebook-release: There is no release on this host: deploy one.\n"


def test_a_command_of_the_service_manager_that_fails_is_told(node: FakeHost, capsys: Captured) -> None:
    node.install("systemctl", '[ "$2" != enable ] || exit 1\n' + SYSTEMCTL)
    assert run("activate", "one") == 1
    assert capsys.readouterr().err == "wirebook-release: `systemctl enable wirebook.target` failed.\n"


def left(node: FakeHost, folder: str) -> list[str]:
    return sorted(path.name for path in node.path(f"/opt/wirebook/{folder}").iterdir())


def test_the_newest_releases_and_the_linked_ones_are_kept(node: FakeHost) -> None:
    for name in ("three", "four"):
        add(node, name)
    for age, name in enumerate(("four", "three", "two", "one")):
        os.utime(node.path(f"/opt/wirebook/releases/{name}"), (1_000_000 - age,) * 2)
    assert run("activate", "one") == 0
    assert run("activate", "two", "--keep", "3") == 0
    # `one` and `two` were touched by running; of the others `four` is newer.
    assert left(node, "releases") == ["four", "one", "two"]
    assert left(node, "venvs") == ["venv-four", "venv-one", "venv-two"]


def test_a_release_that_a_killed_deploy_left_without_code(node: FakeHost) -> None:
    node.path("/opt/wirebook/releases/half").mkdir()
    assert run("activate", "one") == 0
    assert left(node, "releases") == ["half", "one", "two"]
    assert left(node, "venvs") == ["venv-one", "venv-two"]
