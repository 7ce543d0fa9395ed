"""All kinds of knobs that node-doctor can read."""

from __future__ import annotations

from . import probes_kernel, probes_node

PROBES = probes_kernel.PROBES | probes_node.PROBES
