"""Where a hot process runs, and what must not interrupt it there."""

import gc
import os

from wirebook.errors import UserError


def pin(cpu: int, key: str) -> None:
    """Bind this process to one CPU and read the binding back. UserError names `key`, the setting that asked for it."""
    try:
        os.sched_setaffinity(0, {cpu})
    except (OSError, ValueError):
        online = os.cpu_count() or 1
        if cpu >= online:
            raise UserError(f"{key} is {cpu}, but this host has CPUs 0 to {online - 1}: choose one of them") from None
        raise UserError(
            f"{key} is {cpu}, which this process may not use: see AllowedCPUs= of its unit or slice"
        ) from None
    running = os.sched_getaffinity(0)
    if running != {cpu}:
        raise UserError(f"{key} is {cpu}, but the kernel left the process on {sorted(running)}: see its cpuset")


def freeze_gc() -> None:
    """Collect once, then never again: what lives now lives as long as the process, and a hot loop makes no cycles."""
    gc.collect()
    gc.freeze()
    gc.disable()
