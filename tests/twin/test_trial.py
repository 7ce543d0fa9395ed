"""A changed kernel command line is booted on trial: whatever comes of it, the host answers with the right one.

The playbook says in one sentence what happened. What follows is tried on a node that was deployed, whose command line
is the one to come back to.
"""

from __future__ import annotations

import pytest
from support import Run, Twin

PLAYBOOK = "tests/twin/boot.yml"
GRUB_FILES = "find /boot/grub /etc/default/grub.d -type f -exec sha256sum {} +"
# What a trial adds to its command line; the host goes on with it once the trial is confirmed.
PANICS = ("panic=10", "softlockup_panic=1", "hung_task_panic=1", "sysctl.kernel.panic_on_rcu_stall=1")
GRUB_PROBE = """#!/bin/sh
[ "$*" = "--target=abstraction /boot/grub" ] && echo lvm && exit
exec /usr/sbin/grub-probe "$@"
"""


def try_parameter(twin: Twin, parameter: str, seconds: int = 600) -> Run:
    """Deploy a command line with one more parameter."""
    variables = f'{{"kernel_cmdline_extra": ["{parameter}"], "kernel_cmdline_trial_seconds": {seconds}}}'
    return twin.play(PLAYBOOK, "--extra-vars", variables)


@pytest.mark.full
def test_a_command_line_that_panics_is_given_up(twin: Twin) -> None:
    before, boot = twin.command_line(), twin.boot_id()
    # Debian's initramfs takes /sbin/init where init= names nothing; a program that ends is a panic.
    run = try_parameter(twin, "init=/bin/false")
    assert run.status == 2
    assert "lab1 didn't come up with its new kernel command line" in run.output
    assert "it lacks init=/bin/false" in run.output
    assert twin.boot_id() != boot
    assert_as_default(twin, before)


@pytest.mark.full
def test_a_command_line_that_boots_but_fails_a_check_is_given_up(twin: Twin) -> None:
    before = twin.command_line()
    run = try_parameter(twin, "systemd.mask=wirebook-hugepages.service")
    assert run.status == 2
    assert "lab1 came up with its new kernel command line, but something is off" in run.output
    assert "FAIL hugepages node1 2M" in " ".join(run.output.split())
    assert_as_default(twin, before)


@pytest.mark.full
def test_a_command_line_that_keeps_everybody_out_is_given_up_by_the_host_itself(twin: Twin) -> None:
    before = twin.command_line()
    run = try_parameter(twin, "systemd.mask=ssh.service", seconds=60)
    assert run.status == 2
    assert "gave it up because nobody could reach it for 60 s" in " ".join(run.output.split())
    assert_as_default(twin, before)


@pytest.mark.full
def test_a_good_command_line_becomes_the_default(twin: Twin) -> None:
    before = twin.command_line()
    run = try_parameter(twin, "skew_tick=1")
    assert run.status == 0, run.end
    assert "lab1 was started with its new kernel command line, and boots it from now on." in run.output
    assert "skew_tick=1" in twin.command_line()
    assert "skew_tick=1" in twin.ssh("grep -m 1 vmlinuz /boot/grub/grub.cfg")
    # Taking it away again is a trial too.
    assert twin.play(PLAYBOOK).status == 0
    assert set(before) - set(twin.command_line()) <= {word for word in before if word.startswith("wirebook.trial=")}


@pytest.mark.full
def test_where_grub_cant_write_no_trial_is_made(twin: Twin) -> None:
    boot, files = twin.boot_id(), twin.ssh(GRUB_FILES)
    # What grub-mkconfig asks goes on to the real one, which the stand-in lies before in root's PATH.
    twin.ssh("cat >/usr/local/sbin/grub-probe; chmod 755 /usr/local/sbin/grub-probe", GRUB_PROBE)
    try:
        run = try_parameter(twin, "skew_tick=1")
        assert run.status == 2
        assert "No trial boot is possible: /boot/grub is on lvm" in " ".join(run.output.split())
        assert twin.boot_id() == boot
        assert twin.ssh(GRUB_FILES) == files
    finally:
        twin.ssh("rm /usr/local/sbin/grub-probe")


def assert_as_default(twin: Twin, before: list[str]) -> None:
    """Whether the host runs what it ran before, its default entry, and has no trial left."""
    default = [word for word in before if word not in PANICS and not word.startswith("wirebook.trial=")]
    assert twin.command_line() == default
    assert twin.ssh("awk '/^\\tlinux/ { $1 = $2 = \"\"; print; exit }' /boot/grub/grub.cfg").split() == default
    assert twin.ssh("grub-editenv list") == ""
    assert "wirebook-trial" not in twin.ssh("cat /boot/grub/custom.cfg")
