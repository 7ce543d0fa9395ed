"""One look before anything is touched: all that is wrong with an inventory, each with its place and the way out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host
from ansible_collections.wirebook.node.plugins.plugin_utils.inventory import report
from ansible_collections.wirebook.node.plugins.plugin_utils.inventory.judge import judge
from ansible_collections.wirebook.node.plugins.plugin_utils.inventory.machine import complete
from ansible_collections.wirebook.node.plugins.plugin_utils.inventory.specs import SET_BY_ROLES, options
from ansible_collections.wirebook.node.tests.unit.support.inventory_tool import Run, inventory_tool
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES, ROOT

EXAMPLE = ROOT / "inventory/example"
TABLE: list[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "mistakes.toml").read_text())["mistake"]


def told(inventory: Path) -> list[str]:
    """Return what is told of an inventory, the files named from its own folder."""
    verdict = judge(inventory)
    if not verdict.mistakes:
        return []
    lines = report.lines(verdict.mistakes, "it", len(verdict.nodes))
    return [line.replace(f"{inventory}/", "") for line in lines[:-2] if line]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "mine")
    return tmp_path / "mine"


def change(file: Path, find: str, replace: str) -> None:
    file.parent.mkdir(exist_ok=True)
    text = file.read_text() if file.exists() else ""
    if find:
        assert text.count(find) >= 1
        file.write_text(text.replace(find, replace, 1))
    else:
        file.write_text(f"{text}{replace}\n")


@pytest.mark.parametrize("mistake", TABLE, ids=lambda mistake: str(mistake["name"]))
def test_a_mistake_is_refused_with_its_place_and_the_way_out(mistake: dict[str, Any], copy: Path) -> None:
    change(copy / mistake["file"], mistake.get("find", ""), mistake["replace"])
    assert told(copy) == mistake["says"]


def test_the_table_is_long_and_every_sentence_says_what_to_do() -> None:
    assert len(TABLE) >= 84
    assert len({mistake["name"] for mistake in TABLE}) == len(TABLE)
    ways = (
        r"\b(write|take|call|add|choose|close|indent|mend|put|give|change|leave|set|name|move|save|ask|raise|look|"
        r"build|must|needs)\b"
    )
    for line in (line for mistake in TABLE for line in mistake["says"]):
        assert re.match(r"[\w./]+(:\d+)?: .+: .+\.( \(.*\))?$", line), line
        assert re.search(ways, line), line


@pytest.mark.parametrize(
    "inventory", sorted(path for path in (ROOT / "inventory").iterdir()), ids=lambda path: str(path.name)
)
def test_the_projects_own_inventories_are_right(inventory: Path) -> None:
    assert told(inventory) == []


def test_what_the_example_has_in_its_comments_is_right(copy: Path) -> None:
    """It ends with values that a site may want otherwise, each commented out."""
    text = (copy / "group_vars/nodes.yml").read_text()
    values = re.findall(r"^# (\w+: .+)$", text, re.MULTILINE)
    assert len(values) == 4
    (copy / "group_vars/nodes.yml").write_text(text + "\n".join(values) + "\n")
    assert told(copy) == []


def test_all_mistakes_are_told_at_once_by_file(copy: Path) -> None:
    change(copy / "group_vars/nodes.yml", "", "nic_overides: {}")
    change(copy / "host_vars/colo2.yml", "stream: 2", "stream: 1")
    change(copy / "host_vars/colo3.yml", "venue: binance", "venue: binanse")
    change(copy / "host_vars/colo9.yml", "", "feed_engine_sim: true")
    verdict = judge(copy)
    assert [line.replace(f"{copy}/", "").partition(": ")[0] for line in report.lines(verdict.mistakes, "mine", 3)] == [
        "group_vars/nodes.yml:47",
        "",
        "host_vars/colo2.yml:4",
        "",
        "host_vars/colo3.yml:3",
        "",
        "host_vars/colo9.yml",
        "",
        "mine",
    ]
    assert report.lines(verdict.mistakes, "mine", 3)[-1] == "mine: 4 mistakes in 4 files; nothing was touched."


def test_a_mistake_of_many_hosts_is_told_once(copy: Path) -> None:
    change(copy / "group_vars/nodes.yml", "", "sysctl_values: {vm.swapiness: 1}")
    assert [line.partition(": ")[2] for line in told(copy)] == [
        "sysctl_values.vm.swapiness: the role sysctl doesn't set vm.swapiness: write vm.swappiness."
    ]


def test_of_a_switch_that_a_host_has_otherwise_the_hosts_own_line_is_told(copy: Path) -> None:
    """True and false know no place of their own."""
    change(copy / "group_vars/nodes.yml", "", "limits_memlock: unlimited")
    change(copy / "host_vars/colo2.yml", "", "limits_memlock: true")
    assert told(copy) == [
        "host_vars/colo2.yml:8: limits_memlock: YAML reads it as true, and it must be text: write it in quotes."
    ]


def test_an_inventory_may_be_one_file(copy: Path) -> None:
    assert told(copy / "hosts.yml") == []
    change(copy / "host_vars/colo2.yml", "stream: 2", "stream: 1")
    assert len(judge(copy / "hosts.yml").mistakes) == 1


def test_a_variable_of_ones_own_is_ones_own(copy: Path) -> None:
    """What a template takes isn't mistyped, whatever it is called; nor what only has one of our names in it."""
    change(copy / "group_vars/nodes.yml", "topology_hugepages:", "site_topology_services: []\ntopology_pages_of_all:")
    change(copy / "group_vars/nodes.yml", "", 'topology_hugepages: "{{ topology_pages_of_all }}"')
    assert told(copy) == []


