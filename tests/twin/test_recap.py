"""The proof that a second deploy changes nothing reads the deploy's own recap. Needs no twin."""

from __future__ import annotations

import pytest
from recap import changed_nothing, last_recap

# `make deploy HOST=lab1` on a twin that runs: the playbook lab, then the deploy, which changed three things.
TWO_RECAPS = """
PLAY [Twins on this controller] ************************************************

TASK [twin : Ask whether the twin runs] ****************************************
ok: [lab1]

PLAY RECAP *********************************************************************
lab1                       : ok=5    changed=0    unreachable=0    failed=0    skipped=8    rescued=0    ignored=0   


PLAY [Deploy] ******************************************************************

TASK [clock : Run what steers it] **********************************************
changed: [lab1] => (item=wirebook-ptp4l.service)

PLAY RECAP *********************************************************************
lab1                       : ok=71   changed=3    unreachable=0    failed=0    skipped=18   rescued=0    ignored=0   

"""  # noqa: W291  # as Ansible prints it


def with_deploy(**counters: int) -> str:
    """Return the same output with other counters in the deploy's recap."""
    before, heading, deploy = TWO_RECAPS.rpartition("PLAY RECAP")
    for name, number in ({"changed": 0} | counters).items():
        old = "changed=3" if name == "changed" else f"{name}=0"
        deploy = deploy.replace(old, f"{name}={number}")
    return before + heading + deploy


def test_the_last_recap_counts() -> None:
    assert last_recap(TWO_RECAPS)["lab1"]["changed"] == 3
    assert not changed_nothing(TWO_RECAPS, "lab1")
    assert changed_nothing(with_deploy(), "lab1")


@pytest.mark.parametrize("name", ["changed", "unreachable", "failed"])
def test_a_host_that_was_changed_or_not_finished_is_told(name: str) -> None:
    assert not changed_nothing(with_deploy(**{name: 1}), "lab1")


def test_a_host_that_only_an_earlier_recap_has_proves_nothing() -> None:
    before, recap, deploy = with_deploy().rpartition("PLAY RECAP")
    assert not changed_nothing(before + recap + deploy.replace("lab1", "lab2"), "lab1")


def test_an_output_without_a_recap_proves_nothing() -> None:
    with pytest.raises(ValueError, match="no recap"):
        changed_nothing("make: Nothing to be done", "lab1")
