"""The probe of the last jitter measurement."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from .host import CannotProbeError, Host, cpu_set
from .knobs import Knob, Probe, Reading

UNITS = (("days", 86400), ("h", 3600), ("min", 60))


def probe_jitter(host: Host, knob: Knob) -> Reading:
    """Compare the longest latency that `tool` found in the last measurement with the budget `want`, in microseconds.

    A figure counts on bare metal only, and for the kernel, the command line and the CPUs that it was measured with:
    otherwise the knob is NOT-RUN and the reason has the figure.
    """
    result = last_result(host, knob.argument("path"))
    tool = knob.argument("tool")
    longest, cpu = max((int(found["max"]), number) for number, found in result["tools"][tool]["cpus"].items())
    told = (
        f"max {longest} us on CPU {cpu}, {result['seconds']} s under load, {age(time.time() - result['time'])} ago, "
        f"Linux {result['kernel']}"
    )
    if virtual(host):
        raise CannotProbeError(f"in a virtual machine no figure counts ({told})")
    kernel, command_line = host.read("/proc/sys/kernel/osrelease"), host.read("/proc/cmdline")
    if (result["kernel"], result["command_line"]) != (kernel, command_line):
        raise CannotProbeError(f"it was measured with another kernel or command line, measure again ({told})")
    missing = cpu_set(str(knob.argument("cpus"))) - {int(number) for number in result["tools"][tool]["cpus"]}
    if missing:
        listed = ",".join(map(str, sorted(missing)))
        raise CannotProbeError(f"CPU {listed} wasn't measured, measure again ({told})")
    return Reading(told, running_ok=longest <= int(knob.want))


def last_result(host: Host, folder: str) -> dict[str, Any]:
    """Return the newest result; its files are named by their time. CannotProbeError: there is none."""
    files = sorted(path.name for path in host.path(folder).glob("*.json"))
    if not files:
        raise CannotProbeError("it was never measured: `make jitter HOST=...` does, while nothing trades")
    try:
        result = json.loads(host.read(f"{folder}/{files[-1]}") or "")
    except ValueError as error:
        raise CannotProbeError(f"{folder}/{files[-1]} can't be read ({error}): measure again") from error
    return dict(result)


def virtual(host: Host) -> bool:
    """Whether this is a virtual machine: x86 hypervisors set a CPU flag (CPUID leaf 1, ECX bit 31)."""
    return bool(re.search(r"^flags\s*:.*\bhypervisor\b", host.read("/proc/cpuinfo") or "", re.MULTILINE))


def age(seconds: float) -> str:
    """Return a time span in its largest unit."""
    for unit, length in UNITS:
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


PROBES = {"jitter": Probe(probe_jitter, "kernel")}