def test_what_only_a_play_knows_is_left_to_the_play(copy: Path) -> None:
    change(copy / "group_vars/nodes.yml", "", 'jitter_cpus: "{{ topology_derived.isolated_cpus | first }}"')
    assert told(copy) == []


def test_a_feed_that_another_host_runs_is_right(copy: Path) -> None:
    feed = "  - venue: binance\n    remote: true\n    stream: 1\n    symbols: [{id: 0, instrument: BTCUSDT}]\n"
    change(copy / "host_vars/colo2.yml", "feed_engine_feeds:\n", f"feed_engine_feeds:\n{feed}")
    change(copy / "host_vars/colo2.yml", "  - venue: binance\n    stream: 2", "  - venue: okx\n    stream: 2")
    change(copy / "host_vars/colo2.yml", "SOLUSDT", "SOL-USDT")
    assert told(copy) == []


def test_hosts_that_share_no_network_share_no_numbers(copy: Path) -> None:
    """What goes by the loopback, or to groups of one's own, nobody else gets."""
    text = (copy / "host_vars/colo1.yml").read_text()
    (copy / "host_vars/colo2.yml").write_text(
        text + "feed_engine_host_settings: {transport: {group: 239.193.0.1, snapshot_group: 239.193.0.2, "
        "group_b: 239.193.0.3, snapshot_group_b: 239.193.0.4}}\n"
    )
    (copy / "facts/colo3.yml").unlink()
    (copy / "host_vars/colo3.yml").write_text(
        text + 'topology_data_nics: [{name: enp59s0f0, pci: "0000:3b:00.0"}]\n'
        "feed_engine_host_settings: {transport: {interface: lo, interface_b: lo}}\n"
    )
    assert told(copy) == []


def test_one_host_alone_needs_no_stream(copy: Path) -> None:
    for name in ("colo2", "colo3"):
        (copy / f"host_vars/{name}.yml").unlink()
        (copy / f"facts/{name}.yml").unlink()
        change(copy / "hosts.yml", f"        {name}:", f"        # {name}:")
    change(copy / "host_vars/colo1.yml", "    stream: 1\n", "")
    assert told(copy) == []


