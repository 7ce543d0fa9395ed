"""What the next boot will set: GRUB's first entry, and what sysctl.d amounts to."""

from __future__ import annotations

import re

from .cmdline import command_line
from .host import Host


def boot_command_line(host: Host) -> list[str] | None:
    """Return the parameters of GRUB's first entry; None without a grub.cfg.

    All normal entries get the same parameters from /etc/default/grub; recovery entries follow them and don't.
    """
    for line in (host.read("/boot/grub/grub.cfg") or "").splitlines():
        words = line.split(maxsplit=2)
        if words and words[0] in ("linux", "linuxefi"):
            return command_line(words[2] if len(words) == 3 else "")
    return None


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
