"""All kinds of knobs that node-doctor can read."""

from __future__ import annotations

from . import probes_cpu, probes_kernel, probes_node, probes_vfio

PROBES = probes_kernel.PROBES | probes_cpu.PROBES | probes_node.PROBES | probes_vfio.PROBES
