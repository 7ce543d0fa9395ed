"""wirebook-jitter: how long the isolated CPUs are interrupted (oslat) and how late they wake up (cyclictest)."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import platform
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from ..jitter.results import FORMAT, ResultError, read_tool
from ..topology.cpus import format_cpus, parse_cpus
from .arguments import counted, cpu_list
from .program import Argument, FailedError, MistakeError, Program
from .system import at, settings, systemctl, tell

SETTINGS = "/etc/wirebook/jitter.json"
RESULTS = "/var/lib/wirebook/jitter"
LOCK = "/run/wirebook-jitter.lock"
BUCKETS = 1024  # of 1 us each
FILES_OF_A_GROUP = 10


def running_on(cpus: frozenset[int]) -> dict[str, set[int]]:
    """Return what may run on these CPUs but kernel threads: units, or commands outside of any, and their CPUs.

    Whoever doesn't ask for an isolated CPU isn't let onto one (CPUAffinity= of the service manager).
    """
    found: dict[str, set[int]] = {}
    for task in at("/proc").glob("[0-9]*/task/[0-9]*"):
        process = task.parent.parent
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if not (process / "cmdline").read_bytes():
                continue  # a kernel thread, or a process that is ending
            status = dict(line.partition(":")[::2] for line in (task / "status").read_text().splitlines())
            allowed = parse_cpus(status["Cpus_allowed_list"]) & cpus
            if allowed:
                unit = (process / "cgroup").read_text().strip().rpartition("/")[2]
                name = unit if unit.endswith(".service") else f"{status['Name'].strip()} ({process.name})"
                found.setdefault(name, set()).update(allowed)
    return found


def units_to_stop(cpus: frozenset[int], named: list[str]) -> list[str]:
    """Return the units that run on these CPUs, all of them named. MistakeError: something else runs there."""
    busy = running_on(cpus)
    others = {name: where for name, where in busy.items() if name not in named}
    if others:
        told = ", ".join(f"{name} on {format_cpus(where)}" for name, where in sorted(others.items()))
        units = " ".join(sorted(name for name in busy if name.endswith(".service")))
        raise MistakeError(
            f"The CPUs aren't free: {told}. While nothing trades, "
            + (f"have it stopped and started again by STOP='{units}', or " if units else "stop it, or ")
            + "measure other CPUs by CPUS=LIST."
        )
    return sorted(busy)


@contextlib.contextmanager
def stopped(units: list[str]) -> Iterator[None]:
    """Stop units for as long as this lasts, and start them again whatever happens."""
    try:
        if units:
            systemctl("stop", "--", *units)
        yield
    finally:
        if units:
            systemctl("start", "--", *units)


@contextlib.contextmanager
def load(housekeeping: frozenset[int]) -> Iterator[str]:
    """Keep the housekeeping CPUs busy with processes that wake each other up by pipes; yield the command."""
    command = [
        "taskset", "--cpu-list", format_cpus(housekeeping),
        "hackbench", "--pipe", "--fds", str(FILES_OF_A_GROUP), "--groups", str(len(housekeeping)),
        "--loops", str(10**9),
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
    try:
        yield " ".join(command)
        if process.poll() is not None:
            raise FailedError(
                "The load (hackbench) ended by itself, so the figures are those of an idle host: run it by hand."
            )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def commands(cpus: frozenset[int], housekeeping: frozenset[int], seconds: int) -> dict[str, list[str]]:
    """Return the tools' command lines, without the file that they write.

    oslat runs as the engine does, in the normal scheduling class: the kernel takes time from a real-time thread that
    never sleeps (sched-rt-group.rst). cyclictest leaves power management as it is: what the host does is asked.
    """
    listed = format_cpus(cpus)
    main = str(min(housekeeping))
    return {
        "oslat": [
            "oslat", "--quiet", "--cpu-list", listed, "--cpu-main-thread", main,
            "--duration", str(seconds), "--bucket-size", str(BUCKETS),
        ],
        "cyclictest": [
            "cyclictest", "--quiet", "--default-system", "--mlockall", "--policy=fifo", "--priority=1",
            f"--affinity={listed}", f"--threads={len(cpus)}", f"--mainaffinity={main}",
            "--interval=1000", f"--histogram={BUCKETS}", "--histfile=/dev/null", f"--duration={seconds}",
        ],
    }  # fmt: skip


def run_tool(command: list[str]) -> dict[str, Any]:
    """Run a tool and return what it found."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        done = subprocess.run([*command, f"--json={report}"], capture_output=True, text=True, check=False)
        if done.returncode != 0 or not report.exists():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise FailedError(f"`{' '.join(command)}` failed: {said[-1] if said else done.returncode}")
        try:
            return read_tool(command[0], report.read_text())
        except ResultError as error:
            raise FailedError(str(error)) from error


