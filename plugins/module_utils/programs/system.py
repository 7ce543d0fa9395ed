"""The host as the programs see it: its files, its settings, its service manager."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..doctor.host import Host
from .program import FailedError, MistakeError

# The host is below this folder; tests put one of their own in its place.
ROOT = Path("/")
SYSTEMCTL = "/usr/bin/systemctl"


def host() -> Host:
    """Return the host as node-doctor asks it, looked at anew."""
    return Host(ROOT)


def at(path: str) -> Path:
    """Return where an absolute path of the host is."""
    return ROOT / path.lstrip("/")


def tell(line: str) -> None:
    """Print a line at once: who reads the log must not wait for the next."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # The reader (head, less) went away. What was begun is finished, and Python must not try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def settings(path: str, *keys: str) -> dict[str, Any]:
    """Return what a role wrote for a program, a JSON object with at least these keys."""
    try:
        found = json.loads(at(path).read_text())
    except FileNotFoundError:
        raise MistakeError(f"there is no {path}: deploy this host first.") from None
    except ValueError:
        raise MistakeError(f"{path} is damaged: deploy this host again.") from None
    check_keys(path, found, keys)
    return dict(found)


def check_keys(path: str, found: Any, keys: Iterable[str]) -> None:
    """Refuse an object of a role's file that lacks one of these keys."""
    if not isinstance(found, dict) or not set(keys) <= found.keys():
        raise MistakeError(f"{path} is of another version: deploy this host again.")


def chosen(path: Path) -> str:
    """Return a setting of the kernel; of a choice, "always [madvise] never", the chosen word."""
    text = path.read_text().strip()
    _, bracket, rest = text.partition("[")
    return rest.partition("]")[0] if bracket else text


def refusal(path: Path, value: str) -> str:
    """Write a value to a file of the kernel; return what the kernel says against it, or "".

    FileNotFoundError: there is no such file. PermissionError: the file is for root.
    """
    try:
        path.write_text(value)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.EACCES:
            raise
        return error.strerror or str(error)
    return ""


def systemctl(*arguments: str) -> None:
    """Run systemctl; FailedError: it failed, and has said itself what is wrong."""
    if subprocess.run([SYSTEMCTL, "--quiet", *arguments], check=False).returncode:
        raise FailedError(f"`systemctl {' '.join(arguments)}` failed.")


def properties(name: str, units: list[str]) -> list[str]:
    """Return a property of each unit, in order."""
    command = [SYSTEMCTL, "show", "--value", f"--property={name}", *units]
    # An empty line stands between two units.
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[::2]