def test_a_file_that_is_no_text_is_refused(copy: Path) -> None:
    (copy / "host_vars/colo1.yml").write_bytes(b"# \xff\n")
    assert told(copy) == ["host_vars/colo1.yml: colo1.yml: byte 2 isn't UTF-8: save the file as UTF-8."]


def test_an_encrypted_file_needs_its_password_and_is_no_mistake_of_yaml(copy: Path) -> None:
    (copy / "host_vars/colo1.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    (line,) = told(copy)
    assert "ault" in line
    assert "YAML" not in line


@pytest.fixture
def command(tmp_path: Path) -> Run:
    return inventory_tool(tmp_path)


def test_the_command_says_nothing_where_nothing_is_wrong(
    command: Run,
) -> None:
    done = command("check", str(EXAMPLE), "--host", "colo1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_command_tells_the_groups_of_a_host(command: Run) -> None:
    """A deploy starts the twin first."""
    done = command("check", str(ROOT / "inventory/lab"), "--host", "lab1", "--groups")
    assert (done.returncode, done.stdout, done.stderr) == (0, "lab nodes\n", "")


def test_the_command_ends_with_2_and_without_a_traceback(command: Run, copy: Path) -> None:
    change(copy / "host_vars/colo1.yml", "venue: binance", "venue: binanse")
    change(copy / "hosts.yml", "        colo2:", "        colo2: {ansible_host: 192.0.2.12}\n        colo2:")
    done = command("check", "mine")
    assert (done.returncode, done.stdout) == (2, "")
    # By a name that an editor opens where the user is, and Ansible's own warnings are kept out.
    assert [line.partition(": ")[0] for line in done.stderr.splitlines()] == [
        "mine/host_vars/colo1.yml:4",
        "",
        "mine/hosts.yml:12",
        "",
        "mine",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "nowhere"], "There is no nowhere: choose INVENTORY from: "),
        (["check", str(EXAMPLE), "--host", ""], "Say which host: make deploy HOST=... with one of: colo1 colo2 colo3"),
        (
            ["check", str(EXAMPLE), "--host", "colo9", "--target", "plan"],
            f"There is no host colo9 in {EXAMPLE}: make plan HOST=... with one of: colo1 colo2 colo3",
        ),
    ],
)
def test_a_host_or_an_inventory_that_is_not_there_is_told(command: Run, arguments: list[str], says: str) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (2, "", says.strip())


def test_what_roles_hand_each_other_is_known() -> None:
    facts: set[str] = set()
    for path in ROLES.glob("*/tasks/*.yml"):
        for task in yaml.safe_load(path.read_text()) or []:
            facts |= set(task.get("ansible.builtin.set_fact", {}))
    assert {name for name in facts if not name.startswith("__")} == SET_BY_ROLES