def measure(wanted: dict[str, Any], cpus: frozenset[int], seconds: int) -> dict[str, Any]:
    """Measure, and return the result as it is kept."""
    housekeeping = parse_cpus(wanted["housekeeping"])
    began = time.time()
    with load(housekeeping) as working:
        tools = {tool: run_tool(command) for tool, command in commands(cpus, housekeeping, seconds).items()}
    return {
        "format": FORMAT,
        "host": platform.node(),
        "time": began,
        "time_utc": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(began)),
        "seconds": seconds,
        "kernel": platform.release(),
        "command_line": at("/proc/cmdline").read_text().strip(),
        "load": working,
        "budgets_us": wanted["budgets_us"],
        "tools": tools,
    }


def keep(result: dict[str, Any]) -> Path:
    """Write the result to a file of its own, in one step."""
    folder = at(RESULTS)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime(result["time"]))
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=1) + "\n")
    return part.replace(path)


def end(number: int, _frame: object) -> NoReturn:
    """End through the finally blocks, which start again what was stopped."""
    raise SystemExit(128 + number)


def run(arguments: argparse.Namespace) -> int:
    """Measure and print where the result is."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end)
    wanted = settings(SETTINGS, "cpus", "housekeeping", "budgets_us")
    isolated = parse_cpus(wanted["cpus"])
    cpus = arguments.cpus or isolated
    if not cpus or not cpus <= isolated:
        raise MistakeError(f"Only isolated CPUs are measured, and those are {wanted['cpus'] or 'none'}: change CPUS.")
    named = [name if name.endswith(".service") else f"{name}.service" for name in arguments.stop]
    with at(LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MistakeError("a measurement runs already: wait for its end.") from None
        with stopped(units_to_stop(cpus, named)):
            path = keep(measure(wanted, cpus, arguments.seconds))
    tell(str(path))
    return 0


PROGRAM = Program(
    name="wirebook-jitter",
    summary="measure the jitter of the isolated CPUs under load",
    description=(
        "Measures how long the isolated CPUs are interrupted (oslat) and how late they wake up (cyclictest), while the "
        "housekeeping CPUs are kept busy (hackbench), and prints where the result is. node-doctor judges it.",
        "It is refused while something runs on those CPUs, unless that is to be stopped meanwhile.",
    ),
    run=run,
    arguments=(
        Argument("--seconds", "how many seconds each of the two tools measures (60)", {"type": counted, "default": 60}),
        Argument("--cpus", "these isolated CPUs (default: all)", {"type": cpu_list, "metavar": "LIST"}),
        Argument(
            "--stop", "stop this unit during the measurement, and start it again (may be repeated)",
            {"action": "append", "default": [], "metavar": "UNIT"},
        ),
    ),
    files={
        SETTINGS: "the isolated CPUs and the budgets",
        f"{RESULTS}/TIME.json": "the results",
    },
    examples={"wirebook-jitter --seconds 600 --stop wirebook-book": "Measure for ten minutes without the books."},
    see_also=("oslat(8)", "cyclictest(8)", "hackbench(8)", "node-doctor(8)"),
)  # fmt: skip
