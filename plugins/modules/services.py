#!/usr/bin/python
"""Ansible module: run what a role's drop-ins describe, by what is written there now."""

from __future__ import annotations

DOCUMENTATION = r"""
module: services
short_description: Run the services that a role's drop-ins describe
description:
  - Stops, enables, starts or restarts units, as O(services) says.
  - Restarts services if the role's files were written since they were started, by this run of Ansible or by an
    earlier one that was killed before it got here. M(wirebook.node.dropins) with the same O(services) keeps track.
  - Has systemd reload its files if they are newer than what it knows.
attributes:
  check_mode:
    support: full
    description: Says what would be done, and does nothing.
  diff_mode:
    support: none
    description: What was done with a unit is in RV(done).
author: The wirebook engineers (!UNKNOWN)
options:
  role:
    description: The role's name, as M(wirebook.node.dropins) has it.
    type: str
    required: true
  services:
    description: The units, in the order in which they are started. node-doctor shows the text of a state that is off.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {type: str, required: true, description: "The unit; no template."}
      active: {type: str, description: "It has to run; the text says what goes wrong if it doesn't."}
      inactive: {type: str, description: "It must not run; the text says what goes wrong if it does."}
      enabled: {type: str, description: "The next boot has to start it; the text says what goes wrong if it doesn't."}
      scope: {type: str, choices: [kernel, node], description: "Whose state it is, as with any knob."}
      source: {type: str, default: systemd.unit(5), description: "The document that says so."}
      present: {type: bool, default: true, description: "Whether the entry counts."}
  gone:
    description: Units that are no longer used. They are stopped and disabled.
    type: list
    elements: str
    default: []
  restart:
    description: Restart the services in any case.
    type: bool
    default: false
  reload:
    description: Have systemd reload its files in any case.
    type: bool
    default: false
  due:
    description: The directory of the roles whose services are due for a restart.
    type: path
    default: /run/wirebook-due
"""

EXAMPLES = r"""
- name: Run what keeps interrupts away
  wirebook.node.services:
    role: affinity
    services:
      - name: irqbalance.service
        inactive: irqbalance moves interrupts back onto the isolated CPUs.
      - name: wirebook-affinity.service
        active: An interface that goes down and up again gets its interrupts on any CPU.
        enabled: After the next boot interrupts are where the drivers put them.
"""

RETURN = r"""
done:
  description: What was done, as arguments of systemctl.
  type: list
  elements: str
  returned: success
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.dropins.due import FOLDER, Due
from ansible_collections.wirebook.node.plugins.module_utils.dropins.services import OPTIONS, states, steps
from ansible_collections.wirebook.node.plugins.module_utils.ledger.kinds import LedgerError, run


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "required": True},
            "services": {"type": "list", "elements": "dict", "default": [], "options": OPTIONS},
            "gone": {"type": "list", "elements": "str", "default": []},
            "restart": {"type": "bool", "default": False},
            "reload": {"type": "bool", "default": False},
            "due": {"type": "path", "default": str(FOLDER)},
        },
        supports_check_mode=True,
    )
    arguments = module.params
    due = Due(arguments["role"], Path(arguments["due"]))
    services = [entry for entry in arguments["services"] if entry["present"]]
    names = [entry["name"] for entry in services]
    done: list[tuple[str, ...]] = []
    try:
        if due.is_set() or arguments["reload"] or any(state.needs_reload for state in states(names).values()):
            done.append(("daemon-reload",))
            if not module.check_mode:
                run("systemctl", "daemon-reload")
        rest: list[tuple[str, ...]] = [("disable", "--now", name) for name in arguments["gone"]]
        rest += steps(services, states(names), restart=due.is_set() or arguments["restart"])
        for step in rest if not module.check_mode else []:
            run("systemctl", *step)
    except LedgerError as error:
        module.fail_json(msg=str(error))
    if not module.check_mode:
        due.clear()
    done += rest
    module.exit_json(changed=bool(done), done=[" ".join(step) for step in done])


if __name__ == "__main__":
    main()
