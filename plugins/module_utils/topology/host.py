"""What a host is, read from its own files.

Nothing is asked of a command, so that a tree of files is a host for the tests. Only of the running host the kernel is
asked for what its files don't show (`reach`).
"""

from __future__ import annotations

import grp
import platform
import pwd
import re
from pathlib import Path
from typing import Any

from .cpus import format_cpus, parse_cpus
from .files import text_of
from .nics import groups_with_direct_regions, read_interfaces, read_nics
from .reach import default_route_interfaces, ssh_interfaces
from .rivals import TUNERS, clock_services, enabled_services, software_ptp


def read_host(root: Path = Path("/")) -> dict[str, Any]:
    """Return the facts of the host whose files are below `root`; roles/topology/README.md lists them.

    CPU lists are texts, sizes are in kB.
    """
    system = root / "sys"
    cpus = system / "devices/system/cpu"
    online = parse_cpus(text_of(cpus / "online"))
    nodes = _numbered(system / "devices/system/node", "node")
    nics = read_nics(system)
    enabled = list(enabled_services(root))
    steering = clock_services(enabled)
    return {
        "os": _os(root / "etc/os-release"),
        "arch": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "container": text_of(root / "run/systemd/container"),
        "kernel": text_of(root / "proc/sys/kernel/osrelease"),
        "iommu": _iommu(system),
        "interrupt_remapping": _interrupt_remapping(root),
        "iommu_direct": groups_with_direct_regions(system),
        "cpus_online": format_cpus(online),
        "cpus_offline": format_cpus(parse_cpus(text_of(cpus / "present")) - online),
        "manager_cpus": _manager_cpus(root / "proc/1/status"),
        "siblings": {
            str(cpu): text_of(cpus / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in sorted(online)
        },
        "sockets": {
            str(cpu): int(text_of(cpus / f"cpu{cpu}/topology/physical_package_id") or 0) for cpu in sorted(online)
        },
        "l3": _l3_domains(cpus, online),
        "efficient_cpus": format_cpus(_efficient_cpus(system, online)),
        "nodes": [_node(path) for path in nodes] or [_only_node(root, format_cpus(online))],
        "distances": _distances(nodes),
        "transparent_hugepages": _chosen(system / "kernel/mm/transparent_hugepage/enabled"),
        "hugetlbfs": {path: _owner(root, path) for path in _mount_points(root / "proc/self/mountinfo", "hugetlbfs")},
        "default_route": sorted(default_route_interfaces(root)),
        "ssh": sorted(ssh_interfaces(root)),
        "interfaces": read_interfaces(system),
        "clock_services": steering,
        "ptp_software": software_ptp(root, steering, {nic["name"]: nic["phc"] for nic in nics}),
        "tuners": sorted(TUNERS.intersection(enabled)),
        "irdma": (system / "module/irdma").is_dir(),
        "nics": nics,
    }


def _owner(root: Path, path: str) -> str:
    """Return owner, group and mode of a path, "root wirebook 0770"; numbers where there is no name."""
    status = (root / path.lstrip("/")).stat()
    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        owner, group = str(status.st_uid), str(status.st_gid)
    return f"{owner} {group} {status.st_mode & 0o7777:04o}"


def _numbered(folder: Path, prefix: str) -> list[Path]:
    """Return the entries prefix0, prefix1, … in the order of their numbers."""
    found = [(int(path.name[len(prefix) :]), path) for path in folder.glob(f"{prefix}[0-9]*")]
    return [path for _, path in sorted(found)]


def _os(path: Path) -> dict[str, str]:
    fields = dict(line.split("=", 1) for line in text_of(path).splitlines() if "=" in line)
    fields = {key: value.strip('"') for key, value in fields.items()}
    return {
        "id": fields.get("ID", ""),
        "version": fields.get("VERSION_ID", ""),
        "codename": fields.get("VERSION_CODENAME", ""),
        "name": fields.get("PRETTY_NAME", "an unknown system"),
    }


def _iommu(system: Path) -> str:
    """Return whose IOMMU the firmware describes; it does so whether the kernel uses it or not.

    IORT tells of other things too, on every ARM server: there the running SMMU counts.
    """
    tables = system / "firmware/acpi/tables"
    for table, whose in (("DMAR", "intel"), ("IVRS", "amd"), ("VIOT", "virtio")):
        if (tables / table).exists():
            return whose
    return "arm" if (tables / "IORT").exists() and any((system / "class/iommu").glob("smmu*")) else ""


# Flags of the table DMAR, a byte behind ACPI's header and the address width (Intel VT-d, "DMA Remapping Reporting").
_DMAR_FLAGS, _INTR_REMAP = 37, 1


def _interrupt_remapping(root: Path) -> str:
    """Return whether devices' interrupts are remapped, without which VFIO hands out none: "on", "off" or ""."""
    interrupts = text_of(root / "proc/interrupts")
    # The kernel's names of remapped interrupts (arch/x86/kernel/apic/msi.c, drivers/iommu/*/irq_remapping.c).
    if re.search(r"\bIR-", interrupts):
        return "on"
    try:
        table = (root / "sys/firmware/acpi/tables/DMAR").read_bytes()
    except OSError:
        table = b""
    if len(table) > _DMAR_FLAGS and not table[_DMAR_FLAGS] & _INTR_REMAP:
        return "off"
    return "off" if "MSI" in interrupts and any((root / "sys/class/iommu").glob("*")) else ""


def _manager_cpus(path: Path) -> str:
    match = re.search(r"^Cpus_allowed_list:\s*(\S+)", text_of(path), re.MULTILINE)
    return format_cpus(parse_cpus(match.group(1))) if match else ""


def _node(path: Path) -> dict[str, Any]:
    memory = re.search(r"MemTotal:\s*(\d+) kB", text_of(path / "meminfo"))
    return {
        "node": int(path.name[len("node") :]),
        "cpus": text_of(path / "cpulist"),
        "memory_kb": int(memory.group(1)) if memory else 0,
        "hugepages": {
            folder.name[len("hugepages-") :]: int(text_of(folder / "nr_hugepages"))
            for folder in sorted(path.glob("hugepages/hugepages-*kB"))
        },
    }


def _only_node(root: Path, cpus: str) -> dict[str, Any]:
    """Return the whole machine as a node: a kernel without NUMA shows none."""
    memory = re.search(r"MemTotal:\s*(\d+) kB", text_of(root / "proc/meminfo"))
    return {"node": 0, "cpus": cpus, "memory_kb": int(memory.group(1)) if memory else 0, "hugepages": {}}


def _distances(nodes: list[Path]) -> dict[str, dict[str, int]]:
    """Return how far nodes are from each other, by ACPI's SLIT: 10 is the node itself (node/nodeX/distance)."""
    numbers = [path.name[len("node") :] for path in nodes]
    return {
        number: dict(zip(numbers, map(int, text_of(path / "distance").split()), strict=False))
        for number, path in zip(numbers, nodes, strict=True)
    }


def _l3_domains(cpus: Path, online: frozenset[int]) -> list[str]:
    """Return the CPUs that share a cache of the third level, domain by domain; none where the kernel tells none."""
    found = {_sharing(cpus, cpu, "3") & online for cpu in online}
    return [format_cpus(domain) for domain in sorted(found, key=sorted) if domain]


def _sharing(cpus: Path, cpu: int, level: str) -> frozenset[int]:
    """Return the CPUs that share a CPU's cache of a level; none where the kernel doesn't tell."""
    indexes = (index for index in cpus.glob(f"cpu{cpu}/cache/index*") if text_of(index / "level") == level)
    return frozenset[int]().union(*(parse_cpus(text_of(index / "shared_cpu_list")) for index in indexes))


def _efficient_cpus(system: Path, online: frozenset[int]) -> frozenset[int]:
    """Return the E cores of a hybrid machine.

    The kernel tells by the counters that it has for them. Where it has none (an older kernel), E cores are those that
    share a cache of the second level with other cores, beside cores that have one of their own.
    """
    told = parse_cpus(text_of(system / "devices/cpu_atom/cpus"))
    if told or (system / "devices/cpu_core").exists():
        return told & online
    cpus = system / "devices/system/cpu"
    clustered = frozenset(
        cpu
        for cpu in online
        if _sharing(cpus, cpu, "2") - parse_cpus(text_of(cpus / f"cpu{cpu}/topology/thread_siblings_list") or str(cpu))
    )
    return clustered if clustered < online else frozenset()


def _chosen(path: Path) -> str:
    """Return the chosen word of a file such as "always [madvise] never"."""
    match = re.search(r"\[(\S+)\]", text_of(path))
    return match.group(1) if match else ""


def _mount_points(mountinfo: Path, kind: str) -> list[str]:
    """Return where file systems of a type are mounted (proc_pid_mountinfo(5))."""
    lines = [line.partition(" - ") for line in text_of(mountinfo).splitlines()]
    return sorted(left.split()[4] for left, _, right in lines if right.split()[0] == kind)
