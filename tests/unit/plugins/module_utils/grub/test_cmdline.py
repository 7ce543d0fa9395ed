"""Kernel command lines, as text."""

from __future__ import annotations

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.grub.cmdline import key_of, without_trial


@pytest.mark.parametrize(
    ("parameter", "key"),
    [
        ("quiet", "quiet"),
        ("rcu-nocbs=2-3", "rcu_nocbs"),
        ("rcu_nocbs=2-3", "rcu_nocbs"),
        ("a-b_c-d=e-f=g", "a_b_c_d"),
    ],
)
def test_a_dash_in_a_name_is_an_underscore(parameter: str, key: str) -> None:
    assert key_of(parameter) == key


@pytest.mark.parametrize(
    ("running", "rest"),
    [
        pytest.param("ro panic=10", "ro panic=10", id="no trial"),
        pytest.param("ro panic=10 wirebook.trial=1", "ro", id="the trial's own"),
        pytest.param(
            "ro panic=10 softlockup_panic=1 hung_task_panic=1 sysctl.kernel.panic_on_rcu_stall=1 wirebook.trial=1",
            "ro",
            id="all of the trial's own",
        ),
        pytest.param(
            "hung_task_panic=1 ro hung_task_panic=1 panic=10 wirebook.trial=1", "hung_task_panic=1 ro", id="two alike"
        ),
        pytest.param("panic=10 ro panic=10 wirebook.trial=1", "panic=10 ro", id="the host has one of its own"),
        pytest.param("panic=5 ro panic=10 wirebook.trial=1", "panic=5 ro", id="the host has another"),
        pytest.param("panic=5 ro wirebook.trial=1", "panic=5 ro", id="somebody took the trial's away"),
        pytest.param("ro panic=10 wirebook.trial=1 quiet", "ro quiet", id="something was added behind it"),
    ],
)
def test_what_a_trial_adds_is_left_out(running: str, rest: str) -> None:
    assert without_trial(running.split()) == rest.split()
