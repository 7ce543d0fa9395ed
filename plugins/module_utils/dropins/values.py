"""Values in the running kernel: below /sys, and sysctls."""

from __future__ import annotations

import errno
from pathlib import Path


class ValueRefusedError(Exception):
    """The running kernel can't have a value; the text is a sentence for the operator."""


def running_value(path: Path) -> str | None:
    """Return a value's text, of a choice the chosen word; None where there is no file, or nobody may read it.

    With Secure Boot it is locked down, and debugfs is closed (kernel_lockdown(7)): node-doctor says so.
    """
    try:
        text = path.read_text().strip()
    except (FileNotFoundError, PermissionError):
        return None
    except OSError as error:
        raise ValueRefusedError(f"The kernel doesn't tell {path} ({error.strerror}): look at dmesg.") from error
    _, bracket, rest = text.partition("[")
    return rest.partition("]")[0] if bracket else text


def is_same(path: Path, left: str, right: str) -> bool:
    """Whether two values are the same; masks of CPUs, which the kernel pads, are compared as numbers."""
    if path.name == "cpumask":
        return int(left.replace(",", ""), 16) == int(right.replace(",", ""), 16)
    return left == right


def set_value(path: Path, value: str) -> str:
    """Write a value and read it back; return a warning where the kernel takes it only after the next boot, or "".

    A fair server's runtime is such a value: once somebody has read kernel.sched_rt_runtime_us, Linux 6.12 has lost its
    account of them (sched_rt_handler() rebuilds the scheduler's domains for a read too).
    """
    try:
        path.write_text(f"{value}\n")
    except OSError as error:
        if error.errno == errno.EBUSY:
            return f"The kernel doesn't take {value} for {path} now ({error.strerror}): the next boot sets it."
        raise ValueRefusedError(f"The kernel refuses {value} for {path} ({error.strerror}): choose another.") from error
    found = running_value(path)
    if found is None or not is_same(path, found, value):
        raise ValueRefusedError(f"The kernel made {found or 'nothing'} of {value} in {path}: choose another value.")
    return ""


def set_sysctl(key: str, value: str) -> None:
    """Write a sysctl and read it back."""
    path = sysctl_path(key)
    try:
        path.write_text(f"{value}\n")
    except OSError as error:
        raise ValueRefusedError(
            f"The kernel refuses {key} = {value} ({error.strerror}): choose another value."
        ) from error
    found = running_sysctl(key)
    if found != value:
        raise ValueRefusedError(f"The kernel made {key} = {found} of {value}: choose another value.")


def running_sysctl(key: str) -> str:
    """Return a sysctl's value with single spaces between its numbers."""
    try:
        return " ".join(sysctl_path(key).read_text().split())
    except FileNotFoundError:
        raise ValueRefusedError(f"The running kernel has no sysctl {key}: boot one of Debian's own kernels.") from None


def sysctl_path(key: str) -> Path:
    """Return where the kernel shows a sysctl."""
    return Path("/proc/sys", key.replace(".", "/"))
