"""Access to the host: its files, its commands, its service manager."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from ..topology.cpus import parse_cpus


class CannotProbeError(Exception):
    """The knob can't be read here; the text says why and becomes the reason of a NOT-RUN."""


@dataclass
class Host:
    """Access to the host's files below `root` and to its service manager."""

    root: Path = Path("/")
    _answers: dict[tuple[str, ...], str | CannotProbeError] = field(default_factory=dict)
    _units: dict[str, dict[str, str]] = field(default_factory=dict)
    _limits: dict[str, dict[str, str]] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return where the absolute path `name` is below the root."""
        return self.root / name.lstrip("/")

    def read(self, name: str) -> str | None:
        """Return the file's text without outer white space; None if it doesn't exist."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise CannotProbeError(f"{name} can't be read: {error.strerror}") from error

    def owner(self, name: str) -> str | None:
        """Return a path's owner, group and mode, "root wirebook 0770"; None if it doesn't exist."""
        try:
            path = self.path(name)
            return f"{path.owner()} {path.group()} {path.stat().st_mode & 0o7777:04o}"
        except FileNotFoundError:
            return None
        except KeyError:
            return "a user or group without a name"

    def container(self) -> str:
        """Return the container manager's name, or nothing (systemd.io/CONTAINER_INTERFACE)."""
        return self.read("/run/systemd/container") or ""

    def command(self, *argv: str) -> str:
        """Return the command's output, cached from the first time; CannotProbeError if it is missing or fails."""
        if argv not in self._answers:
            try:
                self._answers[argv] = self._run(*argv)
            except CannotProbeError as error:
                self._answers[argv] = error
        answer = self._answers[argv]
        if isinstance(answer, CannotProbeError):
            raise answer
        return answer

    def _run(self, *argv: str) -> str:
        try:
            # Its messages are read too, and are the translator's in another locale.
            environment = os.environ | {"LC_ALL": "C.UTF-8"}
            done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env=environment)
        except FileNotFoundError:
            raise CannotProbeError(f"the command {argv[0]} isn't installed") from None
        except subprocess.TimeoutExpired:
            raise CannotProbeError(f"'{' '.join(argv)}' didn't answer within 60 s") from None
        if done.returncode != 0:
            raise CannotProbeError(f"'{' '.join(argv)}' failed: {done.stderr.strip() or done.returncode}")
        return done.stdout

    def unit(self, name: str) -> dict[str, str]:
        """Return all properties of a systemd unit."""
        if name not in self._units:
            lines = self.command("systemctl", "show", "--all", "--", name).splitlines()
            self._units[name] = dict(line.split("=", 1) for line in lines if "=" in line)
        return self._units[name]

    def session_limits(self, user: str) -> dict[str, str]:
        """Return the soft and hard limits of a session of `user`, by their names in prlimit(1)."""
        if user not in self._limits:
            prlimit = ("prlimit", "--noheadings", "--raw", "--output", "RESOURCE,SOFT,HARD")
            lines = self.command("runuser", "-u", user, "--", *prlimit).splitlines()
            self._limits[user] = dict(line.split(maxsplit=1) for line in lines)
        return self._limits[user]

    def main_pid(self, unit: str) -> str:
        """Return the PID of a running unit's main process; raise CannotProbeError when it isn't running."""
        pid = self.unit(unit).get("MainPID", "0")
        if pid == "0":
            raise CannotProbeError(f"{unit} isn't running")
        return pid

    def process_status(self, pid: str, key: str) -> str | None:
        """Return one line of /proc/PID/status."""
        for line in (self.read(f"/proc/{pid}/status") or "").splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return value.strip()
        return None


def cpu_set(text: str) -> frozenset[int]:
    """Return the CPUs of a list of the kernel or of systemd; CannotProbeError: it is none.

    Lists that differ as text may be the same set (tuned#98). "(null)" is how the kernel prints an empty nohz_full.
    """
    try:
        return parse_cpus(text.replace("(null)", ""))
    except ValueError:
        raise CannotProbeError(f"'{text}' isn't a CPU list") from None
