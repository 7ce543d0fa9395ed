"""Render what each role has the module dropins write, for hosts of every kind, and print it as JSON.

Ansible's own templating does it, in this process, with the roles' defaults, variables, templates and files, and with
what the topology derives of a host: no play is run, and no host is asked. Under another PYTHONHASHSEED it must print
the same.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible_collections.wirebook.node.plugins.module_utils.topology.derive import derive
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.tests.unit.support.fake_host import add_nic, write
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES

MODES = ROLES.parent / "tests/unit/roles/modes"
DROPINS = "wirebook.node.dropins"
HOSTNAME = "colo1"
WISH = {
    "housekeeping_cpus": "",
    "smt_siblings": "online",
    "services": [],
    "hugepages": [],
    "management_nic": "",
    "data_nics": [],
    "clock": {"mode": "host"},
    "accept_risk": [],
    "transport_interface": "",
}


def host_facts(root: Path, container: str) -> dict[str, Any]:
    """Return the facts of a machine of two nodes: CPUs 0-3 and 4-7, two threads to a core, three NICs with a PHC."""
    system = root / "sys/devices/system"
    write(root / "etc/os-release", 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian 13"\n')
    write(root / "proc/sys/kernel/osrelease", "6.17.0\n")
    write(root / "proc/1/status", "Cpus_allowed_list:\t0-7\n")
    write(root / "sys/firmware/acpi/tables/DMAR", "")
    write(system / "cpu/online", "0-7\n")
    write(root / "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")
    if container:
        write(root / "run/systemd/container", container)
    for cpu in range(8):
        write(system / f"cpu/cpu{cpu}/topology/thread_siblings_list", f"{cpu & ~1}-{cpu | 1}\n")
        write(system / f"cpu/cpu{cpu}/topology/physical_package_id", f"{cpu // 4}\n")
    for node in range(2):
        write(system / f"node/node{node}/cpulist", f"{node * 4}-{node * 4 + 3}\n")
        write(system / f"node/node{node}/meminfo", f"Node {node} MemTotal:  {64 << 20} kB\n")
        for size in (2048, 1048576):
            write(system / f"node/node{node}/hugepages/hugepages-{size}kB/nr_hugepages", "0\n")
    add_nic(root, "eno1", "0000:01:00.0", "igb", 0, group="1")
    for port in range(3):
        add_nic(root, f"enp59s0f{port}", f"0000:3b:00.{port}", "ice", 0, group=f"{2 + port}", phc=f"ptp{port}")
    return read_host(root)


def variables(mode: dict[str, Any]) -> dict[str, Any]:
    """Return what the inventory and the tasks before a role's dropins bring, for one mode."""
    asked = {name.removeprefix("topology_"): value for name, value in mode.items() if name.startswith("topology_")}
    with tempfile.TemporaryDirectory() as folder:
        facts = host_facts(Path(folder), mode.get("container", ""))
    wish, host = Wish.from_inventory(WISH | asked), Host.from_facts(facts)
    if refused := refusals(wish, host):
        raise SystemExit("\n".join(refused))
    return mode | {"topology_host": facts, "topology_derived": derive(wish, host), "inventory_hostname": HOSTNAME}


class Role:
    """A role: its defaults and variables, and its tasks that call the module dropins."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loader = DataLoader()
        self.loader.set_basedir(str(path))
        self.variables = {**self._load("defaults/main.yml"), **self._load("vars/main.yml")}
        tasks = [task for file in sorted((path / "tasks").glob("*.yml")) for task in self._load(f"tasks/{file.name}")]
        self.calls = [task[DROPINS] for task in tasks if DROPINS in task]

    def _load(self, name: str) -> Any:
        file = self.path / name
        return self.loader.load_from_file(str(file), trusted_as_template=True) if file.exists() else {}

    def render(self, mode: dict[str, Any]) -> Any:
        """Return the arguments of the calls."""
        own = {"role_path": str(self.path), "ansible_search_path": [str(self.path)], "ansible_managed": "managed"}
        return Templar(self.loader, self.variables | own | mode).template(self.calls)


def main() -> None:
    """Print everything: by mode, by role."""
    init_plugin_loader()
    modes = {path.stem: DataLoader().load_from_file(str(path)) for path in sorted(MODES.glob("*.yml"))}
    hosts = {name: variables(modes["common"] | changes) for name, changes in modes.items()}
    roles = [Role(tasks.parents[1]) for tasks in sorted(ROLES.glob("*/tasks/main.yml"))]
    written = {
        name: {role.path.name: role.render(host) for role in roles if role.calls} for name, host in hosts.items()
    }
    json.dump(written, sys.stdout)


if __name__ == "__main__":
    main()
