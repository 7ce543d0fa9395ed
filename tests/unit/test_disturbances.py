"""Of each kind of knob it is said how the twin's test turns it by hand, or why it can't be turned."""

from __future__ import annotations

import runpy

from ansible_collections.wirebook.node.plugins.module_utils.doctor.probes import PROBES
from ansible_collections.wirebook.node.tests.unit.support.paths import ROOT


def test_no_kind_of_knob_is_left_out() -> None:
    disturbances = runpy.run_path(str(ROOT / "tests/twin/disturbances.py"))["DISTURBANCES"]
    assert disturbances.keys() == PROBES.keys()
