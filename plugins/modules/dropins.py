#!/usr/bin/python
"""Ansible module: write a role's drop-in files, set its sysctls and say what is to be proven, in one call."""

from __future__ import annotations

DOCUMENTATION = r"""
module: dropins
short_description: Write a role's drop-in files, set its sysctls, and say what is to be proven
description:
  - Writes all files of a role and C(/etc/wirebook/desired.d/ROLE.json) in one call, each atomically.
    The fragment is compared as data.
  - Removes a file that the role wrote earlier, as its fragment says, and no longer lists. A file that another role
    lists by now is left to that role.
  - Removes a folder that wirebook made for such a file, once it is empty.
  - Sets sysctls in the running kernel if they are off, and reads them back.
  - Notes in the host's ledger what was there before the first change of files, of their units, and of sysctls.
attributes:
  check_mode:
    support: full
    description: Says what would change, and changes nothing.
  diff_mode:
    support: full
    description: Shows each file and value, before and after.
author: The wirebook engineers (!UNKNOWN)
options:
  role:
    description: The role's name; it names the fragment.
    type: str
    required: true
  files:
    description: The files, whole. A file is this role's own; no package may own it.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {type: path, required: true, description: Where it is.}
      content: {type: str, required: true, description: What is in it.}
      mode: {type: str, default: "0644", description: Octal.}
      owner: {type: str, default: root, description: An existing user.}
      group: {type: str, default: root, description: An existing group.}
      present: {type: bool, default: true, description: Whether it has to be there.}
  knobs:
    description: What node-doctor has to prove, see the role's README. A knob whose C(present) is false is left out.
    type: list
    elements: dict
    default: []
  services:
    description:
      - The units that run with the files. Each of their states is a knob, which comes after the O(knobs).
      - If the list is given, even an empty one, the module keeps track of whether they are due for a restart.
        M(wirebook.node.services), with the same list, runs them.
    type: list
    elements: dict
    suboptions:
      name: {type: str, required: true, description: "The unit; no template."}
      active: {type: str, description: "It has to run; the text says what goes wrong if it doesn't."}
      inactive: {type: str, description: "It must not run; the text says what goes wrong if it does."}
      enabled: {type: str, description: "The next boot has to start it; the text says what goes wrong if it doesn't."}
      scope: {type: str, choices: [kernel, node], description: "Whose state it is, as with any knob."}
      source: {type: str, default: systemd.unit(5), description: "The document that says so."}
      present: {type: bool, default: true, description: "Whether the entry counts."}
  sysctls:
    description: Values in the running kernel, by key. The file for the next boot is one of O(files).
    type: dict
    default: {}
  values:
    description:
      - Values in the running kernel, by the path of a file below C(/sys). One of O(files) sets them at the next boot.
      - Masks of CPUs are compared as numbers; of a choice such as C(always [madvise] never) the chosen word counts.
      - A file that doesn't exist is left out. A value that the kernel only takes after the next boot is a warning.
    type: dict
    default: {}
  desired:
    description: The directory of the fragments.
    type: path
    default: /etc/wirebook/desired.d
  ledger:
    description: The directory of the host's ledger.
    type: path
    default: /var/lib/wirebook/ledger
  due:
    description: The directory of the roles whose services are due for a restart.
    type: path
    default: /run/wirebook-due
"""

EXAMPLES = r"""
- name: Write the drop-ins
  wirebook.node.dropins:
    role: sysctl
    files:
      - path: /etc/sysctl.d/60-wirebook.conf
        content: "vm.swappiness = 10\n"
    sysctls: {vm.swappiness: 10}
    knobs:
      - name: sysctl vm.swappiness
        probe: sysctl
        key: vm.swappiness
        want: 10
        source: Documentation/admin-guide/sysctl/vm.rst
        breaks: Memory that isn't locked is swapped out while there is free memory.
"""

RETURN = r"""
changed_paths:
  description: The files that were written or removed, including the fragment.
  type: list
  elements: str
  returned: always
changed_values:
  description: The paths whose values were off.
  type: list
  elements: str
  returned: always
changed_sysctls:
  description: The keys whose values were off.
  type: list
  elements: str
  returned: always
due:
  description: Whether O(services) run with older files than those on disk.
  type: bool
  returned: always
"""

from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.dropins import due, services
from ansible_collections.wirebook.node.plugins.module_utils.dropins.files import (
    DESIRED,
    File,
    fragment,
    left_over,
    of_other_roles,
    remove,
    wanted,
)
from ansible_collections.wirebook.node.plugins.module_utils.dropins.values import (
    ValueRefusedError,
    is_same,
    running_sysctl,
    running_value,
    set_sysctl,
    set_value,
    sysctl_path,
)
from ansible_collections.wirebook.node.plugins.module_utils.ledger.kinds import LedgerError, run
from ansible_collections.wirebook.node.plugins.module_utils.ledger.store import FOLDER, Ledger

