"""The unit of a data NIC."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze isn't installed here")
def test_systemd_has_nothing_to_say_against_it(tmp_path: Path) -> None:
    text = (ROLES / "nic/files/wirebook-nic@.service").read_text()
    unit = tmp_path / "wirebook-nic@enp0s4.service"
    # The program is installed on nodes only.
    unit.write_text(text.replace("/usr/local/sbin/wirebook-nic", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
