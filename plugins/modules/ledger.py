#!/usr/bin/python
"""Ansible module: note what is there before a role changes it, and take it back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger
short_description: Note what is there before a role changes it, or take the changes back
description:
  - With O(state=noted) writes to the host's ledger what is there now, for each thing that isn't in it yet.
    Call it before the change.
  - With O(state=undone) gives the host back what the ledger holds, and deletes the ledger.
attributes:
  check_mode:
    support: full
    description: Says what would change, and changes nothing.
  diff_mode:
    support: none
    description: What is noted or taken back is in the result.
author: The wirebook engineers (!UNKNOWN)
options:
  state:
    description: What to do.
    type: str
    choices: [noted, undone]
    default: noted
  role:
    description: The role that is about to change these things; needed to note them.
    type: str
  units:
    description:
      - Units that the role enables, starts, stops or masks, except those whose files M(wirebook.node.dropins) writes.
      - A template, C(NAME@.service), has no state and is left out; its instances have.
    type: list
    elements: str
    default: []
  values:
    description: >-
      Files below C(/proc/sys) and C(/sys) that the role writes to, except for the sysctls of M(wirebook.node.dropins).
    type: list
    elements: path
    default: []
  drivers:
    description: PCI addresses of the devices that the role gives to another driver with C(driverctl).
    type: list
    elements: str
    default: []
  packages:
    description: Packages that the role installs; what apt installs with them, without recommended ones, is noted too.
    type: list
    elements: str
    default: []
  users:
    description: Users that the role creates.
    type: list
    elements: str
    default: []
  groups:
    description: Groups that the role creates or adds members to.
    type: list
    elements: str
    default: []
  files:
    description: >-
      Files and links that the role, or what it installs, writes by other means than M(wirebook.node.dropins).
    type: list
    elements: path
    default: []
  trees:
    description: Folders that are the role's own with everything below them; an undo removes them as a whole.
    type: list
    elements: path
    default: []
  data:
    description: Folders for what services record. An undo keeps what is in them and says where it is.
    type: list
    elements: path
    default: []
  spare:
    description: With O(state=undone), the roles whose changes stay; then the ledger stays too.
    type: list
    elements: str
    default: []
  folder:
    description: Where the ledger is.
    type: path
    default: /var/lib/wirebook/ledger
"""

EXAMPLES = r"""
- name: Note what is there before it is changed
  wirebook.node.ledger:
    role: ptp
    packages: [linuxptp]
    units: [chrony.service]
"""

RETURN = r"""
noted:
  description: What was written to the ledger just now, as "kind name".
  type: list
  elements: str
  returned: when state is noted
undone:
  description: What was taken back, as "kind name".
  type: list
  elements: str
  returned: when state is undone
kept:
  description: What wasn't taken back, each with the reason.
  type: list
  elements: str
  returned: when state is undone
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.ledger.kinds import LedgerError, packages_of
from ansible_collections.wirebook.node.plugins.module_utils.ledger.store import FOLDER, Ledger, has_former
from ansible_collections.wirebook.node.plugins.module_utils.ledger.undo import take_back

# Option and kind of entry.
LISTS = {
    "units": "unit", "values": "value", "drivers": "driver", "packages": "package", "users": "user",
    "groups": "group", "files": "file", "trees": "tree", "data": "data",
}  # fmt: skip


def note(module: AnsibleModule, ledger: Ledger, *, taken_over: bool) -> None:
    """Note what isn't noted yet."""
    wanted = [(kind, key) for option, kind in LISTS.items() for key in module.params[option]]
    new = [
        (kind, key)
        for kind, key in wanted
        if not ledger.has(kind, key) and not (kind == "unit" and key.partition(".")[0].endswith("@"))
    ]
    if packages := [key for kind, key in new if kind == "package"]:
        known = [name for name in packages_of(packages) if name not in packages and not ledger.has("package", name)]
        new += [("package", name) for name in known]
    if not module.check_mode:
        for kind, key in new:
            ledger.note(module.params["role"], kind, key)
    module.exit_json(changed=bool(new) or taken_over, noted=[f"{kind} {key}" for kind, key in new])


def undo(module: AnsibleModule, ledger: Ledger) -> None:
    """Take back what is noted."""
    if module.check_mode:
        entries = [entry for entry in ledger.entries() if entry.role not in module.params["spare"]]
        module.exit_json(changed=bool(entries), undone=[f"{entry.kind} {entry.key}" for entry in entries], kept=[])
    there = ledger.folder.is_dir()
    report = take_back(ledger, frozenset(module.params["spare"]))
    gone = there and not ledger.folder.is_dir()
    module.exit_json(changed=bool(report.undone) or gone, undone=report.undone, kept=report.kept)


def main() -> None:
    """Run the module."""
    strings = {"type": "list", "elements": "str", "default": []}
    paths = strings | {"elements": "path"}
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["noted", "undone"], "default": "noted"},
            "role": {"type": "str"},
            "units": strings,
            "values": paths,
            "drivers": strings,
            "packages": strings,
            "users": strings,
            "groups": strings,
            "files": paths,
            "trees": paths,
            "data": paths,
            "spare": strings,
            "folder": {"type": "path", "default": str(FOLDER)},
        },
        required_if=[("state", "noted", ["role"])],
        supports_check_mode=True,
    )
    folder = Path(module.params["folder"])
    taken_over = has_former(folder)
    ledger = Ledger.open(folder, read_only=module.check_mode)
    try:
        if module.params["state"] == "noted":
            note(module, ledger, taken_over=taken_over)
        else:
            undo(module, ledger)
    except LedgerError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