ARGUMENTS: dict[str, Any] = {
    "role": {"type": "str", "required": True},
    "files": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "path": {"type": "path", "required": True},
            "content": {"type": "str", "required": True},
            "mode": {"type": "str", "default": "0644"},
            "owner": {"type": "str", "default": "root"},
            "group": {"type": "str", "default": "root"},
            "present": {"type": "bool", "default": True},
        },
    },
    "knobs": {"type": "list", "elements": "dict", "default": []},
    "services": {"type": "list", "elements": "dict", "options": services.OPTIONS},
    "sysctls": {"type": "dict", "default": {}},
    "values": {"type": "dict", "default": {}},
    "desired": {"type": "path", "default": DESIRED},
    "ledger": {"type": "path", "default": str(FOLDER)},
    "due": {"type": "path", "default": str(due.FOLDER)},
}

UNITS = Path("/etc/systemd/system")
UNIT_TYPES = frozenset({".mount", ".path", ".service", ".socket", ".target", ".timer"})


def is_unit(path: Path) -> bool:
    """Whether a file is a unit that systemd can enable; a template (NAME@.service) is none, only its instances are."""
    return path.parent == UNITS and path.suffix in UNIT_TYPES and not path.stem.endswith("@")


def note(ledger: Ledger, role: str, files: list[File], values: list[Path]) -> None:
    """Note what is there before it is changed; a template's instances (NAME@.service) are for the role to note."""
    for file in files:
        ledger.note(role, "file", str(file.path))
        if is_unit(file.path):
            ledger.note(role, "unit", file.path.name)
    for path in values:
        ledger.note(role, "value", str(path))


def all_knobs(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what node-doctor is to prove: the knobs that are there, and those of the services."""
    there = [knob for knob in arguments["knobs"] if knob.get("present", True)]
    own = [{key: value for key, value in knob.items() if key != "present"} for knob in there]
    of_services = [services.knobs(entry) for entry in arguments["services"] or [] if entry["present"]]
    return own + [knob for knobs in of_services for knob in knobs]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    arguments = module.params
    try:
        files = [wanted(entry) for entry in arguments["files"] if entry["present"]]
    except KeyError as error:
        module.fail_json(
            msg=f"The files of role {arguments['role']} need a user or group that isn't there: {error.args[0]}."
        )
    state = fragment(arguments["role"], files, all_knobs(arguments), arguments["desired"])
    others = of_other_roles(arguments["role"], arguments["desired"], DESIRED)
    stale = left_over(state.current(), files, others)
    # The fragment is written last: node-doctor must never ask for what isn't on the disk yet.
    off = [file for file in [*files, state] if not file.is_right()]
    restart = due.Due(arguments["role"], Path(arguments["due"]))
    renewed = arguments["services"] is not None and bool(stale or [file for file in off if file is not state])
    diff = [
        {
            "before_header": str(file.path),
            "after_header": str(file.path),
            "before": file.current() or "",
            "after": file.content,
        }
        for file in off
    ]
    diff += [
        {"before_header": str(path), "after_header": str(path), "before": path.read_text(), "after": ""}
        for path in stale
    ]
    try:
        running = {key: running_sysctl(key) for key in arguments["sysctls"]}
        sysctls = {key: str(value) for key, value in arguments["sysctls"].items() if running[key] != str(value)}
        diff += [{"before": f"{key} = {running[key]}\n", "after": f"{key} = {sysctls[key]}\n"} for key in sysctls]
        found = {Path(path): running_value(Path(path)) for path in arguments["values"]}
        values = {
            path: str(arguments["values"][str(path)])
            for path, text in found.items()
            if text is not None and not is_same(path, text, str(arguments["values"][str(path)]))
        }
        diff += [{"before": f"{path} {found[path]}\n", "after": f"{path} {values[path]}\n"} for path in values]
        if not module.check_mode:
            written = [*map(sysctl_path, sysctls), *values]
            ledger = Ledger.open(Path(arguments["ledger"]))
            note(ledger, arguments["role"], off, written)
            if renewed:
                restart.set()
            for path in stale:
                if is_unit(path):
                    # While its file is there: afterwards its link at a boot target would stay, and name nothing.
                    run("systemctl", "disable", "--", path.name)
                remove(path, ledger)
            for file in off:
                file.write()
            for key, value in sysctls.items():
                set_sysctl(key, value)
            for path, value in values.items():
                if warning := set_value(path, value):
                    module.warn(warning)
    except (ValueRefusedError, LedgerError) as error:
        module.fail_json(msg=str(error))
    changed = [*map(str, stale), *(str(file.path) for file in off)]
    module.exit_json(
        changed=bool(changed or sysctls or values),
        changed_paths=changed,
        changed_sysctls=sorted(sysctls),
        changed_values=sorted(map(str, values)),
        due=renewed or restart.is_set(),
        diff=diff,
    )


if __name__ == "__main__":
    main()
