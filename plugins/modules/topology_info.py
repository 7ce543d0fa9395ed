#!/usr/bin/python
"""Ansible module: read what the host is."""

from __future__ import annotations

DOCUMENTATION = r"""
module: topology_info
short_description: Read the host's CPUs, NUMA nodes, hugepage sizes, NICs and system
description:
  - Reads sysfs and procfs and changes nothing.
attributes:
  check_mode:
    support: full
    description: It changes nothing.
  diff_mode:
    support: none
    description: It changes nothing.
author: The wirebook engineers (!UNKNOWN)
options: {}
"""

EXAMPLES = r"""
- name: Read what the host is
  wirebook.node.topology_info:
  register: __topology_info
"""

RETURN = r"""
host:
  description: The host, with the fields that roles/topology/README.md lists for C(topology_host).
  type: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.topology.host import read_host


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    module.exit_json(changed=False, host=read_host())


if __name__ == "__main__":
    main()
