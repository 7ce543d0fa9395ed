"""Kernel command lines, as text."""

from __future__ import annotations

import re
from collections import Counter

# GRUB and the EFI stub add these by themselves.
ADDED_AT_BOOT = frozenset({"BOOT_IMAGE", "initrd"})
# What a trial boot has beside the command line on trial (role kernel_cmdline). Whatever ends in a panic starts anew
# (kernel-parameters.txt; initramfs-tools(7) reads it too), what hangs panics (lockup-watchdogs.rst, RCU/stallwarn.rst,
# sysctl/kernel.rst), and the dead-man timer runs in no boot without the word.
TRIAL_KEY = "wirebook.trial"
TRIAL_PANICS = ("panic=10", "softlockup_panic=1", "hung_task_panic=1", "sysctl.kernel.panic_on_rcu_stall=1")


def key_of(parameter: str) -> str:
    """Return the name of a kernel parameter; the kernel takes - and _ for the same."""
    return parameter.partition("=")[0].replace("-", "_")


def canonical(parameter: str) -> str:
    """Return a parameter as it is written here: the kernel takes "a=b c" and a="b c" for the same (lib/cmdline.c)."""
    if parameter.startswith('"'):
        parameter = parameter[1:].removesuffix('"')
    key, equals, value = parameter.partition("=")
    if value.startswith('"'):
        value = value[1:].removesuffix('"')
    if not re.search(r"\s", key + value):
        return f"{key}{equals}{value}"
    return f'{key}{equals}"{value}"' if equals else f'"{key}"'


def command_line(text: str) -> list[str]:
    """Split a kernel command line; double quotes protect white space (kernel-parameters.rst)."""
    words = re.findall(r'(?:[^\s"]|"[^"]*"?)+', text)
    return [p for p in map(canonical, words) if key_of(p) not in ADDED_AT_BOOT]


def trial_of(parameters: list[str]) -> str:
    """Return the id of the trial that a kernel was started for; nothing if it was none."""
    return next((p.partition("=")[2] for p in parameters if key_of(p) == TRIAL_KEY), "")


def without_trial(parameters: list[str]) -> list[str]:
    """Return a command line without what a trial boot adds: a host that passed its trial goes on with it."""
    if not trial_of(parameters):
        return parameters
    rest = [p for p in parameters if key_of(p) != TRIAL_KEY]
    # Of two that are alike the trial added the last.
    added = {max((index for index, p in enumerate(rest) if p == panic), default=-1) for panic in TRIAL_PANICS}
    return [p for index, p in enumerate(rest) if index not in added]


def differences(wanted: list[str], found: list[str]) -> tuple[list[str], list[str]]:
    """Return what is lacking and what is left over; order doesn't count, how often a parameter is there does."""
    lacking, left_over = Counter(wanted) - Counter(found), Counter(found) - Counter(wanted)
    return sorted(lacking.elements()), sorted(left_over.elements())
