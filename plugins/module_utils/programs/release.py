"""wirebook-release: say which release of the feed engine runs on this host, and change it.

A release is the engine's code and its configuration together: /opt/wirebook/releases/<id>/ holds engine.toml,
feed_engine.json (what node-doctor proves), units/, and in `code` the name of the virtual environment it runs in.
Switching copies the units to systemd, moves the link `current` in one step and restarts. A release whose books don't
become LIVE in time is taken back here, on the host: a lost connection to the controller can't leave it half done.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

from ..dropins.due import FOLDER, Due
from ..topology.cpus import parse_cpus
from .arguments import counted, whole_number
from .program import STATUSES, Argument, Command, FailedError, MistakeError, Program
from .system import at, properties, systemctl, tell

RELEASES = "/opt/wirebook"
UNITS = "/etc/systemd/system"
TARGET = "wirebook.target"
SYSTEMD_RUN = "/usr/bin/systemd-run"
# Of the role clock, where it holds the feeds until the clock is good.
CLOCK_GATE = "wirebook-clock-gate.service"
# Where others look for what belongs to the release that runs. The command is in every user's PATH.
ALIASES = {
    "/etc/wirebook/engine.toml": "engine.toml",
    "/etc/wirebook/desired.d/feed_engine.json": "feed_engine.json",
    "/usr/local/bin/wirebook": "venv/bin/wirebook",
}
LOOK = "look at `journalctl -u 'wirebook-*'`"
POLL_SECONDS = 1.0
TOP_SECONDS = 30.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def root() -> Path:
    """Return the folder of all releases."""
    return at(RELEASES)


def current() -> Path:
    """Return the link to the release that runs."""
    return root() / "current"


def previous() -> Path:
    """Return the link to the release that ran before."""
    return root() / "previous"


def restart() -> Due:
    """Return whether the units and the link are of another release than what runs."""
    return Due("feed_engine", at(str(FOLDER)))


def linked(link: Path) -> Path | None:
    """Return the release that a link points to; None when there is none."""
    return link.resolve() if link.is_dir() else None


def point(link: Path, target: Path | None) -> bool:
    """Point a link to a target in one step: a reader sees the old or the new one. None removes it.

    Return whether that changed anything.
    """
    if target is None:
        there = link.is_symlink()
        link.unlink(missing_ok=True)
        return there
    if link.is_symlink() and link.readlink() == target:
        return False
    link.parent.mkdir(parents=True, exist_ok=True)
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)
    return True


def point_aliases() -> bool:
    """Point every alias into the release that runs; return whether one was off."""
    changed = [point(at(alias), current() / name) for alias, name in ALIASES.items()]
    return any(changed)


def unit_files(release: Path) -> list[str]:
    """Return the names of a release's unit files, the target and templates among them."""
    return sorted(unit.name for unit in (release / "units").iterdir())


def units_of(release: Path) -> list[str]:
    """Return the names of a release's units, the target among them; a template is none, only its instances are."""
    return [unit for unit in unit_files(release) if "@." not in unit]


def services_of(release: Path) -> list[str]:
    """Return the names of the services that a release runs."""
    return [unit for unit in units_of(release) if unit.endswith(".service")]


def has_units(release: Path) -> bool:
    """Whether systemd's units are exactly this release's."""
    return all(
        at(f"{UNITS}/{unit}").is_file()
        and at(f"{UNITS}/{unit}").read_bytes() == (release / "units" / unit).read_bytes()
        for unit in unit_files(release)
    )


def take_out(units: list[str]) -> None:
    """Stop units and take their files out of systemd."""
    there = [unit for unit in units if at(f"{UNITS}/{unit}").exists()]
    if there:
        systemctl("disable", "--now", *[unit for unit in there if "@." not in unit])
        for unit in there:
            at(f"{UNITS}/{unit}").unlink()
        systemctl("daemon-reload")


def switch(release: Path, running: Path | None) -> None:
    """Make a release the one that runs; return while it starts."""
    files = unit_files(release)
    restart().set()
    if running:
        take_out([unit for unit in unit_files(running) if unit not in files])
    for unit in files:
        shutil.copyfile(release / "units" / unit, at(f"{UNITS}/{unit}"))
    point(current(), release)
    point_aliases()
    systemctl("daemon-reload")
    systemctl("enable", TARGET)
    systemctl("reset-failed", *units_of(release))
    # Not waited for: a book process that finds no memory is started again and again, and wait_healthy() names it.
    systemctl("restart", "--no-block", TARGET)
    restart().clear()


