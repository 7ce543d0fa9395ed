#!/usr/bin/python
"""Ansible module: give sysctls their values in the running kernel, all in one call, each read back."""

from __future__ import annotations

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
module: sysctl_live
short_description: Give sysctls their values in the running kernel
description:
  - Writes only the values that are off, and reads back what it wrote. The files for the next boot are not its business.
options:
  values:
    description: The values, by key.
    type: dict
    required: true
author: wirebook
"""

EXAMPLES = r"""
- name: Apply
  sysctl_live:
    values: {vm.swappiness: 10}
"""

RETURN = r"""
changed_keys:
  description: The keys whose values were off.
  type: list
  elements: str
  returned: always
"""


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={"values": {"type": "dict", "required": True}}, supports_check_mode=True)
    before: dict[str, str] = {}
    after: dict[str, str] = {}
    for key, value in module.params["values"].items():
        path = Path("/proc/sys", key.replace(".", "/"))
        try:
            found = path.read_text()
            if found.split() == str(value).split():
                continue
            before[key], after[key] = " ".join(found.split()), str(value)
            if not module.check_mode:
                path.write_text(f"{value}\n")
                found = path.read_text()
        except FileNotFoundError:
            module.fail_json(msg=f"The running kernel has no sysctl {key}: boot one of Debian's own kernels.")
        except OSError as error:
            module.fail_json(msg=f"The kernel refuses {key} = {value}: {error.strerror}. Change it in sysctl_values.")
        if not module.check_mode and found.split() != str(value).split():
            module.fail_json(msg=f"The kernel made {key} = {found.strip()} of {value}: change it in sysctl_values.")
    module.exit_json(
        changed=bool(after),
        changed_keys=sorted(after),
        diff={
            "before": "".join(f"{key} = {value}\n" for key, value in before.items()),
            "after": "".join(f"{key} = {value}\n" for key, value in after.items()),
        },
    )


if __name__ == "__main__":
    main()
