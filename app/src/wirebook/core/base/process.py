"""What the kernel tells of a process, /proc/PID/status (proc(5))."""

from __future__ import annotations

from pathlib import Path


def status(pid: int | str = "self") -> dict[str, str]:
    """All fields by name, such as "VmLck": "0 kB"; empty for a process that isn't there, or isn't ours to see."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def status_bytes(field: str, pid: int | str = "self") -> int:
    """A field that is in kB, in bytes; 0 when the kernel doesn't tell it."""
    value = status(pid).get(field, "0 kB").split()
    return int(value[0]) * 1024