def objections(release: Path) -> str | None:
    """Return what the release's own `wirebook check`, run with the services' rights, finds wrong; None: nothing."""
    # The unit's name brings the services' limits, from wirebook-.service.d.
    command = [SYSTEMD_RUN, "--unit=wirebook-check", "--quiet", "--pipe", "--wait", "--collect"]
    for setting in (
        "User=wirebook",
        "Group=wirebook",
        "AmbientCapabilities=CAP_IPC_LOCK",
        "RuntimeDirectory=wirebook",
        "RuntimeDirectoryPreserve=yes",
    ):
        command += ["--property", setting]
    if "wirebook-sim.service" in services_of(release):
        command.append("--setenv=WIREBOOK_OFFLINE=1")  # the simulated venue may not run yet, or with other instruments
    command += [f"{release}/venv/bin/wirebook", "check", "--config", f"{release}/engine.toml"]
    check = subprocess.run(command, check=False, capture_output=True, text=True)
    if check.returncode == 0:
        return None
    failed = [" ".join(line.split()) for line in check.stdout.splitlines() if line.startswith("FAIL")]
    return "; ".join(failed) or last_line(check.stderr)


def last_line(text: str) -> str:
    """Return the last line of what a command said."""
    return (text.strip().splitlines() or ["it ended without a word"])[-1]


def dark_books(release: Path) -> str | None:
    """Return which of the configured books aren't LIVE, and what they are; None when all are."""
    command = [f"{release}/venv/bin/wirebook", "top", "--once", "--json", "--config", f"{release}/engine.toml"]
    try:
        top = subprocess.run(command, check=False, capture_output=True, text=True, timeout=TOP_SECONDS)
    except subprocess.TimeoutExpired:
        return f"wirebook top gave no answer in {TOP_SECONDS:.0f} s"
    if top.returncode:
        return last_line(top.stderr)
    states = {symbol["name"]: symbol["state"] for symbol in json.loads(top.stdout)["symbols"]}
    feeds = tomllib.loads((release / "engine.toml").read_text()).get("feed", [])
    # A feed that another node runs says nothing about this one.
    own = [feed for feed in feeds if not feed.get("remote")]
    wanted = [f"{feed['venue']}:{symbol['instrument']}" for feed in own for symbol in feed["symbols"]]
    dark = [f"{name} is {states.get(name, 'not there')}" for name in wanted if states.get(name) != "LIVE"]
    return ", ".join(dark) or None


def trouble(release: Path) -> str | None:
    """Return why a release isn't healthy now; None: every service is active and every book LIVE."""
    services = services_of(release)
    restarts = properties("NRestarts", services)
    for unit, state in zip(services, properties("ActiveState", services), strict=True):
        if state != "active":
            gated = unit.startswith("wirebook-feed-") and properties("ActiveState", [CLOCK_GATE]) == ["activating"]
            return f"{unit} waits for a good clock (`systemctl status {CLOCK_GATE}`)" if gated else f"{unit} is {state}"
    dark = dark_books(release)
    if dark is None and properties("NRestarts", services) != restarts:
        return "a service ended and was started again"
    return dark


