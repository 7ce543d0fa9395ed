"""A bare twin becomes a proven node, stays one, and says so when somebody turns a knob by hand.

The tests run in the order they stand in: each begins where the one before it left the twin, as on a real host.
They use the commands that an operator uses, on a twin of their own: one that runs already is left alone.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
HOST = "lab1"
NOTHING_CHANGED = re.compile(rf"^{HOST} .*\bchanged=0\b.*\bunreachable=0\b.*\bfailed=0\b", re.MULTILINE)
A_KNOB = "vm.swappiness"


@dataclass(frozen=True)
class Run:
    """A finished command: its exit status, everything it said, and how many seconds it took."""

    status: int
    output: str
    seconds: float


@dataclass(frozen=True)
class Twin:
    """A twin with its own folder and port."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which make means this twin, without the options of the make that runs the tests."""
        not_ours = {"MAKEFLAGS", "MFLAGS", "HOST", "INVENTORY"}
        inherited = {name: value for name, value in os.environ.items() if name not in not_ours}
        return inherited | {"LAB_DIR": str(self.folder), "LAB_PORT": str(self.port), "ANSIBLE_NOCOLOR": "1"}

    def make(self, target: str) -> Run:
        """Run a make target for this twin; print the name of each task as it begins, and everything if it fails."""
        print(f"\n  make {target} HOST={HOST}", flush=True)
        started = time.monotonic()
        output = []
        with subprocess.Popen(
            ["make", target, f"HOST={HOST}"],
            cwd=PROJECT,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            assert process.stdout
            for line in process.stdout:
                output.append(line)
                if line.startswith("TASK ["):
                    print(f"  {time.monotonic() - started:4.0f} s  {line[6 : line.rindex(']')]}", flush=True)
        return Run(process.returncode, "".join(output), time.monotonic() - started)

    def succeed(self, target: str) -> Run:
        """Run a make target that has to succeed."""
        run = self.make(target)
        assert run.status == 0, run.output
        return run

    def ssh(self, command: str) -> str:
        """Run a command in the guest and return what it prints; it has to succeed."""
        ssh = ["ssh", "-F", str(self.folder / HOST / "ssh_config"), HOST]
        result = subprocess.run([*ssh, command], capture_output=True, text=True, timeout=120, check=False)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    def status_of(self, unit: str) -> dict[str, str]:
        """Return /proc/PID/status of a unit's main process."""
        text = self.ssh(f"cat /proc/$(systemctl show --property MainPID --value {unit})/status")
        return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


@pytest.fixture(scope="module")
def twin() -> Iterator[Twin]:
    """A twin that has just booted its bare image."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    twin = Twin(PROJECT / ".lab" / "test", port)
    twin.succeed("lab-reset")
    try:
        twin.succeed("lab")
        yield twin
    finally:
        # The folder stays: its console log is for whoever has to find out why a test failed.
        twin.succeed("lab-stop")


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    """What the inventory says about the twin."""
    command = ["ansible-inventory", "-i", "inventory/lab", "--host", HOST]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    variables: dict[str, Any] = json.loads(result.stdout)
    return variables


@pytest.fixture(scope="module")
def bare_boot(twin: Twin) -> str:
    """The boot_id of the bare image."""
    return twin.ssh("cat /proc/sys/kernel/random/boot_id")


def test_a_bare_host_is_not_taken_for_a_proven_one(twin: Twin) -> None:
    run = twin.make("verify")
    assert run.status == 2
    assert "deploy it first" in run.output


def test_deploy_reboots_a_bare_host_and_proves_it(twin: Twin, bare_boot: str) -> None:
    run = twin.succeed("deploy")
    print(run.output[run.output.rindex("TASK [Show the knobs]") :])
    assert twin.ssh("cat /proc/sys/kernel/random/boot_id") != bare_boot


def test_the_kernel_isolates_the_cpus_of_the_inventory(twin: Twin, model: dict[str, Any]) -> None:
    isolated = model["topology_isolated_cpus"]
    command_line = twin.ssh("cat /proc/cmdline").split()
    assert f"nohz_full={isolated}" in command_line
    assert f"irqaffinity={model['topology_housekeeping_cpus']}" in command_line
    assert twin.ssh("cat /sys/devices/system/cpu/isolated") == isolated
    assert twin.ssh("cat /sys/devices/system/cpu/nohz_full") == isolated


def test_each_node_has_the_hugepages_of_the_inventory(twin: Twin, model: dict[str, Any]) -> None:
    kilobytes = {"2M": 2048, "1G": 1048576}
    for pages in model["topology_hugepages"]:
        node = f"/sys/devices/system/node/node{pages['node']}"
        count = twin.ssh(f"cat {node}/hugepages/hugepages-{kilobytes[pages['size']]}kB/nr_hugepages")
        assert int(count) == pages["count"]


def test_each_service_runs_on_its_own_cpu_and_the_books_stay_in_memory(twin: Twin, model: dict[str, Any]) -> None:
    for service in model["topology_services"]:
        assert twin.status_of(f"wirebook-{service['name']}")["Cpus_allowed_list"] == str(service["cpu"])
    book = twin.status_of("wirebook-book")
    # The arena is on the node's hugepages, which mlock doesn't count; everything else that the process has is locked.
    assert int(book["HugetlbPages"].split()[0]) >= 256 * 1024
    assert int(book["VmLck"].split()[0]) >= 0.9 * int(book["VmRSS"].split()[0])


def test_the_books_are_live(twin: Twin) -> None:
    wirebook = "/opt/wirebook/current/venv/bin/wirebook"
    books = json.loads(twin.ssh(f"{wirebook} top --once --json --config /etc/wirebook/engine.toml"))
    assert [book["state"] for book in books["symbols"]] == ["LIVE"]


def test_an_ordinary_user_receives_packets_by_dpdk(twin: Twin, model: dict[str, Any]) -> None:
    (nic,) = [nic for nic in model["topology_data_nics"] if nic.get("use") == "vfio"]
    script = (PROJECT / "molecule/twin/receive-by-dpdk").read_text()
    counters = twin.ssh(f"bash -s {nic['pci']} wirebook 500 <<'SCRIPT'\n{script}\nSCRIPT")
    print(counters)
    received = re.search(r"RX-packets: (\d+)", counters)
    # The rack's own PTP messages come on top.
    assert received, counters
    assert int(received.group(1)) >= 500


def test_a_second_deploy_changes_nothing_and_is_quick(twin: Twin) -> None:
    boot = twin.ssh("cat /proc/sys/kernel/random/boot_id")
    run = twin.succeed("deploy")
    assert NOTHING_CHANGED.search(run.output), run.output
    assert twin.ssh("cat /proc/sys/kernel/random/boot_id") == boot
    assert run.seconds < 120


def test_a_knob_turned_by_hand_is_found_and_mended(twin: Twin) -> None:
    managed = twin.ssh(f"sysctl -n {A_KNOB}")
    twin.ssh(f"sysctl -w {A_KNOB}={int(managed) + 1}")
    run = twin.make("verify")
    assert run.status == 2
    assert re.search(rf"FAIL.*{re.escape(A_KNOB)}", run.output), run.output
    twin.succeed("deploy")
    assert twin.ssh(f"sysctl -n {A_KNOB}") == managed
    twin.succeed("verify")
