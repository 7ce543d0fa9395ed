"""How each kind of knob is turned by hand: a shell command for the host, from what the desired state says of the knob.

A kind of knob without an entry fails the test: whoever adds one says here how it is disturbed.
"""

from __future__ import annotations

from collections.abc import Callable
from shlex import quote
from typing import Any

Knob = dict[str, Any]

# Functions for the commands below.
PRELUDE = """
all_cpus=$(cat /sys/devices/system/cpu/online)
all_mask=$(printf '%x' $(((1 << $(nproc --all)) - 1)))
# another FILE: write a value that it doesn't have; of a choice, always [madvise] never, the first that isn't chosen.
another() {
  text=$(cat "$1")
  case $text in
    *'['*) for word in $text; do case $word in '['*) ;; *) echo "$word" >"$1"; return ;; esac; done ;;
    *[!0-9]*) echo 100 >"$1" ;;
    *) echo $((text + 1)) >"$1" ;;
  esac
}
# without FILE LINE: take a line out of a file.
without() { grep --invert-match --line-regexp --fixed-strings -- "$2" "$1" >/run/without; cat /run/without >"$1"; }
"""


class CannotBeTurnedError(Exception):
    """Nobody can turn this knob by hand while the host runs; the text says why."""


def cmdline(knob: Knob) -> str:
    """Take a parameter out of what the next boot sets; the running kernel's command line can't be changed."""
    key = knob["want"][0].partition("=")[0]
    return f"sed -i 's/ {key}=[^ \"]*//' /etc/default/grub.d/zz-wirebook.cfg /boot/grub/grub.cfg"


def boot_entry(knob: Knob) -> str:
    """Write a parameter into the boot entry."""
    return "sed -i '0,/^\\tlinux/s/^\\tlinux.*/& quiet/' /boot/grub/grub.cfg"


def cpulist(knob: Knob) -> str:
    raise CannotBeTurnedError("only a boot sets it: the trials prove that")


def sysctl(knob: Knob) -> str:
    """Set another value, or take the value of the next boot away where the kernel refuses or ignores any other."""
    key, value = knob["key"], knob["want"]
    other = 1 - int(value) if value in (0, 1) else int(value) + 1
    return (
        f"sysctl --quiet --write {key}={other} 2>/dev/null; [ $(sysctl --values {key}) = {other} ] || "
        f"without /etc/sysctl.d/60-wirebook.conf '{key} = {value}'"
    )


def hugepages(knob: Knob) -> str:
    node = f"/sys/devices/system/node/node{knob['node']}/hugepages/hugepages-{knob['size_kb']}kB"
    return f"another {node}/nr_hugepages"


def text(knob: Knob) -> str:
    return "; ".join(f"another {quote(path)}" for path in knob.get("paths", [knob.get("path")]))


def cpumask(knob: Knob) -> str:
    return f"echo $all_mask >{quote(knob['path'])}"


def interrupts(knob: Knob) -> str:
    """Let interrupts go to every CPU: those of a device, or all that can be moved."""
    numbers = f"/sys/bus/pci/devices/{knob['pci']}/msi_irqs/*" if "pci" in knob else "/proc/irq/[0-9]*"
    return f"for irq in {numbers}; do echo $all_cpus >/proc/irq/${{irq##*/}}/smp_affinity_list 2>/dev/null; done; true"


def kernel_threads(knob: Knob) -> str:
    return "taskset --cpu-list --pid $all_cpus $(pgrep --exact kswapd0 | head -n 1)"


def mount(knob: Knob) -> str:
    return f"umount --lazy {quote(knob['path'])}"


def lines(knob: Knob) -> str:
    return f"without {quote(knob['path'])} {quote(str(knob['want'][0]))}"


def owner(knob: Knob) -> str:
    return f"chown root:root {quote(knob['path'])}; chmod 0755 {quote(knob['path'])}"


def member(knob: Knob) -> str:
    """Take a user out of a group, which may be its own."""
    return f"usermod --gid nogroup {knob['user']}; gpasswd --delete {knob['user']} {knob['want']}"


def limit(knob: Knob) -> str:
    return f"sed -i '/ {knob['item']} /d' /etc/security/limits.d/60-wirebook.conf"


def affinity(knob: Knob) -> str:
    pid = knob.get("pid") or f"$(systemctl show --property=MainPID --value {quote(knob['unit'])})"
    return f"taskset --all-tasks --cpu-list --pid $all_cpus {pid}"


def locked_memory(knob: Knob) -> str:
    raise CannotBeTurnedError("a process locks its own memory, and nobody else can unlock it")


def iommu(knob: Knob) -> str:
    raise CannotBeTurnedError("only a boot sets it")


def module(knob: Knob) -> str:
    """Take it out of what the next boot loads; a module that is in use stays."""
    return f"without {quote(knob['boot_file'])} {quote(knob['boot_line'])}"


def driver(knob: Knob) -> str:
    return f"echo {knob['pci']} >/sys/bus/pci/devices/{knob['pci']}/driver/unbind"


