"""Probes of interrupts, kernel threads and masks, on trees of files that stand for hosts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


MASKS = [("3\n", "PASS"), ("00000003\n", "PASS"), ("f\n", "FAIL"), ("1,00000003", "FAIL")]


@pytest.mark.parametrize(("text", "status"), MASKS)
def test_a_mask_is_compared_as_a_set(tree: Tree, text: str, status: str) -> None:
    tree.write("/proc/irq/default_smp_affinity", text)
    tree.desire({"name": "m", "probe": "cpumask", "path": "/proc/irq/default_smp_affinity", "want": "0-1"})
    assert tree.status() == status


@pytest.fixture
def interrupts(tree: Tree) -> Tree:
    """Return a host with an interrupt of a NIC, one that nobody handles, and one that the kernel manages itself."""
    tree.write("/proc/irq/24/smp_affinity_list", "1\n")
    tree.write("/proc/irq/24/enp0s4-rx-0/x", "")
    tree.write("/proc/irq/2/smp_affinity_list", "3\n")
    tree.write("/proc/irq/30/smp_affinity_list", "3\n")
    tree.write("/proc/irq/30/nvme0q4/x", "")
    tree.write("/run/refused.json", "[30]")
    tree.write("/sys/bus/pci/devices/0000:00:04.0/msi_irqs/24", "msix")
    tree.desire({"name": "i", "probe": "interrupts", "want": "0-1", "refused": "/run/refused.json"})
    return tree


def test_interrupts_are_on_housekeeping_cpus(interrupts: Tree) -> None:
    assert interrupts.status() == "PASS"
    interrupts.write("/proc/irq/24/smp_affinity_list", "2\n")
    assert (interrupts.only()["status"], interrupts.only()["running"]) == ("FAIL", "24 (enp0s4-rx-0) on 2")


@pytest.mark.parametrize("device", [{}, {"pci": "0000:00:04.0"}], ids=["of all devices", "of a NIC"])
def test_an_interrupt_that_may_also_go_to_an_isolated_cpu_is_off(interrupts: Tree, device: dict[str, str]) -> None:
    interrupts.desire({"name": "i", "probe": "interrupts", "want": "0-1", "refused": "/run/refused.json"} | device)
    interrupts.write("/proc/irq/24/smp_affinity_list", "0-2\n")
    assert (interrupts.only()["status"], interrupts.only()["running"]) == ("FAIL", "24 (enp0s4-rx-0) on 0,1,2")


def test_an_interrupt_that_the_kernel_does_not_manage_is_off(interrupts: Tree) -> None:
    interrupts.write("/run/refused.json", "[]")
    assert interrupts.only()["running"] == "30 (nvme0q4) on 3"


def test_the_interrupts_of_a_nic(interrupts: Tree) -> None:
    knob = {"name": "i", "probe": "interrupts", "pci": "0000:00:04.0"}
    interrupts.desire(knob | {"want": "1"})
    assert interrupts.status() == "PASS"
    interrupts.desire(knob | {"want": "0"})
    assert interrupts.only()["running"] == "24 (enp0s4-rx-0) on 1"
    interrupts.desire(knob | {"want": "0", "pci": "0000:00:08.0"})
    assert interrupts.only()["running"] == "no interrupt has a handler: the interface is down"


@pytest.mark.parametrize(
    ("flags", "cpus", "status"),
    [
        pytest.param(0x00200000, "0-1", "PASS", id="unbound, on housekeeping CPUs"),
        pytest.param(0x00200000, "0-3", "FAIL", id="unbound, anywhere"),
        pytest.param(0x04200000, "3", "PASS", id="bound to a CPU by the kernel"),
        pytest.param(0, "0-3", "PASS", id="not a kernel thread"),
    ],
)
def test_kernel_threads(tree: Tree, flags: int, cpus: str, status: str) -> None:
    tree.write("/proc/17/stat", f"17 (rcuop/2 (x) y) S 2 0 0 0 -1 {flags} 0 0\n")
    tree.write("/proc/17/status", f"Name:\trcuop/2\nCpus_allowed_list:\t{cpus}\n")
    tree.desire({"name": "k", "probe": "kernel_threads", "want": "0-1"})
    assert tree.status() == status


@pytest.fixture
def cores(tree: Tree) -> Tree:
    """Return a host whose cores 2 and 3 are isolated, with the siblings 6 and 7."""
    tree.write("/sys/devices/system/cpu/smt/control", "on\n")
    for cpu in (2, 3):
        tree.write(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list", f"{cpu}\n")
    tree.desire({"name": "s", "probe": "smt_siblings", "cpus": "2-3", "want": "offline"})
    return tree


def test_siblings_of_isolated_cpus_are_offline(cores: Tree) -> None:
    assert (cores.only()["status"], cores.only()["running"]) == ("PASS", "offline")
    cores.write("/sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "3,7\n")
    assert (cores.only()["status"], cores.only()["running"]) == ("FAIL", "online: 7")


def test_siblings_that_are_isolated_too_may_stay(cores: Tree) -> None:
    cores.write("/sys/devices/system/cpu/cpu3/topology/thread_siblings_list", "2-3\n")
    assert cores.status() == "PASS"


@pytest.mark.parametrize("control", ["notsupported", "notimplemented"])
def test_a_machine_without_smt_has_no_siblings(cores: Tree, control: str) -> None:
    cores.write("/sys/devices/system/cpu/smt/control", f"{control}\n")
    assert (cores.only()["status"], cores.only()["reason"]) == (
        "NOT-RUN",
        "this machine has no SMT, or its firmware has it off",
    )


def test_what_the_machine_lacks_is_not_run(tree: Tree) -> None:
    knob = {"name": "g", "probe": "text", "path": "/sys/x/governor", "want": "performance"}
    tree.desire(knob | {"needs": "/sys/x", "lacking": "no x"})
    assert (tree.only()["status"], tree.only()["reason"]) == ("NOT-RUN", "no x")
    tree.write("/sys/x/governor", "powersave\n")
    assert tree.status() == "FAIL"


def test_an_accepted_risk_is_repeated_every_time(tree: Tree) -> None:
    tree.write("/x", "1\n")
    tree.desire({"name": "r", "probe": "text", "path": "/x", "want": "1", "risk": "It runs hot."})
    assert "\nRISK r: It runs hot." in tree.run().stdout
    assert tree.only()["risk"] == "It runs hot."
    assert json.loads(tree.run("--json").stdout)["fail"] == 0


def test_a_value_of_several_files_and_their_lines_for_the_next_boot(tree: Tree) -> None:
    paths = ["/sys/cpu2/governor", "/sys/cpu3/governor"]
    for path in paths:
        tree.write(path, "performance\n")
    tree.write("/etc/cpu.conf", "a\nb\n")
    knob = {"name": "g", "probe": "text", "paths": paths, "want": "performance", "boot_file": "/etc/cpu.conf"}
    tree.desire(knob | {"boot_line": ["a", "b"]})
    assert tree.status() == "PASS"
    tree.write(paths[1], "powersave\n")
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "/sys/cpu3/governor powersave")
    tree.write(paths[1], "performance\n")
    for lines in (["b"], "a"):
        tree.desire(knob | {"boot_line": lines})
        assert tree.status() == "PASS"
    tree.desire(knob | {"boot_line": ["a", "c"]})
    assert (tree.only()["status"], tree.only()["boot"]) == ("FAIL", "/etc/cpu.conf lacks 'c'")


@pytest.mark.parametrize("there", ["a = 10\n", "a = 1 0\n", "# a = 1\n", "aa = 1\n", ""])
def test_a_line_for_the_next_boot_is_there_as_a_whole(tree: Tree, there: str) -> None:
    tree.write("/sys/a", "1\n")
    tree.desire({"name": "a", "probe": "text", "path": "/sys/a", "want": "1", "boot_file": "/x", "boot_line": "a = 1"})
    tree.write("/x", there)
    assert (tree.only()["status"], tree.only()["boot"]) == ("FAIL", "/x lacks 'a = 1'")
    tree.write("/x", f"{there}  a = 1 \n")
    assert tree.status() == "PASS"
