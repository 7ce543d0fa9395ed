"""A host's facts, read from a tree of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fake_host import ROUTE, add_nic, write
from wirebook_topology.host import read_host


def test_cpus_nodes_and_system(host_files: Callable[..., Path]) -> None:
    facts = read_host(host_files(siblings={0: "0,2", 2: "0,2"}))
    assert facts["cpus_online"] == "0-3"
    assert facts["manager_cpus"] == "0-3"
    assert facts["siblings"] == {"0": "0,2", "1": "1", "2": "0,2", "3": "3"}
    assert facts["nodes"] == [
        {"node": 0, "cpus": "0-1", "memory_kb": 2097152, "hugepages": {"1048576kB": 0, "2048kB": 0}},
        {"node": 1, "cpus": "2-3", "memory_kb": 2097152, "hugepages": {"1048576kB": 0, "2048kB": 0}},
    ]
    assert (facts["os"]["id"], facts["os"]["version"], facts["os"]["codename"]) == ("debian", "13", "trixie")
    assert facts["iommu"] == "intel"
    assert facts["container"] == ""


def test_nodes_come_in_the_order_of_their_numbers(host_files: Callable[..., Path]) -> None:
    facts = read_host(host_files(nodes=tuple(str(number) for number in range(11))))
    assert [node["node"] for node in facts["nodes"]] == list(range(11))


def test_a_container_is_told(host_files: Callable[..., Path]) -> None:
    root = host_files()
    write(root / "run/systemd/container", "podman\n")
    assert read_host(root)["container"] == "podman"


def test_nics(host_files: Callable[..., Path]) -> None:
    root = host_files()
    add_nic(root, "enp0s2", "0000:00:02.0", "virtio-pci", 0, virtio=True)
    add_nic(root, "enp0s4", "0000:00:04.0", "igb", 1, group="7")
    (root / "sys/class/net/lo").mkdir()
    write(root / "proc/net/route", ROUTE + "enp0s2 00000000 0202000A 0003 0 0 0 00000000 0 0 0\n")
    assert read_host(root)["nics"] == [
        {
            "name": "enp0s2",
            "pci": "0000:00:02.0",
            "driver": "virtio-pci",
            "node": 0,
            "iommu_group": "",
            "default_route": True,
        },
        {
            "name": "enp0s4",
            "pci": "0000:00:04.0",
            "driver": "igb",
            "node": 1,
            "iommu_group": "7",
            "default_route": False,
        },
    ]


def test_a_default_route_may_be_ipv6_only(host_files: Callable[..., Path]) -> None:
    root = host_files()
    add_nic(root, "enp0s2", "0000:00:02.0", "e1000e", 0)
    zero = "0" * 32
    lo = f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
    write(root / "proc/net/ipv6_route", lo)
    assert not read_host(root)["nics"][0]["default_route"]
    write(root / "proc/net/ipv6_route", lo + lo.replace("lo", "enp0s2"))
    assert read_host(root)["nics"][0]["default_route"]


def test_hugepages_as_they_are(host_files: Callable[..., Path]) -> None:
    root = host_files()
    write(root / "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    write(root / "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "160\n")
    write(
        root / "proc/self/mountinfo",
        "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "36 25 0:33 / /dev/hugepages2M rw,nosuid - hugetlbfs hugetlbfs rw,pagesize=2M\n",
    )
    facts = read_host(root)
    assert facts["transparent_hugepages"] == "madvise"
    assert [node["hugepages"]["2048kB"] for node in facts["nodes"]] == [0, 160]
    assert facts["hugetlbfs"] == ["/dev/hugepages2M"]


def test_this_machine_can_be_read() -> None:
    facts = read_host()
    assert facts["cpus_online"]
    assert facts["nodes"][0]["memory_kb"] > 0
