"""docs/first-server.md: the host file that a reader writes there is granted, and drawn as the page shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from ansible_collections.wirebook.node.plugins.module_utils.topology.drawing import draw
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.tests.unit.support.fake_host import add_default_route, add_nic, enable
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES, ROOT

PAGE = (ROOT / "docs/first-server.md").read_text()
DEFAULTS = yaml.safe_load((ROLES / "topology/defaults/main.yml").read_text())


def host_file() -> dict[str, Any]:
    """Return the complete host file: the block that says which file it is."""
    (block,) = re.findall(r"```yaml\n(# inventory/mine/host_vars/colo1\.yml\n.*?)```", PAGE, re.DOTALL)
    variables: dict[str, Any] = yaml.safe_load(block)
    return variables


def server(host_files: Callable[..., Path]) -> Host:
    """Return the server whose lscpu, lspci and ip the page shows."""
    siblings = {cpu: f"{cpu % 8},{cpu % 8 + 8}" for cpu in range(16)}
    root = host_files(nodes=("0-15",), siblings=siblings, memory_mib=64 * 1024)
    add_nic(root, "eno1", "0000:02:00.0", "igb", 0, phc="ptp0")
    add_nic(root, "enp1s0f0", "0000:01:00.0", "i40e", 0, phc="ptp1")
    add_default_route(root, "eno1")
    enable(root, "systemd-timesyncd.service", "systemd-timesyncd.service")
    return Host.from_facts(read_host(root))


def test_the_host_file_is_granted_and_drawn_as_shown(host_files: Callable[..., Path]) -> None:
    variables = host_file()
    asked = {name.removeprefix("topology_"): value for name, value in (DEFAULTS | variables).items()}
    asked["kernel_cmdline_extra"] = []
    asked["transport"] = variables["feed_engine_settings"]["transport"]
    host = server(host_files)
    wish = Wish.from_inventory(asked)
    assert refusals(wish, host) == []
    drawn = "\n".join(draw("colo1", wish, host))
    assert f"```text\n{drawn}\n```" in PAGE, drawn


def test_the_host_file_names_variables_that_there_are() -> None:
    reference = (ROOT / "docs/reference/variables.md").read_text()
    names = [name for name in host_file() if not name.startswith("ansible_")]
    assert [name for name in names if f"### `{name}`\n" not in reference] == []


def test_the_pieces_are_the_whole(host_files: Callable[..., Path]) -> None:
    """What is explained piece by piece is what stands in the complete file."""
    whole = host_file()
    for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL):
        if not block.startswith("# "):
            for name, value in yaml.safe_load(block).items():
                assert whole[name] == value, name


def test_the_inventory_of_a_reader_is_judged_right(tmp_path: Path) -> None:
    """Copy the example, delete what the page says, write the files that it shows: nothing is wrong with it."""
    mine = tmp_path / "inventory/mine"
    shutil.copytree(ROOT / "inventory/example", mine)
    (deleted,) = re.findall(r"(?m)^rm -r (.*) # ", PAGE)
    for name in deleted.split():
        path = tmp_path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, text in re.findall(r"```yaml\n# (inventory/mine/\S+)\n(.*?)```", PAGE, re.DOTALL):
        (tmp_path / name).write_text(text)
    command = [sys.executable, str(ROOT / "tools/inventory"), "check", str(mine)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
