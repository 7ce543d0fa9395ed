#!/usr/bin/python
"""Ansible module: bring GRUB's boot entry in line with its drop-ins, and say whether a reboot is needed."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: grub_cmdline
short_description: Bring GRUB's boot entry in line with its drop-ins
description:
  - Runs C(update-grub) when the first boot entry hasn't the wanted parameters or is older than GRUB's settings, and
    reads the entry back. Command lines are compared as multisets; nothing is ever appended to what is there.
options:
  parameters:
    description: The parameters that a drop-in in C(/etc/default/grub.d) sets.
    type: list
    elements: str
    required: true
author: wirebook
"""

EXAMPLES = r"""
- name: Bring the boot entry in line
  grub_cmdline:
    parameters: ["isolcpus=managed_irq,domain,2-3"]
"""

RETURN = r"""
lacking:
  description: Parameters of the boot entry that the running kernel was started without.
  type: list
  elements: str
  returned: success
left_over:
  description: Parameters that the running kernel was started with and the boot entry hasn't.
  type: list
  elements: str
  returned: success
reboot_required:
  description: Whether there are any of these.
  type: bool
  returned: success
"""

GRUB_CFG = Path("/boot/grub/grub.cfg")
SETTINGS = Path("/etc/default/grub")
DROPINS = Path("/etc/default/grub.d")
# GRUB and the EFI stub add these by themselves.
ADDED_AT_BOOT = frozenset({"BOOT_IMAGE", "initrd"})


def parameters_of(text: str) -> list[str]:
    """Split a kernel command line; double quotes protect white space (kernel-parameters.rst)."""
    return [p for p in re.findall(r'(?:[^\s"]|"[^"]*")+', text) if key_of(p) not in ADDED_AT_BOOT]


def key_of(parameter: str) -> str:
    """Return the name of a kernel parameter; the kernel takes - and _ for the same."""
    return parameter.partition("=")[0].replace("-", "_")


def boot_entry() -> list[str]:
    """Return the parameters of the first entry, which is the default one; the kernel's path is left out."""
    for line in GRUB_CFG.read_text().splitlines():
        words = line.split(maxsplit=2)
        if words and words[0] in ("linux", "linuxefi"):
            return parameters_of(words[2] if len(words) == 3 else "")
    return []


def with_keys_of(wanted: list[str], parameters: list[str]) -> list[str]:
    """Return the parameters that have a key of one of the wanted ones."""
    keys = {key_of(parameter) for parameter in wanted}
    return [parameter for parameter in parameters if key_of(parameter) in keys]


def is_older_than_settings() -> bool:
    """Whether GRUB's settings changed after grub.cfg was written; a file that was removed changed its directory."""
    written = GRUB_CFG.stat().st_mtime
    return any(path.stat().st_mtime > written for path in (SETTINGS, DROPINS, *DROPINS.glob("*.cfg")) if path.exists())


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={"parameters": {"type": "list", "elements": "str", "required": True}},
        supports_check_mode=True,
    )
    wanted = module.params["parameters"]
    update_grub = module.get_bin_path("update-grub")
    if update_grub is None or not GRUB_CFG.exists():
        module.fail_json(
            msg="The host doesn't boot by GRUB (no update-grub or no /boot/grub/grub.cfg): "
            "install grub-pc or grub-efi-amd64 and run update-grub."
        )
    boot = boot_entry()
    stale = Counter(with_keys_of(wanted, boot)) != Counter(wanted) or is_older_than_settings()
    if stale and not module.check_mode:
        status, _, errors = module.run_command([update_grub])
        if status != 0:
            module.fail_json(msg=f"update-grub failed: {errors.strip()}")
        boot = boot_entry()
        found = with_keys_of(wanted, boot)
        if Counter(found) != Counter(wanted):
            module.fail_json(
                msg=f"The boot entry has '{' '.join(found)}' instead of '{' '.join(wanted)}': "
                "take these parameters out of /etc/default/grub and the other files in /etc/default/grub.d."
            )
    running = Counter(parameters_of(Path("/proc/cmdline").read_text()))
    lacking, left_over = Counter(boot) - running, running - Counter(boot)
    module.exit_json(
        changed=stale,
        lacking=sorted(lacking.elements()),
        left_over=sorted(left_over.elements()),
        reboot_required=bool(lacking or left_over),
    )


if __name__ == "__main__":
    main()
