"""A bare twin becomes a proven node and stays one.

The files' tests run in the order of their names, the tests in the order they stand in: each begins where the one before
it left the twin, as on a real host. They use the commands that an operator uses, on a twin of their own: one that runs
already is left alone.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from support import PROJECT, Twin, differences


def test_a_bare_host_is_not_taken_for_a_proven_one(twin: Twin) -> None:
    run = twin.make("verify")
    assert run.status == 2
    assert "deploy it first" in run.output


@pytest.mark.full
def test_a_dry_run_writes_nothing(twin: Twin, bare: dict[str, set[str]]) -> None:
    run = twin.play("playbooks/deploy.yml", "--check", "--diff")
    assert run.status == 0, run.end
    assert differences(bare, twin.picture(), {}) == {}


@pytest.fixture(scope="module")
def seconds() -> dict[str, float]:
    """How long each deploy took: one is judged by the other, since emulation is as slow as the machine is busy."""
    return {}


def test_deploy_boots_a_bare_host_on_trial_and_proves_it(twin: Twin, seconds: dict[str, float]) -> None:
    bare_boot = twin.boot_id()
    run = twin.succeed("deploy")
    seconds["first"] = run.seconds
    print(run.output[run.output.rindex("TASK [node_doctor : Show the knobs]") :])
    assert twin.boot_id() != bare_boot


def test_the_kernel_isolates_the_cpus_of_the_inventory(twin: Twin, model: dict[str, Any]) -> None:
    isolated = model["topology_isolated_cpus"]
    command_line = twin.command_line()
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
    assert [book["state"] for book in twin.books()] == ["LIVE"]


def test_what_the_documentation_has_people_run_can_be_run(twin: Twin) -> None:
    commands = yaml.safe_load((PROJECT / "tests/node-commands.yml").read_text())
    for entry in [*commands["container"], *commands["twin"]]:
        said = twin.ssh(f"{{ {entry.get('run', entry['command'])}; }} >/tmp/said 2>&1; echo $?; tail -n 3 /tmp/said")
        status, _, end = said.partition("\n")
        assert int(status) in entry.get("status", [0]), f"{entry['command']}: {end}"
        assert "Traceback" not in end


def test_a_second_deploy_changes_nothing_and_is_quicker(twin: Twin, seconds: dict[str, float]) -> None:
    boot, started = twin.boot_id(), twin.started()
    assert {"wirebook-ptp4l.service", "wirebook-phc2sys.service", "wirebook-book.service"} <= started.keys()
    run = twin.succeed("deploy")
    assert run.changed_nothing, run.end
    assert twin.boot_id() == boot
    assert twin.started() == started, "a deploy that changes nothing restarts nothing"
    assert run.seconds < seconds["first"]


def test_an_ordinary_user_receives_packets_by_dpdk(twin: Twin, model: dict[str, Any]) -> None:
    (nic,) = [nic for nic in model["topology_data_nics"] if nic.get("use") == "vfio"]
    script = (PROJECT / "tests/twin/receive-by-dpdk").read_text()
    counters = twin.ssh(f"bash -s {nic['pci']} wirebook 500 <<'SCRIPT'\n{script}\nSCRIPT")
    print(counters)
    received = re.search(r"RX-packets: (\d+)", counters)
    # The rack's own PTP messages come on top.
    assert received, counters
    assert int(received.group(1)) >= 500
