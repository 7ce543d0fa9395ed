"""The trial boot: a command line is booted once, and becomes the default only when somebody confirms it."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..ledger.files import replace_file
from .cmdline import (
    TRIAL_KEY,
    TRIAL_PANICS,
    canonical,
    differences,
    key_of,
    trial_of,
    without_trial,
)
from .entries import Entry, GrubError, entries_of
from .host import Dropin, Grub, run
from .menu import default_entry

STATE = "var/lib/wirebook/boot/trial.json"
# For this boot only: the dead-man timer's service doesn't reboot a host that has it.
CONFIRMED = "run/wirebook-trial-confirmed"
# What a trial's parameters set in the running kernel.
PANICS = ("panic", "softlockup_panic", "hung_task_panic", "panic_on_rcu_stall")
TIMER = "wirebook-trial.timer"
TRIAL, KNOWN_GOOD = "wirebook-trial", "wirebook-known-good"
TITLES = {TRIAL: "wirebook: kernel command line on trial", KNOWN_GOOD: "wirebook: previous kernel command line"}
CUSTOM_HEAD = "# Written by wirebook's role kernel_cmdline. What stands here is not the default entry.\n"


@dataclass(frozen=True)
class Plan:
    """What has to be done so that the host boots, and was started, with the wanted command line.

    `boot` says how: "none" the kernel runs it already, "trial" it has to be tried, "resume" the kernel that runs is a
    trial of it which nobody confirmed yet, "direct" a reboot into it without a net.
    """

    boot: str
    dropin: Dropin
    default: Entry
    target: Entry
    # What grub.cfg would be; nothing where it and the drop-in are right.
    configuration: str = ""
    lacking: Sequence[str] = ()
    left_over: Sequence[str] = ()

    @property
    def writes(self) -> bool:
        """Whether anything has to be written before the reboot."""
        return self.boot in ("trial", "direct") or (self.boot == "none" and bool(self.configuration))


@dataclass(frozen=True)
class Trial:
    """A trial that was prepared."""

    id: str
    parameters: list[str]
    path: str
    text: str
    # What ends in a panic, and whether that reboots: as it was before, by the sysctls' names below kernel.
    panics: dict[str, str]

    @property
    def dropin(self) -> Dropin:
        """The drop-in that makes its command line the default."""
        return Dropin(Path(self.path), self.text)


def conflict(wanted: list[str], entry: Entry, others: Sequence[Path] = ()) -> str:
    """Return the sentence for an entry in which another file sets one of the wanted parameters too, or overrides all.

    `others` are the files of GRUB's settings that may do so.
    """
    keys = {key_of(parameter) for parameter in wanted}
    found = [parameter for parameter in entry.parameters if key_of(parameter) in keys]
    if differences(wanted, found) == ([], []):
        return ""
    return (
        f"The boot entry would have '{' '.join(found)}' instead of '{' '.join(wanted)}': "
        f"{_what_to_change(keys, others)}."
    )


# Sets the variable without what it held.
_ANEW = re.compile(r"^\s*(?:export\s+)?GRUB_CMDLINE_LINUX_DEFAULT=(?!.*\$\{?GRUB_CMDLINE_LINUX_DEFAULT)", re.MULTILINE)


def _what_to_change(keys: set[str], others: Sequence[Path]) -> str:
    """Return what to do about a conflict, by the files that make it."""
    texts = {path: path.read_text(errors="replace") for path in others if path.exists()}
    setting = [path for path, text in texts.items() if any(key in text.replace("-", "_") for key in keys)]
    if setting:
        return f"take these parameters out of {' and '.join(map(str, setting))}"
    anew = [path for path, text in texts.items() if path.name != "grub" and _ANEW.search(text)]
    if anew:
        return (
            f"{' and '.join(map(str, anew))} sets GRUB_CMDLINE_LINUX_DEFAULT anew: have it add to "
            "$GRUB_CMDLINE_LINUX_DEFAULT there, or move its parameters to /etc/default/grub"
        )
    return "take these parameters out of /etc/default/grub and the other files in /etc/default/grub.d"


class Boot:
    """The boot of one host."""

    def __init__(self, grub: Grub) -> None:
        self.grub = grub

    def path(self, name: str) -> Path:
        """Return where a file is below the root."""
        return self.grub.root / name

    # --- before the reboot -------------------------------------------------------------------------------------------

    def plan(self, wanted: list[str], dropin: Dropin, *, without_trial_boot: bool = False) -> Plan:
        """Compare what runs and what is booted by default with what is wanted; change nothing.

        GrubError: GRUB isn't as it has to be, another file sets a wanted parameter, or no trial is possible here.
        """
        grub = self.grub
        wanted = [canonical(parameter) for parameter in wanted]
        default = grub.default()
        if (wanted or not dropin.is_right()) and not grub.started_the_host():
            raise GrubError(
                "The running kernel wasn't started by GRUB (its command line has no BOOT_IMAGE=), so that GRUB's menu "
                "changes nothing: boot the host by GRUB, or take what needs kernel parameters out of the inventory."
            )
        running = grub.running()
        # What GRUB's settings say counts, not what somebody wrote into grub.cfg.
        fresh = (
            dropin.is_right()
            and not grub.is_older_than_settings()
            and differences(default.parameters, without_trial(running)) == ([], [])
        )
        configuration = "" if fresh else grub.configuration_with(dropin)
        target = default if fresh else default_entry(configuration)
        others = [path for path in grub.settings_files() if path not in (dropin.path, dropin.former)]
        if sentence := conflict(wanted, target, others):
            raise GrubError(sentence)
        lacking, left_over = differences(target.parameters, without_trial(running))
        if not lacking and not left_over:
            trial = self.trial()
            waits = trial and trial.id == trial_of(running) and not self.path(CONFIRMED).exists()
            return Plan("resume" if waits else "none", dropin, default, target, configuration)
        if grub.custom.exists() and not grub.custom.read_text().startswith(CUSTOM_HEAD):
            raise GrubError(
                "/boot/grub/custom.cfg isn't wirebook's: move its entries to /etc/grub.d/40_custom, run update-grub, "
                "and deploy again."
            )
        if not without_trial_boot and (objection := self._objection()):
            raise GrubError(
                f"No trial boot is possible: {objection}. Put /boot on a plain partition with ext4, or set "
                "kernel_cmdline_without_trial to change the default entry without one."
            )
        boot = "direct" if without_trial_boot else "trial"
        return Plan(boot, dropin, default, target, configuration, lacking, left_over)

    def prepare(self, plan: Plan) -> None:
        """Write what a plan needs before the reboot."""
        known_good = plan.default.named(TITLES[KNOWN_GOOD], KNOWN_GOOD)
        if plan.boot == "trial":
            self._prepare_trial(plan, known_good)
            return
        if plan.boot == "direct":
            self._write_custom([known_good])
        if plan.configuration:
            self._settle(plan.dropin, plan.configuration)
        self.grub.write_through()

    def _objection(self) -> str:
        """Return why no trial is possible."""
        if objection := self.grub.objection_to_trial():
            return f"{objection}, where GRUB can't write that it tried an entry"
        if not self.grub.reads_custom():
            return "grub.cfg doesn't read custom.cfg (make /etc/grub.d/41_custom executable and run update-grub)"
        return ""

    def _prepare_trial(self, plan: Plan, known_good: Entry) -> None:
        """Write the trial entry, the entry that is the default now, and the state."""
        # A trial that nobody confirmed has set them already.
        former = self.trial() if trial_of(self.grub.running()) else None
        trial = Trial(
            id=secrets.token_hex(4),
            parameters=plan.target.parameters,
            path=str(plan.dropin.path),
            text=plan.dropin.text,
            panics=former.panics if former else self._panics(),
        )
        more = f"{' '.join(TRIAL_PANICS)} {TRIAL_KEY}={trial.id}"
        self._write_custom([known_good, plan.target.named(TITLES[TRIAL], TRIAL, more)])
        replace_file(self.path(STATE), (json.dumps(asdict(trial), indent=1) + "\n").encode(), 0o600)
        run("systemctl", "enable", TIMER)
        self.grub.write_through()

    def _panics(self) -> dict[str, str]:
        """Return what the running kernel does about a hang and a panic, as far as it was built to."""
        paths = {name: self.path(f"proc/sys/kernel/{name}") for name in PANICS}
        return {name: path.read_text().strip() for name, path in paths.items() if path.exists()}

    def _write_custom(self, entries: list[Entry]) -> None:
        """Replace the entries beside the default one."""
        text = CUSTOM_HEAD + "".join(entry.text() for entry in entries)
        replace_file(self.grub.custom, text.encode(), 0o600)

    def _settle(self, dropin: Dropin, text: str) -> None:
        """Make what the drop-in says the default, the drop-in first: without it the next update-grub would undo it."""
        dropin.write()
        self.grub.write_configuration(text)

    def trial(self) -> Trial | None:
        """Return the trial that was prepared."""
        try:
            fields: dict[str, Any] = json.loads(self.path(STATE).read_text())
        except FileNotFoundError:
            return None
        if "panic" in fields:  # an earlier release prepared it
            fields["panics"] = {"panic": fields.pop("panic")}
        return Trial(**fields)

    def arm(self) -> None:
        """Let GRUB boot the trial entry once: it forgets the request before it boots the entry."""
        run("grub-reboot", TRIAL)
        self.grub.write_through()

    # --- after it ----------------------------------------------------------------------------------------------------

    def came_up(self) -> tuple[str, list[str], list[str]]:
        """Return what the host came up with, and how that differs from the trial.

        "trial": the trial as prepared. "default": the default entry, so the trial didn't come up or was given up.
        "other": something else, which somebody chose at the console.
        """
        trial, running = self.trial(), self.grub.running()
        wanted = trial.parameters if trial else self.grub.default().parameters
        lacking, left_over = differences(wanted, without_trial(running))
        if trial and trial_of(running) == trial.id and not lacking and not left_over:
            return "trial", [], []
        if differences(self.grub.default().parameters, running) == ([], []):
            return "default", lacking, left_over
        return "other", lacking, left_over

    def confirm(self) -> None:
        """Make the command line of the running trial the default. GrubError: it isn't what runs, or can't be."""
        trial = self.trial()
        if trial is None or self.came_up()[0] != "trial":
            raise GrubError("The running kernel isn't the trial that was prepared: deploy again.")
        text = self.grub.configuration_with(trial.dropin)
        if differences(trial.parameters, default_entry(text).parameters) != ([], []):
            raise GrubError("GRUB's settings were changed during the trial: deploy again.")
        self._settle(trial.dropin, text)
        # Before the timer stops: until then a host that hangs has a way back.
        self.grub.write_through()
        # A trial reboots what panics or hangs; whether the host does so from now on is as it was.
        for name, before in trial.panics.items():
            self.path(f"proc/sys/kernel/{name}").write_text(f"{before}\n")
        self.path(CONFIRMED).touch()
        run("systemctl", "stop", TIMER)
        self.drop()

    def drop(self) -> None:
        """Forget a trial; the entry that was proven before it stays in the menu."""
        if self.grub.custom.exists():
            entries = entries_of(self.grub.custom.read_text())
            self._write_custom([entry for entry in entries if f"'{KNOWN_GOOD}'" in entry.lines[0]])
        run("grub-editenv", str(self.grub.environment), "unset", "next_entry")
        self.path(STATE).unlink(missing_ok=True)
        self.grub.write_through()
