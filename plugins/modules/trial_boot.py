#!/usr/bin/python
"""Ansible module: the steps of a trial boot of a kernel command line."""

from __future__ import annotations

DOCUMENTATION = r"""
module: trial_boot
short_description: The steps of a trial boot of a kernel command line
description:
  - C(prepared) compares what runs, and what the host boots by default, with what is wanted. If the running kernel was
    started with something else, it writes a second boot entry; the default entry stays as it is. If only the default
    entry is off, it corrects that.
  - C(armed) lets GRUB boot the second entry once.
  - C(looked) says, after the reboot, which of the two came up.
  - C(confirmed) makes the trial's command line the default, and stops the timer that would reboot the host.
  - C(dropped) removes the second entry.
  - Command lines are compared as multisets; nothing is ever appended to what is there.
attributes:
  check_mode:
    support: partial
    description: Whether it changes nothing in check mode.
    details:
      - O(state=prepared) says what it would write, and O(state=looked) only looks.
      - The other steps do nothing, and always say that they would change something.
  diff_mode:
    support: partial
    description: Whether it shows what changes.
    details:
      - O(state=prepared) shows the drop-in, before and after.
author: The wirebook engineers (!UNKNOWN)
options:
  state:
    description: The step.
    type: str
    choices: [prepared, armed, looked, confirmed, dropped]
    required: true
  parameters:
    description: The parameters that the drop-in sets.
    type: list
    elements: str
    default: []
  path:
    description: The drop-in.
    type: path
    default: /etc/default/grub.d/zz-wirebook.cfg
  content:
    description: The content of the drop-in; empty if there is to be none.
    type: str
    default: ""
  without_trial:
    description: Whether the default entry may be changed without a trial.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Prepare a trial
  wirebook.node.trial_boot:
    state: prepared
    parameters: ["isolcpus=managed_irq,domain,2-3"]
    content: |
      GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT isolcpus=managed_irq,domain,2-3"
"""

RETURN = r"""
boot:
  description: >-
    C(none), C(trial) a trial is needed, C(resume) the trial runs already and waits to be confirmed,
    C(direct) a reboot without a trial is needed.
  type: str
  returned: when state is prepared
outcome:
  description: C(trial), C(default) or C(other).
  type: str
  returned: when state is looked
lacking:
  description: Parameters that the running kernel was started without.
  type: list
  elements: str
  returned: when state is prepared or looked
left_over:
  description: Parameters that the running kernel was started with but shouldn't have been.
  type: list
  elements: str
  returned: when state is prepared or looked
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.grub.entries import GrubError
from ansible_collections.wirebook.node.plugins.module_utils.grub.host import Dropin, Grub
from ansible_collections.wirebook.node.plugins.module_utils.grub.trial import STATE, TIMER, Boot
from ansible_collections.wirebook.node.plugins.module_utils.ledger.store import Ledger


def prepare(module: AnsibleModule, boot: Boot) -> None:
    """Compare, note what is there, and write what is needed."""
    arguments = module.params
    dropin = Dropin(Path(arguments["path"]), arguments["content"])
    plan = boot.plan(arguments["parameters"], dropin, without_trial_boot=arguments["without_trial"])
    before = dropin.path.read_text() if dropin.path.exists() else ""
    if plan.writes and not module.check_mode:
        ledger = Ledger.open()
        ledger.note("kernel_cmdline", "file", arguments["path"])
        ledger.note("kernel_cmdline", "file", str(boot.grub.custom))
        ledger.note("kernel_cmdline", "tree", str(boot.path(STATE).parent))
        ledger.note("kernel_cmdline", "unit", TIMER)
        boot.prepare(plan)
    difference = {"before_header": arguments["path"], "after_header": arguments["path"], "before": before}
    module.exit_json(
        changed=plan.writes,
        boot=plan.boot,
        lacking=plan.lacking,
        left_over=plan.left_over,
        diff=[difference | {"after": dropin.text}] if plan.writes else [],
    )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "state": {
                "type": "str",
                "choices": ["prepared", "armed", "looked", "confirmed", "dropped"],
                "required": True,
            },
            "parameters": {"type": "list", "elements": "str", "default": []},
            "path": {"type": "path", "default": "/etc/default/grub.d/zz-wirebook.cfg"},
            "content": {"type": "str", "default": ""},
            "without_trial": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    boot, state = Boot(Grub()), module.params["state"]
    try:
        if state == "prepared":
            prepare(module, boot)
        if state == "looked":
            outcome, lacking, left_over = boot.came_up()
            module.exit_json(changed=False, outcome=outcome, lacking=lacking, left_over=left_over)
        if not module.check_mode:
            {"armed": boot.arm, "confirmed": boot.confirm, "dropped": boot.drop}[state]()
        module.exit_json(changed=True)
    except GrubError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
