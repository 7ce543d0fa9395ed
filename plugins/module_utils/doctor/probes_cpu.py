"""Probes of what runs on which CPU: interrupts, kernel threads, masks."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .host import CannotProbeError, Host, cpu_set
from .knobs import ABSENT, Knob, Probe, Reading

# task_struct.flags (include/linux/sched.h), the ninth field of /proc/PID/stat (proc_pid_stat(5)).
PF_KTHREAD = 0x00200000
PF_NO_SETAFFINITY = 0x04000000
FLAGS_AFTER_NAME = 6


def mask_set(text: str) -> frozenset[int]:
    """Return the CPUs of a kernel mask, hexadecimal words separated by commas."""
    bits = int(text.replace(",", "") or "0", 16)
    return frozenset(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def as_list(cpus: frozenset[int]) -> str:
    """Return a set of CPUs as text."""
    return ",".join(map(str, sorted(cpus))) or "none"


def probe_cpumask(host: Host, knob: Knob) -> Reading:
    """Compare a file that holds a mask of CPUs, as a set; `want` is a CPU list."""
    text = host.read(knob.argument("path"))
    if text is None:
        return Reading(ABSENT, running_ok=False)
    found = mask_set(text)
    return Reading(as_list(found), running_ok=found == cpu_set(str(knob.want)))


def interrupts(host: Host) -> Iterator[tuple[str, str, frozenset[int]]]:
    """Yield number, name and CPUs of each interrupt that has a handler (core-api/irq/irq-affinity.rst).

    The CPUs are those that it may be delivered to: the effective one is among them, but for an interrupt that moves
    only when it comes the next time.
    """
    for folder in sorted(host.path("/proc/irq").glob("[0-9]*"), key=lambda path: int(path.name)):
        names = [entry.name for entry in folder.iterdir() if entry.is_dir()]
        if names:
            text = host.read(f"/proc/irq/{folder.name}/smp_affinity_list") or ""
            yield folder.name, names[0], cpu_set(text)


def probe_interrupts(host: Host, knob: Knob) -> Reading:
    """Compare where interrupts may be delivered, all or those of the PCI device `pci`: only on CPUs of `want`.

    What the kernel manages itself (the file `refused` lists it) is for isolcpus=managed_irq.
    """
    wanted = cpu_set(str(knob.want))
    exempt = set(json.loads(host.read(knob.spec.get("refused", "/nonexistent")) or "[]"))
    only = None
    if "pci" in knob.spec:
        folder = host.path(f"/sys/bus/pci/devices/{knob.spec['pci']}/msi_irqs")
        only = {path.name for path in folder.glob("*")} if folder.is_dir() else set()
    found = [entry for entry in interrupts(host) if only is None or entry[0] in only]
    astray = [(n, name, cpus) for n, name, cpus in found if not cpus <= wanted and int(n) not in exempt]
    if astray:
        told = "; ".join(f"{number} ({name}) on {as_list(cpus)}" for number, name, cpus in astray)
        return Reading(told, running_ok=False)
    if only is not None and not found:
        return Reading("no interrupt has a handler: the interface is down", running_ok=True)
    movable = [cpus for number, _, cpus in found if int(number) not in exempt]
    everywhere: frozenset[int] = frozenset().union(*movable)
    managed = f", {len(found) - len(movable)} more managed by the kernel" if len(found) > len(movable) else ""
    return Reading(f"{len(movable)} interrupts on {as_list(everywhere)}{managed}", running_ok=True)


def unbound_kernel_threads(host: Host) -> Iterator[tuple[str, str, frozenset[int]]]:
    """Yield PID, name and CPUs of the kernel threads that may be moved."""
    for folder in sorted(host.path("/proc").glob("[0-9]*"), key=lambda path: int(path.name)):
        stat = host.read(f"/proc/{folder.name}/stat") or ""
        name, _, rest = stat.partition("(")[2].rpartition(")")
        fields = rest.split()
        flags = int(fields[FLAGS_AFTER_NAME]) if len(fields) > FLAGS_AFTER_NAME else 0
        if flags & PF_KTHREAD and not flags & PF_NO_SETAFFINITY:
            cpus = host.process_status(folder.name, "Cpus_allowed_list")
            if cpus is not None:
                yield folder.name, name, cpu_set(cpus)


def probe_kernel_threads(host: Host, knob: Knob) -> Reading:
    """Compare where kernel threads that aren't bound to a CPU may run: only on `want`."""
    wanted = cpu_set(str(knob.want))
    found = list(unbound_kernel_threads(host))
    astray = [(pid, name, cpus) for pid, name, cpus in found if not cpus <= wanted]
    if astray:
        return Reading("; ".join(f"{name} ({pid}) on {as_list(cpus)}" for pid, name, cpus in astray), running_ok=False)
    return Reading(f"{len(found)} threads on {knob.want}", running_ok=True)


CPUS = "/sys/devices/system/cpu"
NO_SMT = ("notsupported", "notimplemented")


def probe_smt_siblings(host: Host, knob: Knob) -> Reading:
    """Look for SMT siblings of the isolated CPUs `cpus` that are online and not isolated; `want` is "offline"."""
    if host.read(f"{CPUS}/smt/control") in NO_SMT:
        raise CannotProbeError("this machine has no SMT, or its firmware has it off")
    isolated = cpu_set(str(knob.argument("cpus")))
    online: frozenset[int] = frozenset().union(
        *(cpu_set(host.read(f"{CPUS}/cpu{cpu}/topology/thread_siblings_list") or "") for cpu in isolated)
    )
    left = online - isolated
    return Reading(f"online: {as_list(left)}" if left else "offline", running_ok=not left)


PROBES = {
    "cpumask": Probe(probe_cpumask, "kernel"),
    "interrupts": Probe(probe_interrupts, "kernel"),
    "kernel_threads": Probe(probe_kernel_threads, "kernel"),
    "smt_siblings": Probe(probe_smt_siblings, "kernel"),
}
