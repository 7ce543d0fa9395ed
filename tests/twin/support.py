"""A twin as an operator has it: by make, by ssh, and by what it says of itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recap import changed_nothing

PROJECT = Path(__file__).resolve().parents[2]
HOST = "lab1"
WIREBOOK = "/opt/wirebook/current/venv/bin/wirebook"

# Values that the kernel counts up by itself, or draws at each boot.
VOLATILE = "fs.dentry|fs.file-nr|fs.inode|fs.quota|kernel.ns_last_pid|kernel.random|kernel.pty.nr|net.netfilter"
# What a host is, by a command that prints it.
PICTURE = {
    "files": (
        "sh /run/fingerprint /run/picture /boot /etc /opt /root /srv /usr/local /var/lib /var/spool; "
        "cat /run/picture; rm /run/picture /run/fingerprint"
    ),
    "packages": "dpkg-query --show --showformat '${Package} ${Version} ${db:Status-Abbrev}\n'",
    # A login is a unit too, a transient one.
    "unit files": "systemctl list-unit-files --no-legend --plain | awk '$2 != \"transient\" { print $1, $2 }'",
    "units": (
        "systemctl list-units --no-legend --plain --state=active,failed --type=service,timer,mount,socket "
        "| awk '{ print $1, $3 }'"
    ),
    "command line": "tr ' ' '\\n' </proc/cmdline",
    # Not by sysctl --all: when kernel.sched_rt_runtime_us is read, Linux 6.12 loses its account of the fair servers.
    "sysctls": (
        "cd /proc/sys; find . -type f ! -name 'sched_rt*' ! -name 'sched_deadline*' -exec grep --text . {} + "
        f"2>/dev/null | sed -e 's,^./,,' -e 's,/,.,g' | grep -vE '^({VOLATILE})'"
    ),
    "hugepages": "cd /sys/kernel/mm; grep . transparent_hugepage/enabled hugepages/*/nr_hugepages",
    "drivers": "for device in /sys/bus/pci/devices/*; do echo ${device##*/} $(readlink $device/driver); done",
    "manager": "taskset --cpu-list --pid 1",
    "accounts": "cat /etc/passwd /etc/group",
}
# What differs from hour to hour and from login to login on a host that nobody changes.
UNRELATED = {
    "files": (
        r"/var/lib/(chrony|private|dbus|logrotate|PackageKit)\b",  # other services' own state
        r"/root/\.ansible",  # Ansible's folder for its modules
        r"^(net\.core\.netdev_rss_key|vm\.(user|admin)_reserve)",  # drawn or derived at each boot
    ),
    # Timers of the system, by the hour of the day; logins.
    "units": (r"^(systemd-|apt-|ldconfig|dpkg-|e2scrub|fstrim|logrotate|man-db|user@|user-runtime-dir@)",),
    # The kernel derives them anew at each boot from the memory that is free.
    "sysctls": (
        r"^(kernel\.(core_pipe|threads-max)|vm\.(min_free|user_reserve|admin_reserve)|net\.ipv4\.(tcp|udp)_mem|user\.max_)",
        r"^net\.core\.netdev_rss_key",  # drawn at each boot
    ),
}


def differences(
    before: dict[str, set[str]], now: dict[str, set[str]], expected: Mapping[str, tuple[str, ...]]
) -> dict[str, list[str]]:
    """Return by section what is in one picture only, marked - or +, but for what is unrelated or expected."""
    found = {}
    for section in PICTURE:
        patterns = UNRELATED.get(section, ()) + expected.get(section, ())
        leave_out = re.compile("|".join(patterns or ("$^",)))
        lines = [f"- {line}" for line in before[section] - now[section]] + [
            f"+ {line}" for line in now[section] - before[section]
        ]
        print(f"  {section}: {len(before[section])} lines before, {len(lines)} differences")
        if unexpected := sorted(line for line in lines if not leave_out.search(line[2:].rstrip())):
            found[section] = unexpected
            print("\n".join(f"    {line}" for line in unexpected))
    return found


@dataclass(frozen=True)
class Run:
    """A finished command: its exit status, everything it said, and how many seconds it took."""

    status: int
    output: str
    seconds: float

    @property
    def end(self) -> str:
        """The last lines of what it said: where Ansible tells what failed."""
        return "\n".join(["", *self.output.splitlines()[-30:]])

    @property
    def changed_nothing(self) -> bool:
        """Whether its last playbook left the twin as it was."""
        return changed_nothing(self.output, HOST)


@dataclass(frozen=True)
class Twin:
    """A twin with its own folder and port."""

    folder: Path
    port: int

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which make means this twin, without the options of the make that runs the tests."""
        not_ours = {"MAKEFLAGS", "MFLAGS", "HOST", "INVENTORY"}
        inherited = {name: value for name, value in os.environ.items() if name not in not_ours}
        return inherited | {"LAB_DIR": str(self.folder), "LAB_PORT": str(self.port), "ANSIBLE_NOCOLOR": "1"}

    def make(self, target: str) -> Run:
        """Run a make target for this twin; print the name of each task as it begins."""
        return self._run(["make", target, f"HOST={HOST}"])

    def play(self, playbook: str, *options: str) -> Run:
        """Run a playbook for this twin, as make does, with more options."""
        return self._run(["ansible-playbook", "-i", "inventory/lab", "--limit", HOST, *options, playbook])

    def _run(self, command: list[str]) -> Run:
        print(f"\n  {' '.join(command)}", flush=True)
        started = time.monotonic()
        output = []
        with self.start(command) as process:
            assert process.stdout
            for line in process.stdout:
                output.append(line)
                if line.startswith("TASK ["):
                    print(f"  {time.monotonic() - started:4.0f} s  {line[6 : line.rindex(']')]}", flush=True)
        return Run(process.returncode, "".join(output), time.monotonic() - started)

    def start(self, command: list[str]) -> subprocess.Popen[str]:
        """Start a command for this twin in a process group of its own."""
        return subprocess.Popen(
            command,
            cwd=PROJECT,
            env=self.environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def succeed(self, target: str) -> Run:
        """Run a make target that has to succeed."""
        run = self.make(target)
        assert run.status == 0, run.end
        return run

    def ssh(self, command: str, text: str | None = None) -> str:
        """Run a command in the guest, with this text on its standard input, and return what it prints.

        It has to succeed.
        """
        ssh = ["ssh", "-F", str(self.folder / HOST / "ssh_config"), HOST]
        standard_input = {"input": text} if text is not None else {"stdin": subprocess.DEVNULL}
        result = subprocess.run(
            [*ssh, command], capture_output=True, text=True, timeout=600, check=False, **standard_input
        )
        assert result.returncode == 0, result.stderr
        return str(result.stdout).strip()

    def boot_id(self) -> str:
        """Return which boot this is."""
        return self.ssh("cat /proc/sys/kernel/random/boot_id")

    def command_line(self) -> list[str]:
        """Return the running kernel's command line but for the kernel's path."""
        return self.ssh("cat /proc/cmdline").split()[1:]

    def knobs(self) -> dict[str, dict[str, Any]]:
        """Return node-doctor's verdicts by the names of the knobs."""
        report = json.loads(self.ssh("node-doctor --json || [ $? = 1 ]"))
        return {knob["name"]: knob for knob in report["knobs"]}

    def desired(self) -> dict[str, dict[str, Any]]:
        """Return what the roles said of their knobs, by name."""
        fragments = json.loads(
            "[" + self.ssh("cd /etc/wirebook/desired.d; for f in *.json; do cat $f; echo ,; done") + "{}]"
        )
        return {knob["name"]: knob for fragment in fragments for knob in fragment.get("knobs", [])}

    def picture(self) -> dict[str, set[str]]:
        """Return what an undo has to give back, by section, each a set of lines."""
        self.ssh("cat >/run/fingerprint", (PROJECT / "molecule/shared/fingerprint").read_text())
        sections = {}
        for name, command in PICTURE.items():
            sections[name] = set(self.ssh(command).splitlines())
        return sections

    def books(self) -> list[dict[str, Any]]:
        """Return the books as a strategy sees them."""
        said = json.loads(self.ssh(f"{WIREBOOK} top --once --json --config /etc/wirebook/engine.toml"))
        symbols: list[dict[str, Any]] = said["symbols"]
        return symbols

    def started(self) -> dict[str, tuple[str, ...]]:
        """Return each running wirebook service's process, and when that and the unit were started (µs of uptime)."""
        properties = ("Id", "MainPID", "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        command = f"systemctl show --property={','.join(properties)} --state=running 'wirebook-*.service'"
        units = (dict(line.split("=", 1) for line in unit.splitlines()) for unit in self.ssh(command).split("\n\n"))
        return {unit["Id"]: tuple(unit[name] for name in properties[1:]) for unit in units}

    def status_of(self, unit: str) -> dict[str, str]:
        """Return /proc/PID/status of a unit's main process."""
        text = self.ssh(f"cat /proc/$(systemctl show --property MainPID --value {unit})/status")
        return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}
