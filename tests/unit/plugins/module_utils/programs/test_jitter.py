"""wirebook-jitter: what it measures and with what, and that what it stops is started again."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.programs import jitter
from ansible_collections.wirebook.node.plugins.module_utils.programs.program import FailedError

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]
# What a tool writes, and what hackbench does: it runs until it is killed.
THREAD = '{"cpu": 2, "min": 1, "avg": 1, "max": 3, "histogram": {"1": 9}}'
REPORT = f'{{"return_code": 0, "cmdline": "TOOL", "thread": {{"0": {THREAD}}}}}'
TOOL = "for word; do case $word in --json=*) echo 'REPORT' > \"${word#--json=}\" ;; esac; done"


def tool(name: str) -> str:
    """Return a script that writes a report as a tool does."""
    return TOOL.replace("REPORT", REPORT.replace("TOOL", name))


def ended(host: FakeHost) -> None:
    """Wait until the process has ended that wrote its number to /pid; as a zombie or wholly."""
    deadline = time.monotonic() + 30
    while not host.path("/pid").exists() or not host.read("/pid"):
        assert time.monotonic() < deadline
    state = Path(f"/proc/{host.read('/pid').strip()}/stat")
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "it outlives the load"


@pytest.fixture
def node(host: FakeHost) -> FakeHost:
    """Return a host with the isolated CPUs 2 and 3, on which nothing runs, and the tools."""
    settings = {"cpus": "2-3", "housekeeping": "0-1", "budgets_us": {"oslat": 20, "cyclictest": 20}}
    host.write("/etc/wirebook/jitter.json", json.dumps(settings))
    host.write("/proc/cmdline", "ro isolcpus=2-3\n")
    host.path("/run").mkdir()
    host.install("taskset", "exec sleep 60")
    for name in ("oslat", "cyclictest"):
        host.install(name, tool(name))
    return host


def runs(host: FakeHost, pid: int, cpus: str, unit: str = "wirebook-book.service", name: str = "wirebook") -> None:
    """Add a process with one thread to /proc."""
    host.write(f"/proc/{pid}/cmdline", f"{name}\0")
    host.write(f"/proc/{pid}/cgroup", f"0::/system.slice/{unit}\n")
    host.write(f"/proc/{pid}/task/{pid}/status", f"Name:\t{name}\nCpus_allowed_list:\t{cpus}\n")


def run(*arguments: str) -> int:
    return jitter.PROGRAM.main(arguments)


def results(host: FakeHost) -> list[Path]:
    return sorted(host.path("/var/lib/wirebook/jitter").glob("*"))


def test_a_measurement_is_kept_and_its_path_is_printed(node: FakeHost, capsys: Captured) -> None:
    assert run("--seconds", "1") == 0
    (path,) = results(node)
    assert capsys.readouterr().out == f"{path}\n"
    result: dict[str, Any] = json.loads(path.read_text())
    assert (result["seconds"], result["command_line"]) == (1, "ro isolcpus=2-3")
    assert result["tools"]["oslat"]["cpus"] == {
        "2": {"min": 1, "avg": 1, "max": 3, "overflow": 0, "histogram": {"1": 9}}
    }
    assert result["load"].startswith("taskset --cpu-list 0-1 hackbench ")
    assert sorted(call.split()[0] for call in node.calls()) == ["cyclictest", "oslat", "taskset"]


def test_the_tools_measure_on_the_isolated_cpus_and_are_led_from_a_housekeeping_one() -> None:
    commands = jitter.commands(frozenset({2, 3, 5}), frozenset({0, 1}), 60)
    oslat, cyclictest = " ".join(commands["oslat"]), " ".join(commands["cyclictest"])
    assert "--cpu-list 2-3,5 --cpu-main-thread 0 --duration 60" in oslat
    assert "--affinity=2-3,5 --threads=3 --mainaffinity=0" in cyclictest
    assert "--duration=60" in cyclictest


def test_what_runs_on_a_cpu_of_this_machine_is_found() -> None:
    last = max(os.sched_getaffinity(0))
    with subprocess.Popen(["taskset", "--cpu-list", str(last), "sleep", "60"]) as other:
        while Path(f"/proc/{other.pid}/comm").read_text() != "sleep\n":
            pass
        found = jitter.running_on(frozenset({last}))
        other.kill()
    # By its unit, where a service runs the tests.
    assert f"sleep ({other.pid})" in found or any(name.endswith(".service") for name in found)


def test_only_some_of_the_isolated_cpus(node: FakeHost) -> None:
    runs(node, 100, "2")
    assert run("--seconds=1", "--cpus=3") == 0
    assert any(" --cpu-list 3 " in call for call in node.calls())


class TestWhatRunsOnTheCpus:
    def test_it_is_named_and_nothing_is_measured(self, node: FakeHost, capsys: Captured) -> None:
        runs(node, 100, "3")
        runs(node, 101, "0-3", unit="session-1.scope", name="top")
        runs(node, 102, "0-1", unit="ssh.service")
        assert run() == 2
        assert capsys.readouterr().err == (
            "wirebook-jitter: The CPUs aren't free: top (101) on 2-3, wirebook-book.service on 3. While nothing trades,"
            " have it stopped and started again by STOP='wirebook-book.service', or measure other CPUs by CPUS=LIST.\n"
        )
        assert node.calls() == []

    def test_kernel_threads_and_what_ended_do_not_count(self, node: FakeHost) -> None:
        runs(node, 100, "3")
        node.write("/proc/100/cmdline", "")
        node.path("/proc/101/task/101").mkdir(parents=True)
        assert run("--seconds=1") == 0

    @pytest.mark.parametrize("name", ["wirebook-book", "wirebook-book.service"])
    def test_it_is_stopped_if_it_is_named_and_started_again(self, node: FakeHost, name: str) -> None:
        runs(node, 100, "3")
        assert run("--seconds=1", "--stop", name) == 0
        assert [call for call in node.calls() if call.startswith("systemctl")] == [
            "systemctl --quiet stop -- wirebook-book.service",
            "systemctl --quiet start -- wirebook-book.service",
        ]
        assert {call.split()[0] for call in node.calls()[1:-1]} == {"taskset", "oslat", "cyclictest"}

    def test_a_unit_that_is_named_and_does_not_run_there_is_left(self, node: FakeHost) -> None:
        assert run("--seconds=1", "--stop", "wirebook-book") == 0
        assert not any(call.startswith("systemctl") for call in node.calls())

    def test_it_is_started_again_when_a_tool_fails(self, node: FakeHost, capsys: Captured) -> None:
        runs(node, 100, "3")
        node.install("oslat", "echo 'no such CPU' >&2; exit 1")
        assert run("--stop", "wirebook-book") == 1
        assert capsys.readouterr().err.endswith("failed: no such CPU\n")
        assert node.calls()[-1] == "systemctl --quiet start -- wirebook-book.service"
        assert results(node) == []

    def test_it_is_started_again_when_it_could_not_be_stopped_whole(self, node: FakeHost) -> None:
        runs(node, 100, "3")
        node.install("systemctl", '[ "$2" = start ]')
        assert run("--stop", "wirebook-book") == 1
        assert node.calls() == [
            "systemctl --quiet stop -- wirebook-book.service",
            "systemctl --quiet start -- wirebook-book.service",
        ]

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_it_is_started_again_when_the_measurement_is_ended(
        self, node: FakeHost, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
    ) -> None:
        handlers: dict[int, Any] = {}
        monkeypatch.setattr(signal, "signal", handlers.__setitem__)
        monkeypatch.setattr(jitter, "run_tool", lambda _: handlers[number](number, None))
        runs(node, 100, "3")
        with pytest.raises(SystemExit) as ended:
            run("--stop", "wirebook-book")
        assert ended.value.code == 128 + number
        assert node.calls()[-1] == "systemctl --quiet start -- wirebook-book.service"


class TestTheLoad:
    def test_one_that_ended_by_itself_spoils_the_figures(self, node: FakeHost) -> None:
        node.install("taskset", f"echo $$ > {node.root}/pid")
        with pytest.raises(FailedError, match="ended by itself"), jitter.load(frozenset({0, 1})):
            ended(node)

    def test_one_that_ends_while_a_tool_measures_spoils_the_measurement(self, node: FakeHost) -> None:
        node.install("taskset", f"echo $$ > {node.root}/pid")
        node.install("cyclictest", f"while ! [ -s {node.root}/pid ]; do :; done; sleep 0.2\n" + tool("cyclictest"))
        assert run("--seconds=1") == 1
        assert results(node) == []

    def test_it_ends_with_the_measurement(self, node: FakeHost) -> None:
        # hackbench, too, does its work in processes of its own.
        node.install("taskset", f"sleep 50 & echo $! > {node.root}/pid; wait")
        with jitter.load(frozenset({0, 1})):
            while not node.path("/pid").exists() or not node.read("/pid"):
                pass
        ended(node)

    @pytest.mark.usefixtures("node")
    def test_it_has_a_group_of_processes_for_each_housekeeping_cpu(self) -> None:
        with jitter.load(frozenset({0, 1, 8})) as command:
            assert "--cpu-list 0-1,8 hackbench" in command
            assert "--groups 3 " in command


class TestWhatIsRefused:
    @pytest.mark.parametrize(("cpus", "isolated"), [("1", "2-3"), ("2-4", "2-3"), ("2", "")])
    def test_cpus_that_are_not_isolated(self, node: FakeHost, capsys: Captured, cpus: str, isolated: str) -> None:
        settings = {"cpus": isolated, "housekeeping": "0-1", "budgets_us": {}}
        node.write("/etc/wirebook/jitter.json", json.dumps(settings))
        assert run(f"--cpus={cpus}") == 2
        assert capsys.readouterr().err == (
            f"wirebook-jitter: Only isolated CPUs are measured, and those are {isolated or 'none'}: change CPUS.\n"
        )

    def test_a_second_measurement_at_the_same_time(self, node: FakeHost, capsys: Captured) -> None:
        with node.path("/run/wirebook-jitter.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            assert run() == 2
        assert capsys.readouterr().err == "wirebook-jitter: a measurement runs already: wait for its end.\n"

    def test_a_tool_that_writes_no_report(self, node: FakeHost, capsys: Captured) -> None:
        node.install("oslat", 'for word; do case $word in --json=*) echo "{" > "${word#--json=}" ;; esac; done')
        assert run() == 1
        assert "oslat wrote no report that can be read" in capsys.readouterr().err
