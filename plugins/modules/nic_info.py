#!/usr/bin/python
"""Ansible module: read what the data NICs are and what can be set on them."""

from __future__ import annotations

DOCUMENTATION = r"""
module: nic_info
short_description: Read what NICs are and what can be set on them
description:
  - Asks ethtool(8) and changes nothing.
attributes:
  check_mode:
    support: full
    description: It changes nothing.
  diff_mode:
    support: none
    description: It changes nothing.
author: The wirebook engineers (!UNKNOWN)
options:
  devices:
    description: PCI addresses. A device without an interface, such as a NIC that VFIO has, is left out of the result.
    type: list
    elements: str
    required: true
  names:
    description: The interface that is meant, by PCI address, if a device has several.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Read what the data NICs are
  wirebook.node.nic_info:
    devices: ["0000:00:04.0"]
  register: __nic_info
"""

RETURN = r"""
nics:
  description: By PCI address, C(driver), C(firmware) and C(settable), the settings that the driver lets be changed.
  type: dict
  returned: success
units:
  description: The instances of C(wirebook-nic@.service) that the next boot starts.
  type: list
  elements: str
  returned: success
"""

from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.doctor import ethtool
from ansible_collections.wirebook.node.plugins.module_utils.doctor.host import CannotProbeError, Host

WANTS = Path("/etc/systemd/system/multi-user.target.wants")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "devices": {"type": "list", "elements": "str", "required": True},
            "names": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    host = Host()
    nics = {}
    for pci in module.params["devices"]:
        try:
            interface = ethtool.interface_of(host, pci, module.params["names"].get(pci, ""))
            told = ethtool.driver(host, interface)
            settable = [name for name, setting in ethtool.settings(host, interface).items() if not setting.fixed]
            if "channels" in settable and not ethtool.channel_counts(host, interface)[0].get("combined"):
                settable.remove("channels")  # CombinedChannels= of systemd.link(5) sets no other
            nics[pci] = {"driver": told["driver"], "firmware": told["firmware"], "settable": sorted(settable)}
        except CannotProbeError as error:
            module.warn(str(error))
    units = sorted(path.name for path in WANTS.glob("wirebook-nic@*.service"))
    module.exit_json(changed=False, nics=nics, units=units)


if __name__ == "__main__":
    main()
