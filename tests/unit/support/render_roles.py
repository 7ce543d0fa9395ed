"""Render what each role has the module dropins write, for hosts of every kind, and print it as JSON.

Ansible's own templating does it, in this process, with the roles' defaults, variables, templates and files, and with
what the topology derives of a host: no play is run, and no host is asked. Under another PYTHONHASHSEED it must print
the same.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.vars.manager import VariableManager
from ansible_collections.wirebook.node.plugins.module_utils.topology.cpus import parse_cpus
from ansible_collections.wirebook.node.plugins.module_utils.topology.derive import derive
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from ansible_collections.wirebook.node.plugins.modules import dropins
from ansible_collections.wirebook.node.tests.unit.support.fake_host import add_nic, write
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES

MODES = ROLES.parent / "tests/unit/roles/modes"


@dataclass(frozen=True)
class Machine:
    """What a host is made of: the CPUs of its nodes, and the threads of a core."""

    nodes: tuple[str, ...] = ("0-3", "4-7")
    threads: int = 2

    def facts(self, root: Path, variables: dict[str, Any]) -> dict[str, Any]:
        """Return the facts of such a machine that has the NICs of the inventory, on node 0, with a clock each."""
        system = root / "sys/devices/system"
        write(root / "etc/os-release", 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian 13"\n')
        write(root / "proc/sys/kernel/osrelease", "6.17.0\n")
        write(root / "sys/firmware/acpi/tables/DMAR", "")
        write(system / "cpu/online", ",".join(self.nodes) + "\n")
        write(root / "sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never\n")
        write(root / "run/systemd/container", variables.get("container", ""))
        for node, cpus in enumerate(self.nodes):
            write(system / f"node/node{node}/cpulist", f"{cpus}\n")
            write(system / f"node/node{node}/meminfo", f"Node {node} MemTotal:  {64 << 20} kB\n")
            for size in (2048, 1048576):
                write(system / f"node/node{node}/hugepages/hugepages-{size}kB/nr_hugepages", "0\n")
            for cpu in sorted(parse_cpus(cpus)):
                core = cpu - cpu % self.threads
                write(system / f"cpu/cpu{cpu}/topology/thread_siblings_list", f"{core}-{core + self.threads - 1}\n")
                write(system / f"cpu/cpu{cpu}/topology/physical_package_id", f"{node}\n")
        add_nic(root, variables["topology_management_nic"], "0000:01:00.0", "igb", 0, group="1")
        for number, nic in enumerate(variables["topology_data_nics"]):
            add_nic(root, nic["name"], nic["pci"], "ice", 0, group=f"{number + 2}", phc=f"ptp{number}")
        return dict(read_host(root))


INVENTORIES = {"example": Machine(("0-7", "8-15"), 1), "lab": Machine(("0-1", "2-3"), 1)}


class Role:
    """A role: its defaults and variables, and its tasks."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loader = DataLoader()
        self.loader.set_basedir(str(path))
        self.defaults, self.variables = self._load("defaults/main.yml") or {}, self._load("vars/main.yml") or {}
        files = sorted((path / "tasks").glob("*.yml"))
        self.tasks = [task for file in files for task in self._load(f"tasks/{file.name}") or []]

    def _load(self, name: str) -> Any:
        file = self.path / name
        return self.loader.load_from_file(str(file), trusted_as_template=True) if file.exists() else None

    def calls(self, module: str) -> list[Any]:
        """Return the arguments of the tasks that call a module, unrendered."""
        return [task[key] for task in self.tasks for key in task if key.rpartition(".")[2] == module]

    def render(self, data: Any, host: dict[str, Any]) -> Any:
        """Return data, such as the arguments of a task, as the role makes them for a host."""
        own = {"role_path": str(self.path), "ansible_search_path": [str(self.path)], "ansible_managed": "managed"}
        known = self.defaults | self.variables | own | host
        return Templar(self.loader, known).template(data)


def hosts() -> Iterator[tuple[str, Machine, dict[str, Any]]]:
    """Yield the name, the machine and the variables of each host: those of modes/, and those of the inventories."""
    changes = {path.stem: DataLoader().load_from_file(str(path))["inventory"] for path in sorted(MODES.glob("*.yml"))}
    common = changes["common"]
    for name, change in changes.items():
        yield name, Machine(), common | change
    registered = {name: value for name, value in common.items() if name.startswith("__")}
    for name, machine in INVENTORIES.items():
        loader = DataLoader()
        inventory = InventoryManager(loader, sources=[str(ROLES.parent / "inventory" / name)])
        manager = VariableManager(loader, inventory)
        for host in inventory.get_hosts("nodes"):
            yield host.name, machine, registered | manager.get_vars(host=host)


def host_variables(topology: Role, machine: Machine, inventory: dict[str, Any]) -> dict[str, Any]:
    """Return what the other roles know of a host: its inventory, and what the role topology hands them."""
    with tempfile.TemporaryDirectory() as folder:
        facts = machine.facts(Path(folder), inventory)
    # A deploy imports the role account before the others, which read its group.
    account = Role(ROLES / "account").defaults
    known = account | {"inventory_hostname": "colo1"} | inventory | {"__topology_facts": {"host": facts}}
    (asked,) = topology.render(topology.calls("topology_model"), known)
    wish, host = Wish.from_inventory(asked), Host.from_facts(facts)
    if refused := refusals(wish, host):
        raise SystemExit("\n".join(refused))
    known["__topology_model"] = {"derived": derive(wish, host), "drawing": []}
    (handed,) = topology.render(topology.calls("set_fact"), known)
    return {**known, **handed}


def written(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a call of the module dropins would write: its files, its knobs, its values and its services."""
    checked = ArgumentSpecValidator(dropins.ARGUMENTS).validate(arguments)
    if checked.error_messages:
        raise SystemExit("\n".join(checked.error_messages))
    call = checked.validated_parameters
    there = {name: [one for one in call[name] or [] if one["present"]] for name in ("files", "services")}
    return {"values": call["values"], "sysctls": call["sysctls"], "knobs": dropins.all_knobs(call), **there}


def main() -> None:
    """Print everything: by host, by role."""
    init_plugin_loader()
    roles = {tasks.parents[1].name: Role(tasks.parents[1]) for tasks in sorted(ROLES.glob("*/tasks/main.yml"))}
    calls = {name: role.calls("dropins") for name, role in roles.items()}
    rendered = {}
    for name, machine, inventory in hosts():
        host = host_variables(roles["topology"], machine, inventory)
        rendered[name] = {
            role: [written(arguments) for arguments in roles[role].render(tasks, host)]
            for role, tasks in calls.items()
            if tasks
        }
        rendered[name]["packages"] = roles["packages"].render(roles["packages"].variables["__packages_names"], host)
        (build,) = [call for call in roles["feed_engine"].calls("command") if "build-wheelhouse" in str(call)]
        # The suite, how it is built, and for which CPU.
        rendered[name]["build"] = roles["feed_engine"].render(build["argv"][2:5], host)
    json.dump(rendered, sys.stdout)


if __name__ == "__main__":
    main()
