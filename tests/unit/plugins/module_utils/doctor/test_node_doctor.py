"""node-doctor as it is run, on trees of files that stand for hosts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


CMDLINE = "isolcpus=managed_irq,domain,2-3 nohz_full=2-3"
GRUB_CFG = """
menuentry 'Debian GNU/Linux' --class debian {{
\tlinux\t/boot/vmlinuz-6.12 root=UUID=1 ro console=ttyS0 {}
}}
menuentry 'Debian GNU/Linux, recovery mode' {{
\tlinux\t/boot/vmlinuz-6.12 root=UUID=1 ro single console=ttyS0
}}
"""


# --- the kernel's command line


@pytest.fixture
def booted(tree: Tree) -> Tree:
    """Return a host that was booted with what its boot entry says."""
    tree.write("/boot/grub/grub.cfg", GRUB_CFG.format(CMDLINE))
    tree.write("/proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-6.12 root=UUID=1 ro console=ttyS0 {CMDLINE}\n")
    tree.desire({"name": "cmdline", "probe": "cmdline", "want": CMDLINE.split()})
    return tree


def test_cmdline_passes_in_any_order(booted: Tree) -> None:
    assert booted.status() == "PASS"
    booted.write("/proc/cmdline", "nohz_full=2-3 ro isolcpus=managed_irq,domain,2-3")
    assert booted.status() == "PASS"


def test_cmdline_needs_a_reboot(booted: Tree) -> None:
    booted.write("/proc/cmdline", "ro quiet")
    knob = booted.only()
    assert (knob["status"], knob["running"], knob["reason"]) == ("FAIL", "absent", "the next boot will set it")
    assert knob["boot"] == CMDLINE


def test_cmdline_that_the_next_boot_loses(booted: Tree) -> None:
    booted.write("/boot/grub/grub.cfg", GRUB_CFG.format(""))
    knob = booted.only()
    assert (knob["status"], knob["reason"]) == ("FAIL", "right now, but the next boot won't set it")


def test_cmdline_with_a_parameter_twice(booted: Tree) -> None:
    booted.write("/proc/cmdline", f"isolcpus=1 {CMDLINE}")
    knob = booted.only()
    assert (knob["status"], knob["running"]) == ("FAIL", f"isolcpus=1 {CMDLINE}")


@pytest.mark.parametrize("other", ["rcu-nocbs=1", "rcu_nocbs=1", "rcu_nocbs"])
def test_cmdline_with_a_parameter_spelled_in_two_ways(booted: Tree, other: str) -> None:
    """The kernel takes - and _ in a parameter's name for the same (kernel-parameters.rst)."""
    booted.desire({"name": "cmdline", "probe": "cmdline", "want": ["rcu_nocbs=2-3"]})
    booted.write("/boot/grub/grub.cfg", GRUB_CFG.format("rcu_nocbs=2-3"))
    booted.write("/proc/cmdline", "ro rcu_nocbs=2-3")
    assert booted.status() == "PASS"
    booted.write("/proc/cmdline", f"ro rcu_nocbs=2-3 {other}")
    assert (booted.only()["status"], booted.only()["running"]) == ("FAIL", f"rcu_nocbs=2-3 {other}")


@pytest.mark.parametrize(
    ("environment", "status"),
    [
        ("", "PASS"),
        ("next_entry=1\n", "FAIL"),
        ("next_entry=Debian GNU/Linux, recovery mode\n", "FAIL"),
        ("next_entry=0\nsaved_entry=1\n", "PASS"),
    ],
)
def test_the_next_boot_may_be_another_entry(booted: Tree, environment: str, status: str) -> None:
    """Such as one that is asked for once."""
    booted.write("/boot/grub/grubenv", environment)
    assert booted.status() == status
    if status == "FAIL":
        assert (booted.only()["boot"], booted.only()["running"]) == ("absent", CMDLINE)


def test_the_next_boot_may_be_what_was_saved(booted: Tree) -> None:
    config = (booted.root / "boot/grub/grub.cfg").read_text()
    booted.write("/boot/grub/grub.cfg", f'set default="${{saved_entry}}"\n{config}')
    assert booted.status() == "PASS"
    booted.write("/boot/grub/grubenv", "saved_entry=1\n")
    assert booted.only()["reason"] == "right now, but the next boot won't set it"