def iommu_group(knob: Knob) -> str:
    raise CannotBeTurnedError("the group has no other device that a driver could be given")


def vfio_owner(knob: Knob) -> str:
    return f"chown root:root /dev/vfio/$(basename $(readlink /sys/bus/pci/devices/{knob['pci']}/iommu_group))"


def jitter(knob: Knob) -> str:
    raise CannotBeTurnedError("it's a measurement, which a virtual machine doesn't judge")


def nic(knob: Knob) -> str:
    """Give a NIC another value of a setting, by the option of ethtool that sets it."""
    name, want = str(knob["setting"]), knob["want"]
    interface = f"$(ls /sys/bus/pci/devices/{knob['pci']}/net)"
    other = "off" if want is True else "on"
    match name.partition("-"):
        case direction, _, "ring":
            return f"ethtool --set-ring {interface} {direction} 128"
        case direction, _, "pause":
            return f"ethtool --pause {interface} {direction} {other}"
        case _, _, "usecs":
            return f"ethtool --coalesce {interface} {name} {int(want) + 50}"
        case "adaptive", _, _:
            return f"ethtool --coalesce {interface} {name} {other}"
        case "channels", _, _:
            return f"ethtool --set-channels {interface} combined {int(want) + 1}"
        case "rx", _, "timestamps":
            return f"hwstamp_ctl -i {interface} -r 0"
        case "rss", _, _:
            return f"ethtool --set-rxfh-indir {interface} default"
    return f"ethtool --features {interface} {name} {other}"


def flow_rules(knob: Knob) -> str:
    interface = f"$(ls /sys/bus/pci/devices/{knob['pci']}/net)"
    return f"ethtool --show-ntuple {interface} | awk '/^Filter:/ {{ print $2; exit }}' | " + (
        f"xargs ethtool --config-ntuple {interface} delete"
    )


def nic_driver(knob: Knob) -> str:
    raise CannotBeTurnedError("it's what the NIC is")


def xdp_features(knob: Knob) -> str:
    raise CannotBeTurnedError("it's what the NIC's driver can do")


def ptp_state(knob: Knob) -> str:
    raise CannotBeTurnedError("it follows from ptp4l's service, which is stopped in the second round")


def smt_siblings(knob: Knob) -> str:
    raise CannotBeTurnedError("the twin's cores have one thread each")


def ptp_timescale(knob: Knob) -> str:
    raise CannotBeTurnedError("it's the grandmaster's")


def ptp_utc_offset(knob: Knob) -> str:
    raise CannotBeTurnedError("it's the grandmaster's")


def ptp_path_delay(knob: Knob) -> str:
    raise CannotBeTurnedError("it's the network's")


def clock_offset(knob: Knob) -> str:
    raise CannotBeTurnedError("whoever owns the clock corrects it at once")


def unit(knob: Knob) -> str:
    """Change what the service manager knows of a unit, in the way that fits the property."""
    name, want = quote(knob["unit"]), knob["want"]
    match knob["property"], want:
        case "ActiveState", "active":
            return f"systemctl stop {name}"
        case "ActiveState", "inactive":
            raise CannotBeTurnedError("the unit isn't installed")
        case "UnitFileState", "enabled":
            return f"systemctl disable {name}"
        case "User", _:
            return f"sed -i 's/^User=.*/User=nobody/' /etc/systemd/system/{name}; systemctl daemon-reload"
        case "LimitMEMLOCK", _:
            file = "/etc/systemd/system/wirebook-.service.d/60-limits.conf"
            return f"sed -i 's/^LimitMEMLOCK=.*/LimitMEMLOCK=65536/' {file}; systemctl daemon-reload"
    raise KeyError(f"nobody said yet how a unit's {knob['property']}={want} is disturbed")


DISTURBANCES: dict[str, Callable[[Knob], str]] = {
    one.__name__: one
    for one in (
        cmdline, boot_entry, cpulist, sysctl, hugepages, text, cpumask, interrupts, kernel_threads, smt_siblings, mount,
        lines, owner, member, limit, affinity, locked_memory, iommu, module, driver, iommu_group, vfio_owner, jitter,
        nic, flow_rules, nic_driver, xdp_features, ptp_state, ptp_timescale, ptp_utc_offset, ptp_path_delay,
        clock_offset, unit,
    )
}  # fmt: skip


def later(knob: Knob) -> bool:
    """Whether a knob is turned in a second round.

    Turning it hides what was done to others beside it; or what is done to others, such as a NIC's rings, has the host
    mend it at once, as interrupts.
    """
    return knob["probe"] in ("mount", "driver", "interrupts", "kernel_threads") or (
        (knob["probe"] == "unit" and knob["property"] in ("ActiveState", "User"))
        or knob.get("path") == "/proc/irq/default_smp_affinity"
    )


def last(knob: Knob) -> bool:
    """Whether a knob is turned after the others: the boot entry is compared with them, and a reload moves systemd."""
    return knob["probe"] == "boot_entry" or knob.get("pid") == 1
