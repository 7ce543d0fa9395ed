"""All kinds of knobs that node-doctor can read."""

from __future__ import annotations

from . import probes_clock, probes_cpu, probes_jitter, probes_kernel, probes_nic, probes_node, probes_vfio

PROBES = (
    probes_kernel.PROBES
    | probes_cpu.PROBES
    | probes_nic.PROBES
    | probes_vfio.PROBES
    | probes_clock.PROBES
    | probes_node.PROBES
    | probes_jitter.PROBES
)