@pytest.mark.parametrize(
    ("in_menu", "running"),
    [
        (r"memmap=16M\$256M", "memmap=16M$256M"),
        ("dyndbg='file drivers/usb/* +p'", '"dyndbg=file drivers/usb/* +p"'),
        ('dyndbg="file drivers/usb/* +p"', '"dyndbg=file drivers/usb/* +p"'),
    ],
)
def test_the_boot_entry_is_read_as_grub_reads_it(booted: Tree, in_menu: str, running: str) -> None:
    booted.desire({"name": "cmdline as the boot entry", "probe": "boot_entry"})
    booted.write("/boot/grub/grub.cfg", GRUB_CFG.format(in_menu))
    booted.write("/proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-6.12 root=UUID=1 ro console=ttyS0 {running}\n")
    assert booted.status() == "PASS"
    booted.write("/proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-6.12 root=UUID=1 ro console=ttyS0 {running[:-4]}\n")
    assert booted.status() == "FAIL"


def test_cmdline_without_grub(booted: Tree) -> None:
    (booted.root / "boot/grub/grub.cfg").unlink()
    knob = booted.only()
    assert (knob["status"], knob["boot"]) == ("FAIL", "no /boot/grub/grub.cfg")


def test_the_boot_entry_and_the_running_command_line(booted: Tree) -> None:
    booted.desire({"name": "cmdline as the boot entry", "probe": "boot_entry"})
    assert booted.status() == "PASS"
    booted.write("/proc/cmdline", f"BOOT_IMAGE=/boot/vmlinuz-6.12 root=UUID=1 ro {CMDLINE} skew_tick=1\n")
    knob = booted.only()
    assert (knob["status"], knob["reason"]) == ("FAIL", "right now, but the next boot won't set it")
    assert (knob["running"], knob["boot"]) == ("has also skew_tick=1", "has also console=ttyS0")
    (booted.root / "boot/grub/grub.cfg").unlink()
    assert booted.only()["boot"] == "no /boot/grub/grub.cfg"


def test_a_trial_boot_that_was_confirmed_is_as_the_boot_entry(booted: Tree) -> None:
    booted.desire(
        {"name": "cmdline as the boot entry", "probe": "boot_entry"},
        {"name": "cmdline panic", "probe": "cmdline", "want": ["panic=10"]},
    )
    booted.write("/boot/grub/grub.cfg", GRUB_CFG.format("panic=10"))
    line = "BOOT_IMAGE=/boot/vmlinuz-6.12 root=UUID=1 ro console=ttyS0 panic=10"
    booted.write("/proc/cmdline", f"{line} panic=10 wirebook.trial=0123abcd")
    assert [knob["status"] for knob in booted.report()["knobs"]] == ["PASS", "PASS"]
    booted.write("/proc/cmdline", f"{line} panic=10")
    assert [knob["status"] for knob in booted.report()["knobs"]] == ["FAIL", "FAIL"]


def test_during_a_trial_only_what_runs_counts(booted: Tree) -> None:
    booted.desire(
        {"name": "cmdline", "probe": "cmdline", "want": CMDLINE.split()},
        {"name": "cmdline as the boot entry", "probe": "boot_entry"},
    )
    booted.write("/boot/grub/grub.cfg", GRUB_CFG.format(""))
    assert [knob["status"] for knob in booted.report()["knobs"]] == ["FAIL", "FAIL"]
    assert [knob["status"] for knob in booted.report("--now")["knobs"]] == ["PASS", "PASS"]
    booted.write("/proc/cmdline", "ro")
    assert [knob["status"] for knob in booted.report("--now")["knobs"]] == ["FAIL", "PASS"]


def test_cmdline_with_quotes(booted: Tree) -> None:
    booted.desire({"name": "cmdline", "probe": "cmdline", "want": ['dyndbg="file a.c +p"']})
    booted.write("/boot/grub/grub.cfg", GRUB_CFG.format('dyndbg="file a.c +p" x=y'))
    booted.write("/proc/cmdline", 'x=y dyndbg="file a.c +p"')
    assert booted.status() == "PASS"


