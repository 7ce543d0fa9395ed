#!/usr/bin/python
"""Ansible module: tell what a host's ledger holds."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ledger_info
short_description: Read what a host's ledger holds
description:
  - Lists what was changed on the host and would be taken back by an undo. Changes nothing.
attributes:
  check_mode:
    support: full
    description: It changes nothing.
  diff_mode:
    support: none
    description: It changes nothing.
author: The wirebook engineers (!UNKNOWN)
options:
  folder:
    description: Where the ledger is.
    type: path
    default: /var/lib/wirebook/ledger
"""

EXAMPLES = r"""
- name: See what wirebook changed
  wirebook.node.ledger_info:
  register: __ledger
"""

RETURN = r"""
exists:
  description: Whether the host has a ledger.
  type: bool
  returned: always
entries:
  description: What was noted, with C(kind), C(key) and C(role) each.
  type: list
  elements: dict
  returned: always
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.ledger.store import FOLDER, Ledger


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"folder": {"type": "path", "default": str(FOLDER)}}, supports_check_mode=True)
    ledger = Ledger.open(Path(module.params["folder"]), read_only=True)
    entries = [{"kind": entry.kind, "key": entry.key, "role": entry.role} for entry in ledger.entries()]
    module.exit_json(changed=False, exists=ledger.folder.is_dir(), entries=entries)


if __name__ == "__main__":
    main()
