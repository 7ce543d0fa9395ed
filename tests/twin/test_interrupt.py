"""A deploy whose Ansible is killed at any moment is run again, and converges."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time

import pytest
from support import Twin

MOMENTS = 10


@pytest.mark.full
def test_a_deploy_that_is_killed_is_run_again(twin: Twin) -> None:
    """Every second time the command line is new too, so that the moment may fall into a trial boot."""
    longest = 60.0
    for moment in range(MOMENTS):
        boots = moment % 2 == 1
        parameters = f'["log_buf_len={1 << (moment % 3)}M"]' if boots else "[]"
        variables = f'{{"limits_nofile": {1000000 + moment}, "kernel_cmdline_extra": {parameters}}}'
        options = ("--extra-vars", variables)
        seconds = random.uniform(1, longest * (4 if boots else 1))  # noqa: S311
        print(f"\n  moment {moment + 1}: {seconds:.0f} s")
        kill_after(twin, seconds, *options)
        # The host may be in the middle of a boot.
        twin.succeed("lab")
        run = twin.play("playbooks/deploy.yml", *options)
        assert run.status == 0, run.end
        assert {knob["status"] for knob in twin.knobs().values()} <= {"PASS", "NOT-RUN"}
        longest = min(longest, run.seconds)
    # Back to what the inventory says.
    twin.succeed("deploy")
    assert twin.succeed("deploy").changed_nothing


def kill_after(twin: Twin, seconds: float, *options: str) -> None:
    """Start a deploy and kill its whole process group, unless it is done before."""
    command = ["ansible-playbook", "-i", "inventory/lab", *options, "playbooks/deploy.yml"]
    with twin.start(command) as process:
        deadline = time.monotonic() + seconds
        try:
            process.communicate(timeout=deadline - time.monotonic())
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