# --- values in sysfs and procfs


@pytest.mark.parametrize(
    ("text", "status"), [("2-3\n", "PASS"), ("3,2\n", "PASS"), ("2\n", "FAIL"), ("", "FAIL"), ("(null)\n", "FAIL")]
)
def test_cpulist_is_compared_as_a_set(tree: Tree, text: str, status: str) -> None:
    tree.write("/sys/devices/system/cpu/nohz_full", text)
    tree.desire({"name": "nohz_full", "probe": "cpulist", "path": "/sys/devices/system/cpu/nohz_full", "want": "2-3"})
    assert tree.status() == status


def test_cpulist_absent(tree: Tree) -> None:
    tree.desire({"name": "nohz_full", "probe": "cpulist", "path": "/sys/devices/system/cpu/nohz_full", "want": "2-3"})
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "absent")


@pytest.fixture
def sysctl(tree: Tree) -> Tree:
    """Return a host with one sysctl as desired, running and for the next boot."""
    tree.write("/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n")
    tree.write("/etc/sysctl.d/60-wirebook.conf", "# why\nnet.ipv4.tcp_rmem = 4096 131072 6291456\n")
    tree.desire({"name": "s", "probe": "sysctl", "key": "net.ipv4.tcp_rmem", "want": "4096 131072 6291456"})
    return tree


def test_sysctl_passes(sysctl: Tree) -> None:
    assert sysctl.status() == "PASS"


def test_sysctl_changed_by_hand(sysctl: Tree) -> None:
    sysctl.write("/proc/sys/net/ipv4/tcp_rmem", "1 2 3\n")
    assert (sysctl.only()["status"], sysctl.only()["reason"]) == ("FAIL", "the next boot will set it")


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        pytest.param("/etc/sysctl.d/99-late.conf", "net/ipv4/tcp_rmem=1 2 3\n", "FAIL", id="a later file wins"),
        pytest.param("/etc/sysctl.d/10-early.conf", "net.ipv4.tcp_rmem=1 2 3\n", "PASS", id="an earlier one does not"),
        pytest.param("/usr/lib/sysctl.d/99-pkg.conf", "-net.ipv4.tcp_rmem=1 2 3\n", "FAIL", id="a package's file too"),
        pytest.param("/usr/lib/sysctl.d/60-wirebook.conf", "net.ipv4.tcp_rmem=1\n", "PASS", id="/etc hides the name"),
        pytest.param(
            "/etc/sysctl.d/99-late.conf", "#net.ipv4.tcp_rmem=1\n;net.ipv4.tcp_rmem=1\n", "PASS", id="comments"
        ),
        pytest.param("/etc/sysctl.d/99-late.conf", "net.ipv4.tcp_wmem=1\n", "PASS", id="another key"),
    ],
)
def test_sysctl_next_boot(sysctl: Tree, name: str, text: str, status: str) -> None:
    sysctl.write(name, text)
    assert sysctl.status() == status


def test_sysctl_with_a_dot_in_a_name(tree: Tree) -> None:
    tree.write("/proc/sys/net/ipv4/conf/eth0.100/rp_filter", "0\n")
    tree.write("/etc/sysctl.d/60-wirebook.conf", "net.ipv4.conf.eth0/100.rp_filter = 0\n")
    tree.desire({"name": "s", "probe": "sysctl", "key": "net/ipv4/conf/eth0.100/rp_filter", "want": 0})
    assert tree.status() == "PASS"


def test_hugepages_of_a_node(tree: Tree) -> None:
    path = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages"
    tree.write(path, "64\n")
    tree.write("/etc/wirebook/hugepages.conf", f"{path} 64\n")
    knob = {"name": "h", "probe": "hugepages", "node": 1, "size_kb": 2048, "want": 64}
    tree.desire(knob | {"boot_file": "/etc/wirebook/hugepages.conf", "boot_line": f"{path} 64"})
    assert tree.status() == "PASS"
    tree.write(path, "63\n")
    assert tree.only()["reason"] == "the next boot will set it"
    tree.write("/etc/wirebook/hugepages.conf", f"{path} 6\n")
    assert tree.only()["reason"] == "neither running nor set for the next boot"
    tree.write(path, "64\n")
    assert tree.only()["reason"] == "right now, but the next boot won't set it"