def test_a_host_is_drawn_from_its_saved_facts(command: Run, copy: Path) -> None:
    """It need not be reachable, nor be there."""
    done = command("plan", "mine", "--host", "colo1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "colo1: Debian 13, Linux 6.12"
    assert "| [4]          isolated: book on 4                              |" in lines
    assert lines[-1] == "drawn from mine/facts/colo1.yml: `make facts HOST=colo1` reads the host anew"


def test_a_fleet_is_drawn_and_whose_facts_are_missing_is_told(command: Run, copy: Path) -> None:
    everything = command("plan", "mine", "--host", "all")
    assert everything.returncode == 0
    assert [line for line in everything.stdout.splitlines() if line.startswith("colo")] == [
        f"colo{number}: Debian 13, Linux 6.12" for number in (1, 2, 3)
    ]
    (copy / "facts/colo2.yml").unlink()
    done = command("plan", "mine", "--host", "all")
    assert done.returncode == 2
    assert done.stderr == (
        "Of colo2 no facts are saved: make facts HOST=colo2 saves them, or write mine/facts/colo2.yml by hand.\n"
    )
    # The Makefile asks the host then.
    assert command("plan", "mine", "--host", "colo2").returncode == 3
    assert "make plan HOST=... with one of: colo1 colo2 colo3 all" in command("plan", "mine", "--host", "colo9").stderr


def test_a_plan_is_refused_like_a_deploy(command: Run, copy: Path) -> None:
    change(copy / "facts/colo2.yml", "cpus: 8-15", "cpus: 8-11")
    done = command("plan", "mine", "--host", "colo1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("mine/group_vars/nodes.yml:10: topology_isolated_cpus: CPU 12-15 isn't on the host")


def test_remote_hands_get_one_file_that_needs_python_alone(command: Run, tmp_path: Path) -> None:
    """What it prints is what a play reads, and a plan can be drawn from it."""
    assert command("script", "wirebook-facts").returncode == 0
    bare = {"PATH": "/usr/bin:/bin"}
    printed = subprocess.run(
        [sys.executable, "-I", tmp_path / "wirebook-facts"], capture_output=True, text=True, check=True, env=bare
    ).stdout
    facts = json.loads(printed)
    here = json.loads(json.dumps(read_host()))
    assert set(facts) == set(here)
    assert facts["nodes"] == here["nodes"]
    Host.from_facts(complete(facts))


def test_facts_of_a_running_host_are_taken_as_they_are(copy: Path) -> None:
    facts = read_host()
    assert complete(facts) == {**facts, "siblings": facts["siblings"]}
    (copy / "facts/colo1.yml").write_text(yaml.safe_dump(facts))
    assert not [line for line in told(copy) if line.startswith("facts/")]


SEALED = "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n"


def test_what_is_encrypted_is_left_to_the_play_and_never_shown(command: Run, copy: Path) -> None:
    change(
        copy / "host_vars/colo1.yml",
        "",
        f"ansible_become_password: hunter2\nclock_servers: {SEALED}ansible_host: {SEALED}",
    )
    assert told(copy) == []
    shown = command("show", "mine", "--host", "colo1").stdout
    assert "hunter2" not in shown
    assert "ansible_become_password" in shown
    assert "(in the vault)" in shown


def test_an_inventory_of_another_form_is_judged_too(tmp_path: Path) -> None:
    """What stands in INI without quotes is text where Python doesn't know it."""
    (tmp_path / "hosts.ini").write_text(
        "[nodes]\ncolo[1:2] feed_engine_sim=false\n[nodes:vars]\ntopology_isolated_cpus=2-3\nnic_overides={}\n"
    )
    assert told(tmp_path) == [
        'hosts.ini:2: feed_engine_sim: "false" is text, which counts as true whatever it says: '
        "write false without quotes.",
        "hosts.ini:5: nic_overides: no role reads it: write nic_overrides, or call a variable of yours otherwise.",
    ]


WRONG = [
    "~", "true", "-1", "1.5", '"x"', "[1]", "[~]", "[[1]]", "{a: ~}", "2026-01-02", '"{{ nope }}"', '"{{ 1/0 }}"',
    ".inf", "!!binary aGVsbG8=", "[{name: [1], cpu: {}, pci: [2], venue: [3], symbols: 4}]",
    "[{nic: {}, port: x, group: [], node: x, size: 3, count: -1}]", "{mode: [1], interface: {}}",
    "[{venue: binance, symbols: [{id: x, instrument: ~}], stream: [1], remote: 3}]",
    "{transport: {interface: [1], group: ~, port: x, group_b: 5, interface_b: ~}}",
]  # fmt: skip


@pytest.mark.parametrize("value", WRONG)
def test_whatever_is_written_is_a_mistake_and_never_an_error_of_the_judge(value: str, copy: Path) -> None:
    (copy / "host_vars/colo1.yml").write_text("".join(f"{name}: {value}\n" for name in sorted(options())))
    assert len(told(copy)) > 5
