"""What a host is, read from its own files.

Nothing is asked of a command, so that a tree of files is a host for the tests.
"""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

from .cpus import format_cpus, parse_cpus

_PCI_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")


def read_host(root: Path = Path("/")) -> dict[str, Any]:
    """Return the facts of the host whose files are below `root`.

    `os` {id, version, codename, name}, `arch`, `python` (major.minor), `container` (its manager's name, or ""),
    `iommu` ("intel", "amd" or ""), `cpus_online` (list), `manager_cpus` (list: where PID 1 may run),
    `siblings` {cpu: list}, `nodes` [{node, cpus, memory_kb, hugepages {"2048kB": number}}],
    `transparent_hugepages` (the chosen policy), `hugetlbfs` (mount points),
    `nics` [{name, pci, driver, node, iommu_group, default_route}]. CPU lists are texts, sizes are in kB.
    """
    system = root / "sys"
    online = parse_cpus(_text(system / "devices/system/cpu/online"))
    return {
        "os": _os(root / "etc/os-release"),
        "arch": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "container": _text(root / "run/systemd/container"),
        "iommu": _iommu(system / "firmware/acpi/tables"),
        "cpus_online": format_cpus(online),
        "manager_cpus": _manager_cpus(root / "proc/1/status"),
        "siblings": {
            str(cpu): _text(system / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)
            for cpu in sorted(online)
        },
        "nodes": [_node(path) for path in _numbered(system / "devices/system/node", "node")],
        "transparent_hugepages": _chosen(system / "kernel/mm/transparent_hugepage/enabled"),
        "hugetlbfs": _mount_points(root / "proc/self/mountinfo", "hugetlbfs"),
        "nics": _nics(system, _default_route_interfaces(root / "proc/net")),
    }


def _text(path: Path) -> str:
    """Return a file's text without outer white space, or "" where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def _numbered(folder: Path, prefix: str) -> list[Path]:
    """Return the entries prefix0, prefix1, … in the order of their numbers."""
    found = [(int(path.name[len(prefix) :]), path) for path in folder.glob(f"{prefix}[0-9]*")]
    return [path for _, path in sorted(found)]


def _os(path: Path) -> dict[str, str]:
    fields = dict(line.split("=", 1) for line in _text(path).splitlines() if "=" in line)
    fields = {key: value.strip('"') for key, value in fields.items()}
    return {
        "id": fields.get("ID", ""),
        "version": fields.get("VERSION_ID", ""),
        "codename": fields.get("VERSION_CODENAME", ""),
        "name": fields.get("PRETTY_NAME", "an unknown system"),
    }


def _iommu(tables: Path) -> str:
    """Return whose IOMMU the firmware describes; it does so whether the kernel uses it or not."""
    return "intel" if (tables / "DMAR").exists() else "amd" if (tables / "IVRS").exists() else ""


def _manager_cpus(path: Path) -> str:
    match = re.search(r"^Cpus_allowed_list:\s*(\S+)", _text(path), re.MULTILINE)
    return format_cpus(parse_cpus(match.group(1))) if match else ""


def _node(path: Path) -> dict[str, Any]:
    memory = re.search(r"MemTotal:\s*(\d+) kB", _text(path / "meminfo"))
    return {
        "node": int(path.name[len("node") :]),
        "cpus": _text(path / "cpulist"),
        "memory_kb": int(memory.group(1)) if memory else 0,
        "hugepages": {
            folder.name[len("hugepages-") :]: int(_text(folder / "nr_hugepages"))
            for folder in sorted(path.glob("hugepages/hugepages-*kB"))
        },
    }


def _chosen(path: Path) -> str:
    """Return the chosen word of a file such as "always [madvise] never"."""
    match = re.search(r"\[(\S+)\]", _text(path))
    return match.group(1) if match else ""


def _mount_points(mountinfo: Path, kind: str) -> list[str]:
    """Return where file systems of a type are mounted (proc_pid_mountinfo(5))."""
    lines = [line.partition(" - ") for line in _text(mountinfo).splitlines()]
    return sorted(left.split()[4] for left, _, right in lines if right.split()[0] == kind)


def _default_route_interfaces(net: Path) -> set[str]:
    """Return the interfaces that carry a default route, IPv4 or IPv6 (proc_pid_net(5))."""
    found = set()
    for line in _text(net / "route").splitlines()[1:]:
        fields = line.split()
        if fields[1] == fields[7] == "00000000":
            found.add(fields[0])
    for line in _text(net / "ipv6_route").splitlines():
        fields = line.split()
        if fields[0] == "0" * 32 and fields[1] == "00" and fields[9] != "lo":
            found.add(fields[9])
    return found


def _nics(system: Path, default_route: set[str]) -> list[dict[str, Any]]:
    """Return the network interfaces that are PCI devices, or sit on one as virtio's do."""
    nics = []
    for path in sorted((system / "class/net").glob("*")):
        device = (path / "device").resolve() if (path / "device").exists() else path
        pci = next((part for part in (device, *device.parents) if _PCI_ADDRESS.fullmatch(part.name)), None)
        if pci is None:
            continue
        driver, group = pci / "driver", pci / "iommu_group"
        nics.append(
            {
                "name": path.name,
                "pci": pci.name,
                "driver": driver.resolve().name if driver.exists() else "",
                "node": int(_text(pci / "numa_node") or -1),
                "iommu_group": group.resolve().name if group.exists() else "",
                "default_route": path.name in default_route,
            }
        )
    return nics