def wait_healthy(release: Path, seconds: float) -> str | None:
    """Wait until a release is healthy; return what was wrong at the end of the time, or None."""
    deadline = time.monotonic() + seconds
    while (problem := trouble(release)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return problem


def was_moved(unit: str) -> bool:
    """Whether somebody let a running service use other CPUs than its unit says."""
    (pid,), (cpus,) = properties("MainPID", [unit]), properties("CPUAffinity", [unit])
    try:
        return not os.sched_getaffinity(int(pid)) <= parse_cpus(cpus)
    except ProcessLookupError:
        return False  # it ended just now; whether it runs is another question


def keep_running(release: Path, seconds: float) -> bool:
    """Start what was stopped of the running release, restart what was moved to other CPUs, leave the rest alone.

    Return whether anything was.
    """
    mended = point_aliases()
    states = list(zip(units_of(release), properties("ActiveState", units_of(release)), strict=True))
    stopped = [unit for unit, state in states if state not in ("active", "activating")]
    moved = [unit for unit, state in states if unit.endswith(".service") and state == "active" and was_moved(unit)]
    if stopped:
        systemctl("start", "--no-block", *stopped)
    if moved:
        systemctl("restart", "--no-block", *moved)
    if problem := wait_healthy(release, seconds):
        raise FailedError(f"Release {release.name} runs but isn't healthy: {problem}; {LOOK}.")
    return bool(mended or stopped or moved)


def activate(release: Path, seconds: float) -> bool:
    """Run a release; go back to the previous one if it isn't healthy in time. Return whether anything was changed."""
    running = linked(current())
    if running == release and has_units(release) and not restart().is_set():
        return keep_running(release, seconds)
    point(release / "venv", root() / "venvs" / (release / "code").read_text().strip())
    if problem := objections(release):
        raise FailedError(f"Release {release.name} can't run here and wasn't started: {problem}.")
    before = linked(previous())
    if running != release:
        point(previous(), running)
    switch(release, running)
    problem = wait_healthy(release, seconds)
    if problem is None:
        return True
    said = f"Release {release.name} wasn't healthy within {seconds:.0f} s: {problem}"
    if running is None:
        take_out(unit_files(release))
        for link in (*map(at, ALIASES), current()):
            point(link, None)
        raise FailedError(f"{said}. There is none to go back to, and the engine is stopped; {LOOK}.")
    if running != release:
        point(previous(), before)
        switch(running, release)
        problem = wait_healthy(running, seconds)
        said += f". Release {running.name} runs again" + (f", but isn't healthy either: {problem}" if problem else "")
    raise FailedError(f"{said}; {LOOK}.")


def roll_back(seconds: float) -> Path:
    """Run the previous release, and return it."""
    release = linked(previous())
    if release is None:
        raise MistakeError("No release ran on this host before this one: there is nothing to go back to.")
    activate(release, seconds)
    return release


def known() -> list[Path]:
    """Return all releases of this host, the oldest first."""
    return sorted((root() / "releases").iterdir(), key=lambda release: release.stat().st_mtime)


def prune(keep: int) -> bool:
    """Remove all but the newest releases and the linked ones, and unused environments. Return whether any was."""
    needed = {linked(current()), linked(previous()), *known()[-keep:]}
    old = [release for release in known() if release not in needed]
    for release in old:
        shutil.rmtree(release)
    # A deploy that was killed may have left one without its code's name.
    used = {(release / "code").read_text().strip() for release in known() if (release / "code").exists()}
    for environment in (root() / "venvs").iterdir():
        if environment.name not in used:
            shutil.rmtree(environment)
    return bool(old)


def listing() -> list[dict[str, object]]:
    """Return what `list` prints."""
    now, before = linked(current()), linked(previous())
    return [{"release": one.name, "current": one == now, "previous": one == before} for one in known()]


def run(arguments: argparse.Namespace) -> int:
    """Do what the command line says."""
    if not (root() / "releases").is_dir():
        raise MistakeError("There is no release on this host: deploy one.")
    if arguments.command == "list":
        tell(json.dumps(listing(), indent=1))
        return 0
    with (root() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a rollback by hand waits for a deploy, and the other way round
        if arguments.command == "activate":
            release = root() / "releases" / arguments.release
            if not _ID.fullmatch(arguments.release) or not (release / "code").is_file():
                raise MistakeError(
                    f"There is no release {arguments.release} on this host: see `wirebook-release list`."
                )
            changed = activate(release, arguments.timeout)
            changed = prune(arguments.keep) or changed
        else:
            release, changed = roll_back(arguments.timeout), True
    tell(json.dumps({"changed": changed, "release": release.name}))
    return 0


_TIMEOUT = Argument(
    "--timeout", "how long its books may take to become LIVE (60)",
    {"type": whole_number, "default": 60, "metavar": "SECONDS"},
)  # fmt: skip
PROGRAM = Program(
    name="wirebook-release",
    summary="say which release of the feed engine runs, and change it",
    description=(
        "Says which release of the feed engine runs on this host, and changes it. A release is the engine's code and "
        "its configuration together.",
        "If a release's books don't become LIVE in time, the previous release runs again by itself.",
    ),
    run=run,
    commands=(
        Command(
            "activate", "Run a release, and go back to the previous one if its books don't become LIVE.",
            (
                Argument("RELEASE", "its id"),
                _TIMEOUT,
                Argument("--keep", "newest releases to keep (5)", {"type": counted, "default": 5, "metavar": "N"}),
            ),
        ),
        Command("rollback", "Run the previous release; a second time leads forward again.", (_TIMEOUT,)),
        Command("list", "Print the releases of this host as JSON, the oldest first."),
    ),
    statuses=STATUSES | {1: "The release isn't healthy, or can't run here; or something failed."},
    files={
        "/opt/wirebook/releases/ID/": "the releases",
        "/opt/wirebook/current": "the link to the one that runs",
        "/usr/local/bin/wirebook": "its command, for every user",
    },
    examples={"wirebook-release rollback": "Go back at 3 am."},
    see_also=("node-doctor(8)", "systemctl(1)"),
)  # fmt: skip
