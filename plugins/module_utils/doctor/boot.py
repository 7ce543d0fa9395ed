"""What the next boot will set: the entry that GRUB will start, and the result of sysctl.d."""

from __future__ import annotations

import re

from ..grub.entries import GrubError
from ..grub.menu import next_entry
from .host import Host


def boot_command_line(host: Host) -> list[str] | None:
    """Return the parameters of the entry that the next boot starts, be it asked for once, saved, or the default.

    None without a grub.cfg that has an entry; no parameters where the entry starts no Linux.
    """
    config, *others = (host.read(f"/boot/grub/{name}") or "" for name in ("grub.cfg", "custom.cfg", "grubenv"))
    entry = next_entry(config, *others)
    try:
        return None if entry is None else entry.parameters
    except GrubError:
        return []


NO_GRUB = "no /boot/grub/grub.cfg"

SYSCTL_DIRECTORIES = ("/usr/lib/sysctl.d", "/usr/local/lib/sysctl.d", "/run/sysctl.d", "/etc/sysctl.d")


def sysctl_path(key: str) -> str:
    """Return the key as a path below /proc/sys; its first separator, . or /, decides which is which (sysctl.d(5))."""
    first = re.search(r"[./]", key)
    if first and first.group() == ".":
        return key.translate(str.maketrans("./", "/."))
    return key


def boot_sysctl(host: Host, key: str) -> str | None:
    """Return the value that systemd-sysctl will set at the next boot (sysctl.d(5)).

    Of files with one name the last directory's counts, files apply in the order of their names, the last assignment
    wins. An explicit key wins over a glob, so globs needn't be looked at.
    """
    files: dict[str, str] = {}
    for directory in SYSCTL_DIRECTORIES:
        folder = host.path(directory)
        if folder.is_dir():
            files.update({path.name: f"{directory}/{path.name}" for path in folder.glob("*.conf")})
    value = None
    for name in sorted(files):
        for line in (host.read(files[name]) or "").splitlines():
            left, equals, right = line.partition("=")
            if (
                equals
                and not line.lstrip().startswith(("#", ";"))
                and sysctl_path(left.strip().lstrip("-")) == sysctl_path(key)
            ):
                value = right.strip()
    return value
