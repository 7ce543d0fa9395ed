"""How things that roles change are given back: a unit's state, packages, values of the kernel, a group's members."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.ledger import kinds
from ansible_collections.wirebook.node.tests.unit.support.fake_tools import ServiceManager, Tools


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    return Tools(tmp_path / "tools", monkeypatch)


@pytest.fixture
def manager(tools: Tools) -> ServiceManager:
    return ServiceManager(tools)


@pytest.mark.parametrize(
    ("before", "now", "stopping", "starting"),
    [
        # wirebook's own, which weren't there
        ("  inactive", "enabled active", ["stop", "disable"], []),
        ("  inactive", "enabled inactive", ["disable"], []),
        ("  inactive", "static active", ["stop"], []),
        ("  inactive", "enabled failed", ["stop", "reset-failed", "disable"], []),
        # others that ran before, and were stopped, disabled or masked
        ("enabled active", "disabled inactive", [], ["enable", "start"]),
        ("enabled active", "masked inactive", ["unmask"], ["enable", "start"]),
        ("disabled active", "disabled inactive", [], ["start"]),
        ("static active", "static inactive", [], ["start"]),
        ("enabled activating", "enabled inactive", [], ["start"]),
        ("enabled reloading", "enabled inactive", [], ["start"]),
        # others that ran before, and run
        ("enabled active", "enabled active", [], []),
        ("disabled active", "enabled active", ["disable"], []),
        ("enabled active", "enabled failed", [], ["start"]),
        # others that didn't run before, and were started
        ("disabled inactive", "enabled active", ["stop", "disable"], []),
        ("disabled inactive", "disabled activating", ["stop"], []),
        ("masked inactive", "disabled inactive", [], ["mask"]),
        ("masked inactive", "enabled active", ["stop", "disable"], ["mask"]),
        ("disabled inactive", "masked inactive", ["unmask"], []),
        ("disabled inactive", "disabled inactive", [], []),
    ],
)
def test_a_unit_is_given_back_its_state(
    manager: ServiceManager, tools: Tools, before: str, now: str, stopping: list[str], starting: list[str]
) -> None:
    enabled, _, active = before.strip().rpartition(" ")
    state = {"enabled": enabled, "active": active}
    manager.set("x.service", *now.split())
    assert kinds.stop_unit("x.service", state) is bool(stopping)
    assert manager.changes() == [f"{verb} x.service" for verb in stopping]
    tools.forget_calls()
    assert kinds.start_unit("x.service", state) is bool(starting)
    assert manager.changes() == [f"{verb} x.service" for verb in starting]
    tools.forget_calls()
    assert not kinds.stop_unit("x.service", state)
    assert not kinds.start_unit("x.service", state)
    assert manager.changes() == []


def test_a_unit_is_looked_at_as_the_service_manager_has_it(manager: ServiceManager) -> None:
    assert kinds.look_unit("none.service") == {"enabled": "", "active": "inactive"}
    manager.set("x.service", "enabled", "failed")
    assert kinds.look_unit("x.service") == {"enabled": "enabled", "active": "failed"}


def test_a_service_manager_that_refuses_is_a_sentence(manager: ServiceManager) -> None:
    manager.set("x.service", "enabled", "active")
    manager.refuse("x.service")
    with pytest.raises(kinds.LedgerError, match=r"`systemctl stop -- x\.service` failed: Job for x\.service failed"):
        kinds.stop_unit("x.service", {"enabled": "", "active": "inactive"})


class Packages:
    """What dpkg has, what needs what, and what apt was told to purge."""

    def __init__(self, tools: Tools, needs: dict[str, list[str]], removed: tuple[str, ...] = ()) -> None:
        """`needs`: for each installed package which others it needs."""
        self._tools = tools
        states = [f"{name} ii " for name in needs] + [f"{name} rc " for name in removed] + ["gone un "]
        tools.install("dpkg-query", "\n".join(f"echo '{line}'" for line in states))
        # To remove a package removes also those that need it, as apt does.
        users = {name: [user for user, used in needs.items() if name in used] for name in (*needs, *removed)}
        lines = [f"{name}) echo 'Remv {name} [1]'; for user in {' '.join(users[name])}; do plan $user; done ;;"
                 for name in users]  # fmt: skip
        plan = "plan() { case $1 in\n" + "\n".join(lines) + "\nesac; }"
        # --simulate --quiet purge NAME ...
        tools.install("apt-get", f'{plan}\n[ "$1" = --simulate ] || exit 0\nshift 3\nfor name; do plan $name; done')

    def purged(self) -> list[str]:
        """Return what apt was told to take away."""
        calls = [call.split()[4:] for call in self._tools.calls() if call.startswith("apt-get --quiet --yes purge")]
        return [name for names in calls for name in names]


@pytest.mark.parametrize(
    ("needs", "names", "gone", "kept"),
    [
        pytest.param({"chrony": [], "dpdk": []}, ["chrony", "dpdk"], ["chrony", "dpdk"], [], id="needed by nobody"),
        pytest.param({"lib": [], "dpdk": ["lib"]}, ["dpdk", "lib"], ["dpdk", "lib"], [], id="by one that goes"),
        pytest.param({"lib": [], "theirs": ["lib"]}, ["lib"], [], ["lib"], id="by another"),
        pytest.param(
            {"lib": [], "chrony": [], "theirs": ["lib"]}, ["lib", "chrony"], ["chrony"], ["lib"], id="one of them"
        ),
        pytest.param(
            {"lib": [], "dpdk": ["lib"], "theirs": ["dpdk"]}, ["dpdk", "lib"], [], ["dpdk", "lib"], id="by way of one"
        ),
        pytest.param({"theirs": []}, ["chrony"], [], [], id="taken away by hand"),
        pytest.param({}, [], [], [], id="none"),
    ],
)
def test_a_package_that_others_need_now_stays(
    tools: Tools, needs: dict[str, list[str]], names: list[str], gone: list[str], kept: list[str]
) -> None:
    packages = Packages(tools, needs)
    assert kinds.purge(names) == (gone, kept)
    assert packages.purged() == gone


def test_what_a_removed_package_left_is_purged(tools: Tools) -> None:
    packages = Packages(tools, {"theirs": []}, removed=("chrony",))
    assert kinds.purge(["chrony", "gone"]) == (["chrony"], [])
    assert packages.purged() == ["chrony"]


@pytest.mark.parametrize(
    ("before", "now", "written", "changed"),
    [
        ("60", "10\n", "60\n", True),
        ("60", "60\n", "60\n", False),
        ("madvise", "[always] madvise never\n", "madvise\n", True),
        ("madvise", "always [madvise] never\n", "always [madvise] never\n", False),
        (None, "10\n", "10\n", False),
    ],
)
def test_a_value_is_given_back_where_it_differs(
    tmp_path: Path, before: str | None, now: str, written: str, changed: bool
) -> None:
    path = tmp_path / "value"
    path.write_text(now)
    assert kinds.restore_value(str(path), before) is changed
    assert path.read_text() == written


def test_a_value_that_went_with_its_device_needs_none(tmp_path: Path) -> None:
    assert not kinds.restore_value(str(tmp_path / "gone"), "1")
    assert not (tmp_path / "gone").exists()


def test_a_value_that_the_kernel_refuses_is_a_sentence() -> None:
    with pytest.raises(kinds.LedgerError, match=r"The kernel refuses to give /proc/sys/net/ipv4/ip_default_ttl back"):
        kinds.restore_value("/proc/sys/net/ipv4/ip_default_ttl", "9999")


@pytest.mark.parametrize(
    ("before", "now", "call"),
    [
        (None, ["a"], "groupdel wirebook"),
        (["a", "b"], ["a", "b", "wirebook"], "gpasswd --members a,b wirebook"),
        ([], ["wirebook"], "gpasswd --members  wirebook"),
        (["a"], ["a"], ""),
        (["a"], None, ""),
    ],
)
def test_a_group_is_given_back_its_members(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, before: list[str] | None, now: list[str] | None, call: str
) -> None:
    monkeypatch.setattr(kinds, "look_group", lambda key: now if key == "wirebook" else pytest.fail(key))
    tools.install("groupdel")
    tools.install("gpasswd")
    assert kinds.restore_group("wirebook", before) is bool(call)
    assert tools.calls() == [call] * bool(call)


def test_a_user_that_wasnt_there_goes(tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    tools.install("userdel")
    assert not kinds.restore_user("root", 0)
    assert not kinds.restore_user("nobody-has-this", None)
    assert tools.calls() == []
    monkeypatch.setattr(kinds, "look_user", lambda _: os.getuid())
    assert kinds.restore_user("wirebook", None)
    assert tools.calls() == ["userdel wirebook"]


@pytest.mark.parametrize(
    ("before", "now", "call"),
    [
        (None, "vfio-pci", "driverctl unset-override 0000:00:04.0"),
        ("igb", "vfio-pci", "driverctl set-override 0000:00:04.0 igb"),
        ("vfio-pci", None, "driverctl set-override 0000:00:04.0 vfio-pci"),
        ("igb", "igb", ""),
        (None, None, ""),
    ],
)
def test_a_device_is_given_back_its_driver(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str | None, now: str | None, call: str
) -> None:
    monkeypatch.setattr(kinds, "DRIVERCTL", tmp_path)
    if now:
        (tmp_path / "pci-0000:00:04.0").write_text(f"{now}\n")
    tools.install("driverctl")
    assert kinds.restore_driver("0000:00:04.0", before) is bool(call)
    assert tools.calls() == [call] * bool(call)
