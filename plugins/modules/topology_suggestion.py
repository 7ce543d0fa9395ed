#!/usr/bin/python
"""Ansible module, run on the controller: suggest what to ask of a host, by its facts."""

from __future__ import annotations

DOCUMENTATION = r"""
module: topology_suggestion
short_description: Suggest isolated CPUs, services and hugepages for a host
description:
  - Changes nothing. What it suggests is granted by M(wirebook.node.topology_model) for the same host.
attributes:
  check_mode:
    support: full
    description: It changes nothing.
  diff_mode:
    support: none
    description: It changes nothing.
author: The wirebook engineers (!UNKNOWN)
options:
  host:
    description: The facts that M(wirebook.node.topology_info) returned.
    type: dict
    required: true
  services:
    description: The services that are to have a CPU of their own, the most important first.
    type: list
    elements: str
    default: [book]
  arena_mb: {type: int, default: 256, description: The size of the books' arena in MiB.}
  management_nic: {type: str, default: "", description: As topology_management_nic.}
  data_nics:
    description: As topology_data_nics. The services are suggested beside them.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {type: str, required: true, description: The interface.}
      pci: {type: str, required: true, description: Its PCI address.}
      use: {type: str, default: kernel, choices: [kernel, af_xdp, vfio], description: What it is for.}
      reader: {type: str, default: "", description: The service that reads it.}
      zero_copy: {type: bool, default: false, description: Whether AF_XDP must not copy.}
      allow_remote_node: {type: bool, default: false, description: Whether its reader may be on another node.}
  transport: {type: dict, default: {}, description: The table C(transport) of the feed engine's settings.}
  name: {type: str, required: true, description: The host's name in the inventory.}
"""

EXAMPLES = r"""
- name: Suggest what suits the host
  wirebook.node.topology_suggestion:
    host: "{{ __topology_info.host }}"
    services: [book, feed-binance]
    name: "{{ inventory_hostname }}"
  delegate_to: localhost
  register: __topology_suggestion
"""

RETURN = r"""
lines:
  description: A block for the host's file in host_vars, line by line, with the reasons as comments.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.topology.arguments import DATA_NICS
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.suggestion import block, suggest

# What isn't to be told, since it is suggested, or takes no part.
OPEN = {
    "isolated_cpus": "",
    "housekeeping_cpus": "",
    "smt_siblings": "online",
    "services": [],
    "hugepages": [],
    "clock": {},
    "accept_risk": [],
    "kernel_cmdline_extra": [],
}


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "dict", "required": True},
            "services": {"type": "list", "elements": "str", "default": ["book"]},
            "arena_mb": {"type": "int", "default": 256},
            "management_nic": {"type": "str", "default": ""},
            "data_nics": DATA_NICS,
            "transport": {"type": "dict", "default": {}},
            "name": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    asked = module.params
    host = Host.from_facts(asked["host"])
    found = suggest(Wish.from_inventory(asked | OPEN), asked["services"], asked["arena_mb"], host)
    module.exit_json(changed=False, lines=block(found, asked["name"], host))


if __name__ == "__main__":
    main()
