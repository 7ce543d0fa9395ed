"""What a host is, read from its own files.

Nothing is asked of a command, so that a tree of files is a host for the tests.
"""

from __future__ import annotations

import grp
import ipaddress
import platform
import pwd
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .cpus import format_cpus, parse_cpus

_PCI_ADDRESS = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
# PCI's base class of network controllers (PCI Code and ID Assignment Specification, 1.3).
_PCI_NETWORK = "0x02"
_PCI_BRIDGE = "0x06"
# Debian's services that steer the system's clock or a NIC's.
_CLOCK_SERVICE = re.compile(r"(chrony|systemd-timesyncd|ntpsec|ntp|openntpd|timemaster|(ptp4l|phc2sys)(@.+)?)\.service")


def read_host(root: Path = Path("/")) -> dict[str, Any]:
    """Return the facts of the host whose files are below `root`.

    `os` {id, version, codename, name}, `arch`, `python` (major.minor), `container` (its manager's name, or ""),
    `kernel` (its release), `iommu` ("intel", "amd" or ""), `cpus_online` (list), `cpus_offline` (list: those
    present that are), `manager_cpus` (list: where PID 1 may
    run), `siblings` {cpu: list}, `sockets` {cpu: number}, `nodes` [{node, cpus, memory_kb, hugepages {"2048kB":
    number}}], `transparent_hugepages` (the chosen policy), `hugetlbfs` {mount point: "owner group mode"},
    `default_route` and `ssh` (the interfaces that carry a default route, and the SSH session that runs this),
    `clock_services` (what steers a clock from the next boot on), `nics` [{name, pci, driver, node, iommu_group,
    iommu_peers, uppers, phc}]. CPU lists are texts, sizes are in kB.
    """
    system = root / "sys"
    online = parse_cpus(_text(system / "devices/system/cpu/online"))
    return {
        "os": _os(root / "etc/os-release"),
        "arch": platform.machine(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "container": _text(root / "run/systemd/container"),
        "kernel": _text(root / "proc/sys/kernel/osrelease"),
        "iommu": _iommu(system / "firmware/acpi/tables"),
        "cpus_online": format_cpus(online),
        "cpus_offline": format_cpus(parse_cpus(_text(system / "devices/system/cpu/present")) - online),
        "manager_cpus": _manager_cpus(root / "proc/1/status"),
        "siblings": {
            str(cpu): _text(system / f"devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu)
            for cpu in sorted(online)
        },
        "sockets": {
            str(cpu): int(_text(system / f"devices/system/cpu/cpu{cpu}/topology/physical_package_id") or 0)
            for cpu in sorted(online)
        },
        "nodes": [_node(path) for path in _numbered(system / "devices/system/node", "node")],
        "transparent_hugepages": _chosen(system / "kernel/mm/transparent_hugepage/enabled"),
        "hugetlbfs": {path: _owner(root, path) for path in _mount_points(root / "proc/self/mountinfo", "hugetlbfs")},
        "default_route": sorted(_default_route_interfaces(root / "proc/net")),
        "ssh": sorted(_ssh_interfaces(root / "proc")),
        "clock_services": sorted(_clock_services(root)),
        "nics": _nics(system),
    }


def _owner(root: Path, path: str) -> str:
    """Return owner, group and mode of a path, "root wirebook 0770"; numbers where there is no name."""
    status = (root / path.lstrip("/")).stat()
    try:
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        owner, group = str(status.st_uid), str(status.st_gid)
    return f"{owner} {group} {status.st_mode & 0o7777:04o}"


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


def _ssh_interfaces(proc: Path) -> set[str]:
    """Return the interfaces that may carry the SSH session that runs this: all whose network has its address."""
    text = _ssh_address(proc)
    if not text:
        return set()
    address = ipaddress.ip_address(text)
    if address.version == 6:
        lines = [line.split() for line in _text(proc / "net/if_inet6").splitlines()]
        return {fields[5] for fields in lines if bytes.fromhex(fields[0]) == address.packed}
    # The kernel prints the four bytes of an address as one number of the machine's own byte order.
    number = int.from_bytes(address.packed, sys.byteorder)
    found = set()
    for line in _text(proc / "net/route").splitlines()[1:]:
        fields = line.split()
        destination, gateway, mask = (int(fields[column], 16) for column in (1, 2, 7))
        if not gateway and number & mask == destination:
            found.add(fields[0])
    return found


def _ssh_address(proc: Path) -> str:
    """Return the host's address that the SSH session of this process came to, or "".

    sudo takes SSH_CONNECTION (ssh(1)) out of the environment, so that the processes above are asked too.
    """
    process = proc / "self"
    while True:
        try:
            environment = _text(process / "environ")
        except OSError:  # another user's process, or one that has ended
            environment = ""
        found = re.search(r"(?:^|\0)SSH_CONNECTION=\S+ \d+ (\S+) \d+", environment)
        if found:
            return found.group(1)
        parent = re.search(r"^PPid:\s*([1-9]\d*)$", _text(process / "status"), re.MULTILINE)
        if parent is None:
            return ""
        process = proc / parent.group(1)


def _clock_services(root: Path) -> Iterator[str]:
    """Yield the enabled services that steer a clock; a link to a removed or masked unit starts nothing."""
    own = root / "etc/systemd/system"
    folders = (own, root / "usr/lib/systemd/system", root / "lib/systemd/system")
    for name in {link.name for link in own.glob("*.wants/*.service")}:
        masked = (own / name).is_symlink() and (own / name).readlink() == Path("/dev/null")
        unit = re.sub(r"@.+\.service", "@.service", name)
        if _CLOCK_SERVICE.fullmatch(name) and not masked and any((folder / unit).exists() for folder in folders):
            yield name


def _nics(system: Path) -> list[dict[str, Any]]:
    """Return the interfaces that are PCI devices, or sit on one as virtio's do, and the PCI NICs without an interface.

    Those last, with an empty name, are the ones that VFIO has, or no driver at all.
    """
    nics = []
    interfaces = system / "class/net"
    for path in sorted(interfaces.glob("*")):
        device = (path / "device").resolve() if (path / "device").exists() else path
        pci = next((part for part in (device, *device.parents) if _PCI_ADDRESS.fullmatch(part.name)), None)
        if pci is not None:
            nics.append(_nic(path.name, pci, sorted(_uppers(interfaces, path.name))))
    named = {nic["pci"] for nic in nics}
    nameless = [
        _nic("", path.resolve(), [])
        for path in sorted((system / "bus/pci/devices").glob("*"))
        if path.name not in named and _text(path / "class").startswith(_PCI_NETWORK)
    ]
    return nics + nameless


def _nic(name: str, pci: Path, uppers: list[str]) -> dict[str, Any]:
    driver, group = pci / "driver", pci / "iommu_group"
    # A card's functions may share the clock of one of them, as ice's ports do.
    clocks = [*pci.glob("ptp/ptp*"), *sorted(pci.parent.glob(f"{pci.name[:-1]}*/ptp/ptp*"))]
    return {
        "name": name,
        "pci": pci.name,
        "driver": driver.resolve().name if driver.exists() else "",
        "node": int(_text(pci / "numa_node") or -1),
        "iommu_group": group.resolve().name if group.exists() else "",
        "iommu_peers": _iommu_peers(pci),
        "uppers": uppers,
        "phc": clocks[0].name if clocks else "",
    }


def _iommu_peers(pci: Path) -> list[dict[str, str]]:
    """Return the other devices of a device's IOMMU group and their drivers; bridges stay with the kernel anyway."""
    others = [path for path in sorted(pci.glob("iommu_group/devices/*")) if path.name != pci.name]
    return [
        {"pci": path.name, "driver": (path / "driver").resolve().name if (path / "driver").exists() else ""}
        for path in others
        if not _text(path / "class").startswith(_PCI_BRIDGE)
    ]


def _uppers(interfaces: Path, name: str) -> set[str]:
    """Return the bonds, bridges and VLANs on top of an interface, and those on top of them."""
    direct = {path.name[len("upper_") :] for path in (interfaces / name).glob("upper_*")}
    return direct.union(*(_uppers(interfaces, upper) for upper in direct))
