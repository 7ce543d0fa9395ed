"""Makes the role's model importable as it is on a host, and a host out of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.topology.cpus import parse_cpus
from ansible_collections.wirebook.node.tests.unit.support.fake_host import write

OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\nID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n'


@pytest.fixture
def host_files(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of a host's files: nodes of CPUs, each a socket, SMT siblings, memory of a node in MiB."""

    def make(
        nodes: tuple[str, ...] = ("0-1", "2-3"),
        siblings: dict[int, str] | None = None,
        memory_mib: int = 2048,
        os_release: str = OS_RELEASE,
        iommu_table: str = "DMAR",
    ) -> Path:
        system = tmp_path / "sys/devices/system"
        write(tmp_path / "etc/os-release", os_release)
        write(tmp_path / "proc/sys/kernel/osrelease", "6.12.48+deb13-amd64\n")
        if iommu_table:
            write(tmp_path / "sys/firmware/acpi/tables" / iommu_table, "")
        write(tmp_path / "proc/1/status", "Name:\tsystemd\nCpus_allowed_list:\t0-3\n")
        write(system / "cpu/online", ",".join(nodes) + "\n")
        for number, cpus in enumerate(nodes):
            for cpu in parse_cpus(cpus):
                write(system / f"cpu/cpu{cpu}/topology/physical_package_id", f"{number}\n")
            write(system / f"node/node{number}/cpulist", cpus + "\n")
            write(system / f"node/node{number}/meminfo", f"Node {number} MemTotal:  {memory_mib * 1024} kB\n")
            for size in (2048, 1048576):
                write(system / f"node/node{number}/hugepages/hugepages-{size}kB/nr_hugepages", "0\n")
        for cpu, cpus in (siblings or {}).items():
            write(system / f"cpu/cpu{cpu}/topology/thread_siblings_list", cpus + "\n")
        return tmp_path

    return make