@pytest.mark.parametrize(
    ("text", "status"), [("always [madvise] never\n", "PASS"), ("[always] madvise never\n", "FAIL")]
)
def test_the_chosen_word_of_a_choice(tree: Tree, text: str, status: str) -> None:
    tree.write("/sys/kernel/mm/transparent_hugepage/enabled", text)
    tree.desire(
        {"name": "t", "probe": "text", "path": "/sys/kernel/mm/transparent_hugepage/enabled", "want": "madvise"}
    )
    assert tree.status() == status


MOUNT = "36 25 0:33 / /dev/hugepages2M rw,nosuid - hugetlbfs hugetlbfs rw,mode=770,pagesize=2M\n"


@pytest.mark.parametrize(
    ("mountinfo", "status"),
    [
        (MOUNT, "PASS"),
        (MOUNT.replace("=2M", "=1G"), "FAIL"),
        (MOUNT.replace("hugetlbfs", "tmpfs"), "FAIL"),
        ("", "FAIL"),
    ],
)
def test_mount(tree: Tree, mountinfo: str, status: str) -> None:
    tree.write("/proc/self/mountinfo", "25 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n" + mountinfo)
    want = {"type": "hugetlbfs", "options": ["pagesize=2M", "nosuid"]}
    tree.desire({"name": "m", "probe": "mount", "path": "/dev/hugepages2M", "want": want})
    assert tree.status() == status


def test_lines_of_a_file(tree: Tree) -> None:
    tree.write("/etc/x.conf", "[Service]\n LimitRTPRIO=10\n")
    tree.desire({"name": "l", "probe": "lines", "path": "/etc/x.conf", "want": ["LimitRTPRIO=10"]})
    assert tree.status() == "PASS"
    tree.write("/etc/x.conf", "[Service]\nLimitRTPRIO=100\n")
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "lacks LimitRTPRIO=10")
    (tree.root / "etc/x.conf").unlink()
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "absent")


def test_owner_group_and_mode(tree: Tree) -> None:
    path = tree.root / "dev/hugepages2M"
    path.mkdir(parents=True, mode=0o750)
    tree.desire(
        {"name": "o", "probe": "owner", "path": "/dev/hugepages2M", "want": f"{path.owner()} {path.group()} 0750"}
    )
    assert tree.status() == "PASS"
    path.chmod(0o777)
    assert tree.status() == "FAIL"


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ("wirebook:x:998:\ntrading:x:1001:ann,wirebook\n", ("PASS", "trading, wirebook")),
        ("wirebook:x:998:\ntrading:x:1001:ann,notwirebook\n", ("FAIL", "wirebook")),
        ("trading:x:998:\n", ("PASS", "trading")),
        ("other:x:99:\n", ("FAIL", "in no group")),
    ],
)
def test_a_user_is_in_a_group_as_its_own_or_as_a_member(tree: Tree, groups: str, expected: tuple[str, str]) -> None:
    tree.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwirebook:x:997:998::/nonexistent:/usr/sbin/nologin\n")
    tree.write("/etc/group", groups)
    tree.desire({"name": "m", "probe": "member", "user": "wirebook", "want": "trading"})
    assert (tree.only()["status"], tree.only()["running"]) == expected


def test_a_user_that_isnt_there_is_off(tree: Tree) -> None:
    tree.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    tree.desire({"name": "m", "probe": "member", "user": "wirebook", "want": "trading"})
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "no user wirebook")


# --- the service manager and processes

SHOW = "MainPID={pid}\\nActiveState=active\\nLimitMEMLOCK=infinity\\nCPUAffinity=2-3\\nExecStart={{ argv[]=a=b }}"


@pytest.fixture
def service(tree: Tree) -> Tree:
    """Return a host on which wirebook-book.service is the process 77."""
    tree.install("systemctl", f"printf '{SHOW.format(pid=77)}\\n'")
    tree.write(
        "/proc/77/status", "Name:\twirebook\nVmLck:\t  24892 kB\nHugetlbPages:\t  262144 kB\nCpus_allowed_list:\t3\n"
    )
    return tree


