"""A host's facts, read from a tree of files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.tests.unit.support.fake_host import (
    ROUTE,
    add_default_route,
    add_nic,
    enable,
    stack,
    write,
)


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
    assert facts["sockets"] == {"0": 0, "1": 0, "2": 1, "3": 1}
    assert facts["kernel"] == "6.12.48+deb13-amd64"
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
    add_nic(root, "enp0s2", "0000:00:02.0", "virtio-pci", -1, virtio=True)
    add_nic(root, "enp0s4", "0000:00:04.0", "igb", 1, group="7", phc="ptp0")
    add_nic(root, "", "0000:00:08.0", "vfio-pci", 1, group="8")
    (root / "sys/class/net/lo").mkdir()
    stack(root, "bond0", "enp0s4")
    stack(root, "bond0.7", "bond0")
    fields = ("name", "pci", "driver", "node", "iommu_group", "iommu_peers", "uppers", "phc")
    nics: list[tuple[object, ...]] = [
        ("enp0s2", "0000:00:02.0", "virtio-pci", -1, "", [], [], ""),
        ("enp0s4", "0000:00:04.0", "igb", 1, "7", [], ["bond0", "bond0.7"], "ptp0"),
        ("", "0000:00:08.0", "vfio-pci", 1, "8", [], [], ""),
    ]
    assert read_host(root)["nics"] == [dict(zip(fields, nic, strict=True)) for nic in nics]


def test_the_other_devices_of_an_iommu_group(host_files: Callable[..., Path]) -> None:
    root = host_files()
    add_nic(root, "enp0s4", "0000:00:04.0", "igb", 1, group="7")
    add_nic(root, "", "0000:00:05.0", "ahci", 1, group="7")
    write(root / "sys/devices/pci0000:00/0000:00:05.0/class", "0x010601\n")
    add_nic(root, "", "0000:00:06.0", "pcieport", 1, group="7")
    write(root / "sys/devices/pci0000:00/0000:00:06.0/class", "0x060400\n")
    (nic,) = read_host(root)["nics"]
    assert nic["iommu_peers"] == [{"pci": "0000:00:05.0", "driver": "ahci"}]


def test_a_device_that_is_no_nic_is_left_out(host_files: Callable[..., Path]) -> None:
    root = host_files()
    add_nic(root, "", "0000:00:05.0", "nvme", 0)
    write(root / "sys/devices/pci0000:00/0000:00:05.0/class", "0x010802\n")
    assert read_host(root)["nics"] == []


def test_the_ports_of_a_card_may_share_a_clock(host_files: Callable[..., Path]) -> None:
    root = host_files()
    add_nic(root, "line-a", "0000:00:04.0", "ice", 0, phc="ptp3")
    add_nic(root, "line-b", "0000:00:04.1", "ice", 0)
    add_nic(root, "other", "0000:00:05.0", "ice", 0)
    assert [nic["phc"] for nic in read_host(root)["nics"]] == ["ptp3", "ptp3", ""]


def test_the_default_route(host_files: Callable[..., Path]) -> None:
    root = host_files()
    assert read_host(root)["default_route"] == []
    add_default_route(root, "enp0s2")
    assert read_host(root)["default_route"] == ["enp0s2"]


def test_a_default_route_may_be_ipv6_only(host_files: Callable[..., Path]) -> None:
    root = host_files()
    zero = "0" * 32
    lo = f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200 lo\n"
    write(root / "proc/net/ipv6_route", lo)
    assert read_host(root)["default_route"] == []
    write(root / "proc/net/ipv6_route", lo + lo.replace("lo", "enp0s2"))
    assert read_host(root)["default_route"] == ["enp0s2"]


def test_the_ssh_session_comes_in_by_the_interface_of_its_network(host_files: Callable[..., Path]) -> None:
    root = host_files()
    # 10.0.2.0/24 and 10.0.3.0/24, and 10.0.0.0/8 behind a gateway.
    write(
        root / "proc/net/route",
        ROUTE
        + "eno1 0002000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        + "eno2 0003000A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        + "eno3 0000000A 0103000A 0003 0 0 0 000000FF 0 0 0\n",
    )
    assert read_host(root)["ssh"] == []
    write(root / "proc/self/environ", "HOME=/root\0SSH_CONNECTION=10.0.3.2 40000 10.0.2.15 22\0LANG=C\0")
    assert read_host(root)["ssh"] == ["eno1"]


def test_the_ssh_session_is_found_from_below_sudo(host_files: Callable[..., Path]) -> None:
    root = host_files()
    write(root / "proc/net/if_inet6", "20010db8000000000000000000000015 02 40 00 80 eno1\n")
    write(root / "proc/self/environ", "HOME=/root\0SUDO_USER=ops\0")
    write(root / "proc/self/status", "Name:\tpython3\nPPid:\t812\n")
    write(root / "proc/812/environ", "SSH_CONNECTION=2001:db8::2 40000 2001:db8::15 22\0")
    assert read_host(root)["ssh"] == ["eno1"]


def test_no_ssh_session_up_to_the_first_process(host_files: Callable[..., Path]) -> None:
    root = host_files()
    write(root / "proc/self/status", "Name:\tpython3\nPPid:\t1\n")
    write(root / "proc/1/status", "Name:\tsystemd\nPPid:\t0\nCpus_allowed_list:\t0-3\n")
    assert read_host(root)["ssh"] == []


def test_clock_services_are_those_that_start_at_the_next_boot(host_files: Callable[..., Path]) -> None:
    root = host_files()
    enable(root, "chrony.service", "chrony.service")
    enable(root, "phc2sys@eno1.service", "phc2sys@.service")
    enable(root, "cron.service", "cron.service")
    # Removed, but its link was left; and masked.
    enable(root, "openntpd.service", "openntpd.service")
    (root / "usr/lib/systemd/system/openntpd.service").unlink()
    enable(root, "ntpsec.service", "ntpsec.service")
    (root / "etc/systemd/system/ntpsec.service").symlink_to("/dev/null")
    assert read_host(root)["clock_services"] == ["chrony.service", "phc2sys@eno1.service"]


def test_hugepages_as_they_are(host_files: Callable[..., Path]) -> None:
    root = host_files()
    write(root / "sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n")
    write(root / "sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages", "160\n")
    write(
        root / "proc/self/mountinfo",
        "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "36 25 0:33 / /dev/hugepages2M rw,nosuid - hugetlbfs hugetlbfs rw,pagesize=2M\n",
    )
    mount = root / "dev/hugepages2M"
    mount.mkdir(parents=True)
    mount.chmod(0o750)
    facts = read_host(root)
    assert facts["transparent_hugepages"] == "madvise"
    assert [node["hugepages"]["2048kB"] for node in facts["nodes"]] == [0, 160]
    assert facts["hugetlbfs"] == {"/dev/hugepages2M": f"{mount.owner()} {mount.group()} 0750"}


def test_this_machine_can_be_read() -> None:
    facts = read_host()
    assert facts["cpus_online"]
    assert facts["nodes"][0]["memory_kb"] > 0
