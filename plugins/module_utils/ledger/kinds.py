"""The kinds of things that roles change: how each is looked at, and how it is taken back."""

from __future__ import annotations

import base64
import grp
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .files import replace_file

RUNNING = ("active", "activating", "reloading")
DRIVERCTL = Path("/etc/driverctl.d")


class LedgerError(Exception):
    """Something can't be looked at or taken back; the text is a sentence for the operator."""


def run(*argv: str) -> str:
    """Run a command and return what it prints; LedgerError with what it says if it fails."""
    environment = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    except FileNotFoundError:
        raise LedgerError(f"The host has no {argv[0]}: install it, then try again.") from None
    if done.returncode != 0:
        raise LedgerError(f"`{' '.join(argv)}` failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


# --- files, folders, trees ----------------------------------------------------------------------------------


def look_file(key: str) -> dict[str, Any] | None:
    """Return type, mode, owners and content of a file, or a link's target."""
    path = Path(key)
    if path.is_symlink():
        return {"link": str(path.readlink())}
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(status.st_mode):
        raise LedgerError(f"{key} is neither a file nor a link: take it away, then deploy again.")
    return {
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
        "content": base64.b64encode(path.read_bytes()).decode(),
    }


def restore_file(key: str, before: dict[str, Any] | None) -> bool:
    """Give a file back what it held, or remove it where there was none. Return whether anything was done."""
    path = Path(key)
    if look_file(key) == before:
        return False
    if before is None:
        path.unlink()
    elif "link" in before:
        path.unlink(missing_ok=True)
        path.symlink_to(before["link"])
    else:
        if path.is_symlink():
            path.unlink()
        replace_file(path, base64.b64decode(before["content"]), before["mode"], before["uid"], before["gid"])
    return True


def look_there(key: str) -> bool | None:
    """Return None where nothing of this name exists."""
    return True if os.path.lexists(key) else None


def restore_folder(key: str, before: bool | None) -> bool:
    """Remove a folder that wasn't there, once it is empty: what others put there stays."""
    path = Path(key)
    if before is not None or not path.is_dir() or any(path.iterdir()):
        return False
    path.rmdir()
    return True


def restore_tree(key: str, before: bool | None) -> bool:
    """Remove all below a folder that wasn't there."""
    path = Path(key)
    if before is not None or not path.exists():
        return False
    shutil.rmtree(path)
    return True


def restore_data(key: str, before: bool | None) -> bool:
    """Keep what was recorded, for root alone: the user it belongs to goes, and its number may be given to another."""
    path = Path(key)
    if before is not None or not path.is_dir():
        return False
    if not any(path.iterdir()):
        path.rmdir()
        return True
    changed = False
    for one in (path, *path.rglob("*")):
        status = one.lstat()
        if (status.st_uid, status.st_gid) != (0, 0):
            os.lchown(one, 0, 0)
            changed = True
    return changed


# --- the running kernel -------------------------------------------------------------------------------------


def look_value(key: str) -> str | None:
    """Return a value below /proc/sys or /sys as it is written back; of "always [madvise] never" the chosen word."""
    try:
        text = Path(key).read_text().strip()
    except (FileNotFoundError, PermissionError):
        return None  # the device went away, or the kernel is locked down (kernel_lockdown(7))
    except OSError as error:
        raise LedgerError(f"The kernel doesn't tell {key} ({error.strerror}): look at dmesg.") from error
    _, bracket, rest = text.partition("[")
    return rest.partition("]")[0] if bracket else text


def restore_value(key: str, before: str | None) -> bool:
    """Write a value back where it differs. A file that went away with its device needs none."""
    if before is None or look_value(key) in (None, before):
        return False
    try:
        Path(key).write_text(f"{before}\n")
    except OSError as error:
        raise LedgerError(f"The kernel refuses to give {key} back its {before} ({error.strerror}).") from error
    return True


def override_file(key: str) -> Path:
    """Return where driverctl keeps the driver of a PCI device; its names begin with the bus."""
    return DRIVERCTL / f"pci-{key}"


def look_driver(key: str) -> str | None:
    """Return the driver that driverctl binds to the PCI device at every boot; None: the kernel's own choice."""
    path = override_file(key)
    return path.read_text().strip() if path.exists() else None


def restore_driver(key: str, before: str | None) -> bool:
    """Bind a PCI device as before; without an override the kernel chooses its driver."""
    if look_driver(key) == before:
        return False
    if before is None:
        run("driverctl", "unset-override", key)
    else:
        run("driverctl", "set-override", key, before)
    return True


# --- the service manager ------------------------------------------------------------------------------------


def look_unit(key: str) -> dict[str, str]:
    """Return whether a unit is enabled and whether it runs; a unit that isn't there is neither."""
    lines = run("systemctl", "show", "--property=UnitFileState,ActiveState", "--", key).splitlines()
    found = dict(line.partition("=")[::2] for line in lines)
    return {"enabled": found.get("UnitFileState", ""), "active": found.get("ActiveState", "inactive")}


def stop_unit(key: str, before: dict[str, str]) -> bool:
    """Stop and disable a unit that wasn't running or enabled: to be done while its file is still there."""
    now = look_unit(key)
    changed = False
    if now["active"] in (*RUNNING, "failed") and before["active"] not in RUNNING:
        run("systemctl", "stop", "--", key)
        if now["active"] == "failed":
            run("systemctl", "reset-failed", "--", key)
        changed = True
    if now["enabled"] == "enabled" and before["enabled"] != "enabled":
        run("systemctl", "disable", "--", key)
        changed = True
    if now["enabled"] == "masked" and before["enabled"] != "masked":
        run("systemctl", "unmask", "--", key)
        changed = True
    return changed


def start_unit(key: str, before: dict[str, str]) -> bool:
    """Enable and start a unit that was enabled or running: to be done when all files are as before."""
    now = look_unit(key)
    changed = False
    for state, verb in (("enabled", "enable"), ("masked", "mask")):
        if before["enabled"] == state != now["enabled"]:
            run("systemctl", verb, "--", key)
            changed = True
    if before["active"] in RUNNING and now["active"] not in RUNNING:
        run("systemctl", "start", "--", key)
        changed = True
    return changed


# --- packages, users, groups --------------------------------------------------------------------------------


def look_package(key: str) -> str | None:
    """Return a package's installed version."""
    done = subprocess.run(
        ["/usr/bin/dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}", key],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    state, _, version = done.stdout.partition(" ")
    return version if state == "installed" else None


def packages_of(names: list[str]) -> list[str]:
    """Return these packages and what else apt would install with them, recommendations left out."""
    simulate = ("apt-get", "--simulate", "--quiet", "--no-install-recommends", "install", *names)
    lines = run(*simulate).splitlines() if names else []
    return sorted({*names, *(line.split()[1] for line in lines if line.startswith("Inst "))})


def purge(names: list[str]) -> tuple[list[str], list[str]]:
    """Remove packages that weren't there, with their configuration; return those and the ones that others need now."""
    states = run("dpkg-query", "--show", "--showformat=${Package} ${db:Status-Abbrev}\n").splitlines()
    # "rc" is one that was removed by hand, its configuration still there; "un" is none.
    there = {line.split()[0] for line in states if not line.split()[1].endswith("n")}
    ours = sorted(there.intersection(names))
    going = ours if not _taken_along(ours) - set(ours) else [one for one in ours if not _taken_along([one]) - set(ours)]
    if going:
        run("apt-get", "--quiet", "--yes", "purge", *going)
    return going, [name for name in ours if name not in going]


def _taken_along(names: list[str]) -> set[str]:
    """Return all packages that apt would remove with these."""
    plan = run("apt-get", "--simulate", "--quiet", "purge", *names).splitlines() if names else []
    return {line.split()[1] for line in plan if line.startswith(("Remv ", "Purg "))}


def look_user(key: str) -> int | None:
    """Return a user's number."""
    try:
        return pwd.getpwnam(key).pw_uid
    except KeyError:
        return None


def restore_user(key: str, before: int | None) -> bool:
    """Remove a user that wasn't there."""
    if before is not None or look_user(key) is None:
        return False
    run("userdel", key)
    return True


def look_group(key: str) -> list[str] | None:
    """Return a group's members."""
    try:
        return sorted(grp.getgrnam(key).gr_mem)
    except KeyError:
        return None


def restore_group(key: str, before: list[str] | None) -> bool:
    """Remove a group that wasn't there, or give it back its members."""
    now = look_group(key)
    if now == before or now is None:
        return False
    if before is None:
        run("groupdel", key)
    else:
        run("gpasswd", "--members", ",".join(before), key)
    return True


# How each kind is looked at before it is changed.
LOOKS: dict[str, Callable[[str], Any]] = {
    "file": look_file,
    "folder": look_there,
    "tree": look_there,
    "data": look_there,
    "value": look_value,
    "driver": look_driver,
    "unit": look_unit,
    "package": look_package,
    "user": look_user,
    "group": look_group,
}