@pytest.mark.parametrize(
    ("name", "want", "status"),
    [
        ("LimitMEMLOCK", "infinity", "PASS"),
        ("LimitMEMLOCK", "8388608", "FAIL"),
        ("CPUAffinity", "3,2", "PASS"),
        ("CPUAffinity", "3", "FAIL"),
        ("NoSuchProperty", "1", "FAIL"),
    ],
)
def test_unit_property(service: Tree, name: str, want: str, status: str) -> None:
    service.desire({"name": "u", "probe": "unit", "unit": "wirebook-book.service", "property": name, "want": want})
    assert service.status() == status


def test_affinity_and_locked_memory_of_a_unit(service: Tree) -> None:
    service.desire(
        {"name": "a", "probe": "affinity", "unit": "wirebook-book.service", "want": "3"},
        {"name": "b", "probe": "affinity", "unit": "wirebook-book.service", "want": "2"},
        {"name": "c", "probe": "locked_memory", "unit": "wirebook-book.service", "want": 24892 + 262144},
        {"name": "d", "probe": "locked_memory", "unit": "wirebook-book.service", "want": 24892 + 262145},
    )
    knobs = service.report()["knobs"]
    assert [knob["status"] for knob in knobs] == ["PASS", "FAIL", "PASS", "FAIL"]


def test_a_unit_that_is_not_running_is_off(tree: Tree) -> None:
    tree.install("systemctl", "echo MainPID=0")
    tree.desire({"name": "a", "probe": "affinity", "unit": "wirebook-book.service", "want": "3"})
    assert (tree.only()["status"], tree.only()["running"]) == ("FAIL", "wirebook-book.service isn't running")


def test_affinity_of_a_process(tree: Tree) -> None:
    tree.write("/proc/1/status", "Cpus_allowed_list:\t0-1\n")
    tree.desire({"name": "a", "probe": "affinity", "pid": 1, "want": "0-1"})
    assert tree.status() == "PASS"


def test_limit_in_a_container_that_may_not_raise_any(tree: Tree) -> None:
    tree.install("runuser", 'echo "MEMLOCK 8388608 8388608"')
    tree.write("/run/systemd/container", "podman\n")
    tree.write("/proc/1/status", "CapBnd:\t000001fffeffffff\n")
    tree.desire({"name": "l", "probe": "limit", "user": "wirebook", "item": "memlock", "want": "unlimited"})
    assert tree.only()["status"] == "NOT-RUN"
    tree.write("/proc/1/status", "CapBnd:\t000001ffffffffff\n")
    assert tree.only()["status"] == "FAIL"


def test_limit_of_a_session(tree: Tree) -> None:
    tree.install("runuser", 'echo "$@" >> "${0%/*}/asked"; echo "RTPRIO 10 10"; echo "MEMLOCK unlimited unlimited"')
    tree.desire({"name": "l", "probe": "limit", "user": "wirebook", "item": "memlock", "want": "unlimited"})
    assert tree.status() == "PASS"
    asked = (tree.root / "bin/asked").read_text()
    assert asked == "-u wirebook -- prlimit --noheadings --raw --output RESOURCE,SOFT,HARD\n"


@pytest.mark.parametrize("found", ["8388608 unlimited", "unlimited 8388608", "8388608 8388608", "-"])
def test_soft_and_hard_limit_must_both_be_as_desired(tree: Tree, found: str) -> None:
    tree.install("runuser", f'echo "RTPRIO unlimited unlimited"; echo "MEMLOCK {found}"')
    tree.desire({"name": "l", "probe": "limit", "user": "wirebook", "item": "memlock", "want": "unlimited"})
    assert tree.status() == "FAIL"


def test_what_cannot_be_asked_is_not_run(tree: Tree) -> None:
    tree.install("runuser", "echo 'runuser: user wirebook does not exist' >&2; exit 1")
    tree.desire({"name": "l", "probe": "limit", "user": "wirebook", "item": "memlock", "want": "unlimited"})
    knob = tree.only()
    assert knob["status"] == "NOT-RUN"
    assert knob["reason"].endswith("runuser: user wirebook does not exist")


# --- containers


