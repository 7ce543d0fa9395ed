#!/usr/bin/python
"""Ansible module, run on the controller: check the inventory against the host's facts and derive what the roles set."""

from __future__ import annotations

DOCUMENTATION = r"""
module: topology_model
short_description: Check what the inventory asks of a host, and derive what the roles set
description:
  - Changes nothing. Fails with the refusals, one sentence for each.
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
  isolated_cpus: {type: str, required: true, description: As topology_isolated_cpus.}
  housekeeping_cpus: {type: str, default: "", description: As topology_housekeeping_cpus.}
  smt_siblings: {type: str, default: online, choices: [online, offline], description: As topology_smt_siblings.}
  services:
    description: As topology_services.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {type: str, required: true, description: The service.}
      cpu: {type: int, required: true, description: Its CPU.}
  hugepages:
    description: As topology_hugepages.
    type: list
    elements: dict
    default: []
    suboptions:
      node: {type: int, required: true, description: The NUMA node.}
      size: {type: str, required: true, choices: [2M, 1G], description: The size of a page.}
      count: {type: int, required: true, description: The number of pages.}
  management_nic: {type: str, default: "", description: As topology_management_nic.}
  data_nics:
    description: As topology_data_nics.
    type: list
    elements: dict
    default: []
    suboptions:
      name: {type: str, required: true, description: The interface.}
      pci: {type: str, required: true, description: Its PCI address.}
      use: {type: str, default: kernel, choices: [kernel, af_xdp, vfio], description: Who drives it.}
      reader: {type: str, default: "", description: The service that reads it.}
      zero_copy: {type: bool, default: false, description: Whether AF_XDP must not copy.}
      allow_remote_node: {type: bool, default: false, description: Whether its reader may be on another node.}
  clock:
    description: As topology_clock.
    type: dict
    default: {}
    suboptions:
      mode: {type: str, default: host, choices: [host, chrony, ptp-software, ptp-hardware], description: Who steers it.}
      interface: {type: str, default: "", description: The interface that hears the grandmaster.}
  accept_risk:
    description: As topology_accept_risk.
    type: list
    elements: str
    default: []
  kernel_cmdline_extra: {type: list, elements: str, default: [], description: As kernel_cmdline_extra.}
  transport: {type: dict, default: {}, description: The table C(transport) of the feed engine's settings.}
  name: {type: str, required: true, description: What the drawing calls the host.}
"""

EXAMPLES = r"""
- name: Check the inventory and derive what the roles set
  wirebook.node.topology_model:
    host: "{{ __topology_info.host }}"
    name: "{{ inventory_hostname }}"
    isolated_cpus: 2-3
  delegate_to: localhost
  register: __topology_model
"""

RETURN = r"""
derived:
  description: What the roles set, with the fields that roles/topology/README.md lists for C(topology_derived).
  type: dict
  returned: success
drawing:
  description: The host as it will be, line by line.
  type: list
  elements: str
  returned: success
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.topology.arguments import DATA_NICS
from ansible_collections.wirebook.node.plugins.module_utils.topology.derive import derive
from ansible_collections.wirebook.node.plugins.module_utils.topology.drawing import draw
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "dict", "required": True},
            "isolated_cpus": {"type": "str", "required": True},
            "housekeeping_cpus": {"type": "str", "default": ""},
            "smt_siblings": {"type": "str", "default": "online", "choices": ["online", "offline"]},
            "services": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"name": {"type": "str", "required": True}, "cpu": {"type": "int", "required": True}},
            },
            "hugepages": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "node": {"type": "int", "required": True},
                    "size": {"type": "str", "required": True, "choices": ["2M", "1G"]},
                    "count": {"type": "int", "required": True},
                },
            },
            "management_nic": {"type": "str", "default": ""},
            "data_nics": DATA_NICS,
            "clock": {
                "type": "dict",
                "default": {},
                "options": {
                    "mode": {
                        "type": "str",
                        "default": "host",
                        "choices": ["host", "chrony", "ptp-software", "ptp-hardware"],
                    },
                    "interface": {"type": "str", "default": ""},
                },
            },
            "accept_risk": {"type": "list", "elements": "str", "default": []},
            "kernel_cmdline_extra": {"type": "list", "elements": "str", "default": []},
            "transport": {"type": "dict", "default": {}},
            "name": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    host = Host.from_facts(module.params["host"])
    try:
        wish = Wish.from_inventory(module.params)
    except ValueError as error:
        module.fail_json(msg=str(error))
    refused = refusals(wish, host)
    if refused:
        module.fail_json(msg="\n".join(refused))
    module.exit_json(changed=False, derived=derive(wish, host), drawing=draw(module.params["name"], wish, host))


if __name__ == "__main__":
    main()
