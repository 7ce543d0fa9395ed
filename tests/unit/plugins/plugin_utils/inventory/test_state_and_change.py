"""What a host gets, by which file and line, and what a change of the inventory does to it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.tests.unit.support.inventory_tool import Run, inventory_tool
from ansible_collections.wirebook.node.tests.unit.support.paths import ROOT


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=ops", "-c", "user.email=ops@example.net")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Return what runs tools/inventory beside a copy of the example that is committed in a repository of its own."""
    shutil.copytree(ROOT / "inventory/example", tmp_path / "mine")
    git(tmp_path, "init", "--initial-branch=main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message=The fleet")
    return inventory_tool(tmp_path)


def change(file: Path, find: str, replace: str) -> None:
    assert find in file.read_text()
    file.write_text(file.read_text().replace(find, replace, 1))


def test_every_value_is_told_with_the_file_and_line_that_set_it(run: Run) -> None:
    lines = [" ".join(line.split()) for line in run("show", "mine", "--host", "colo3").stdout.splitlines()]
    assert "topology_isolated_cpus 2-7 mine/group_vars/nodes.yml:10" in lines
    # A host's own value goes before the fleet's, and has its own line; so has what is merged.
    assert "topology_hugepages [{node: 0, size: 2M, count: 512}] mine/host_vars/colo3.yml:10" in lines
    assert "transport.interface enp24s0f0 mine/host_vars/colo3.yml:17" in lines
    assert "transport.group 239.192.7.1 mine/group_vars/nodes.yml:31" in lines
    # True and false know no line of their own.
    assert "ansible_become true mine/group_vars/nodes.yml:5" in lines
    assert any(
        line.startswith("limits_rtprio 10 ") and line.endswith("roles/limits/defaults/main.yml:3") for line in lines
    )


def test_of_a_host_that_is_not_there_nothing_is_told(run: Run) -> None:
    done = run("show", "mine", "--host", "colo9")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "There is no host colo9 in mine: make inventory HOST=... with one of: colo1 colo2 colo3\n"


def diff(run: Run, *commits: str) -> str:
    done = run("diff", "mine", *(commits or ("HEAD",)))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_change_that_changes_nothing(run: Run, tmp_path: Path) -> None:
    change(tmp_path / "mine/group_vars/nodes.yml", "# Line B", "# The line B")
    assert diff(run).split("\n") == ["", "nothing changes in the inventory of: colo1, colo2, colo3", ""]


SENT = "{venue: binance, symbols: [{id: 2, instrument: SOLUSDT}, {id: 3, instrument: XRPUSDT}]}"


def test_what_reboots_what_restarts_and_what_is_set_in_place(run: Run, tmp_path: Path) -> None:
    own = "topology_isolated_cpus: 2-6\ntopology_housekeeping_cpus: 0-1,7-15\n"
    change(tmp_path / "mine/host_vars/colo1.yml", "---\n", f"---\n{own}")
    change(tmp_path / "mine/host_vars/colo2.yml", "    stream: 2", "    stream: 7")
    change(tmp_path / "mine/host_vars/colo3.yml", "---\n", "---\nsysctl_values: {vm.swappiness: 1}\n")
    assert diff(run).splitlines() == [
        "",
        "colo1",
        "  reboots                          kernel command line: isolcpus=managed_irq,domain,2-7 → "
        "isolcpus=managed_irq,domain,2-6",
        "                                   kernel command line: nohz_full=2-7 → nohz_full=2-6",
        "                                   kernel command line: rcu_nocbs=2-7 → rcu_nocbs=2-6",
        "                                   kernel command line: irqaffinity=0-1,8-15 → irqaffinity=0-1,7-15",
        f"  feeds and books restart          feed_engine_feeds of other hosts.stream 2: {SENT} → (left out)",
        f"                                   feed_engine_feeds of other hosts.stream 7: (left out) → {SENT}",
        "  is set in place                  topology_housekeeping_cpus: 0-1,8-15 → 0-1,7-15",
        "                                   topology_isolated_cpus: 2-7 → 2-6",
        "",
        "colo2",
        "  feeds and books restart          feed_engine_feeds[0].stream: 2 → 7",
        "",
        "colo3",
        f"  feeds and books restart          feed_engine_feeds of other hosts.stream 2: {SENT} → (left out)",
        f"                                   feed_engine_feeds of other hosts.stream 7: (left out) → {SENT}",
        "  is set in place                  sysctl_values: (left out) → {vm.swappiness: 1}",
        "",
        "reboots: colo1",
        "feeds and books restart: colo2, colo3",
    ]


@pytest.mark.parametrize(
    ("setting", "effect"),
    [
        ("kernel_cmdline_extra: [nosoftlockup]", "reboots"),
        ("topology_accept_risk: [idle=poll]", "reboots"),
        ("feed_engine_host_settings: {transport: {ttl: 4}}", "feeds and books restart"),
        ("feed_engine_watchdog_seconds: 20", "feeds and books restart"),
        ("feed_engine_health_seconds: 90", "counts from the next deploy on"),
        ("clock_gate: warn", "clock's services restart"),
        ("nic_settings: {rx-usecs: 8}", "NICs are set anew"),
        ("cpu_governor: powersave", "is set in place"),
    ],
)
def test_each_variable_has_its_effect(run: Run, tmp_path: Path, setting: str, effect: str) -> None:
    change(tmp_path / "mine/host_vars/colo1.yml", "---\n", f"---\n{setting}\n")
    told = diff(run).splitlines()
    assert told[1] == "colo1"
    assert told[2].startswith(f"  {effect}  ")


def test_hosts_that_come_and_go_between_two_commits(run: Run, tmp_path: Path) -> None:
    change(tmp_path / "mine/hosts.yml", "colo3:", "colo4:")
    for folder in ("host_vars", "facts"):
        (tmp_path / f"mine/{folder}/colo3.yml").rename(tmp_path / f"mine/{folder}/colo4.yml")
    git(tmp_path, "commit", "--all", "--message=Another machine")
    # Two commits: what lies in the checkout doesn't count.
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--amend", "--no-edit")
    change(tmp_path / "mine/group_vars/nodes.yml", "port: 17001", "port: 17003")
    assert diff(run, "HEAD~1", "HEAD").splitlines() == [
        "",
        "new: colo4",
        "no longer there (make undo with the inventory of before takes wirebook off): colo3",
        "nothing changes in the inventory of: colo1, colo2",
    ]


def test_a_commit_that_is_not_there_is_told(run: Run) -> None:
    done = run("diff", "mine", "nothing")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "nothing has no mine (fatal: not a valid object name: nothing): name a commit that has, with FROM= and TO=.\n"
    )


def test_a_change_with_mistakes_is_refused(run: Run, tmp_path: Path) -> None:
    change(tmp_path / "mine/host_vars/colo2.yml", "stream: 2", "stream: 1")
    done = run("diff", "mine", "HEAD")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mine/host_vars/colo2.yml:4: ")