@pytest.fixture
def container(sysctl: Tree) -> Tree:
    """Return the host with the sysctl as a container."""
    sysctl.write("/run/systemd/container", "podman\n")
    return sysctl


def test_the_machines_knobs_are_not_run_in_a_container(container: Tree) -> None:
    container.write("/proc/sys/net/ipv4/tcp_rmem", "1 2 3\n")
    knob = container.only()
    assert knob["status"] == "NOT-RUN"
    assert knob["reason"] == "this is a podman container, and the knob is the machine's"


def test_a_wrong_file_is_a_fault_in_a_container_too(container: Tree) -> None:
    container.write("/etc/sysctl.d/60-wirebook.conf", "")
    assert container.status() == "FAIL"


def test_a_containers_own_knob_is_run(container: Tree) -> None:
    container.desire({"name": "s", "probe": "sysctl", "key": "net.ipv4.tcp_rmem", "want": "9", "scope": "node"})
    assert container.status() == "FAIL"


def test_a_container_has_no_boot_entry(container: Tree) -> None:
    container.desire({"name": "c", "probe": "cmdline", "want": ["nohz_full=2-3"]})
    assert container.status() == "NOT-RUN"


# --- the command


def test_table_names_the_knob_the_values_and_the_reason(sysctl: Tree) -> None:
    sysctl.write("/proc/sys/net/ipv4/tcp_rmem", "1 2 3\n")
    done = sysctl.run()
    assert done.returncode == 1
    assert "0 PASS, 1 FAIL, 0 NOT-RUN" in done.stdout
    assert (
        "FAIL s: the next boot will set it. Desired 4096 131072 6291456, "
        "next boot 4096 131072 6291456, running 1 2 3.\n     It is slow. [sched(7)]" in done.stdout
    )


def test_table_gives_one_reason_for_all_that_share_it(container: Tree) -> None:
    names = ("a", "b")
    container.desire(*({"name": name, "probe": "cpulist", "path": "/x", "want": "1"} for name in names))
    done = container.run()
    assert done.returncode == 0
    assert "\n0 PASS, 0 FAIL, 2 NOT-RUN\nNOT-RUN a, b: this is a podman container" in done.stdout


def test_only_the_named_roles(sysctl: Tree) -> None:
    sysctl.desire({"name": "x", "probe": "text", "path": "/nowhere", "want": "1"}, role="limits")
    assert [knob["name"] for knob in sysctl.report("--role", "sysctl")["knobs"]] == ["s"]
    assert [knob["name"] for knob in sysctl.report()["knobs"]] == ["x", "s"]


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("/etc/other", "", "There is no desired state in /etc/wirebook/desired.d: deploy this host first."),
        ("/etc/wirebook/desired.d/a.json", "{", "can't be read as JSON"),
        ("/etc/wirebook/desired.d/a.json", "[]", "isn't in format 1"),
        ("/etc/wirebook/desired.d/a.json", '{"format": 2}', "isn't in format 1"),
        ("/etc/wirebook/desired.d/a.json", '{"format": 1, "knobs": [{"name": "a"}]}', "lacks probe, source, breaks"),
    ],
)
def test_a_desired_state_that_cannot_be_used(tree: Tree, name: str, text: str, sentence: str) -> None:
    tree.write(name, text)
    done = tree.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("knob", "sentence"),
    [
        ({"probe": "guess", "want": 1}, "asks for the probe 'guess'; there are cmdline, boot_entry, cpulist, "),
        ({"probe": "text", "path": "/x"}, "lacks 'want'"),
        ({"probe": "text", "want": "x"}, "lacks 'path', which its probe 'text' needs"),
    ],
)
def test_a_knob_that_cannot_be_used(tree: Tree, knob: dict[str, Any], sentence: str) -> None:
    tree.desire({"name": "k"} | knob)
    done = tree.run()
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_an_unknown_role(sysctl: Tree) -> None:
    done = sysctl.run("--role", "nic")
    assert done.returncode == 2
    assert done.stderr == "node-doctor: There is no desired state of nic in /etc/wirebook/desired.d; there is sysctl.\n"


def test_an_unknown_option(sysctl: Tree) -> None:
    assert sysctl.run("--frobnicate").returncode == 2
