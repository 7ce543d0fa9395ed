#!/usr/bin/python
"""Ansible module: give PCI devices to VFIO, for good, and give back those that aren't for it any more."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vfio_binding
short_description: Give PCI devices to VFIO, permanently
description:
  - Binds each device to vfio-pci, in the running kernel and with C(driverctl)'s file for the next boots.
    It notes that in the ledger first.
  - Lets a group open VFIO's files of these devices, as the role's udev rule says.
  - A device that the role gave to VFIO earlier and that isn't in O(devices) goes back to its own driver.
attributes:
  check_mode:
    support: full
    description: Says what would change, and changes nothing.
  diff_mode:
    support: full
    description: Shows the devices that change hands.
author: The wirebook engineers (!UNKNOWN)
options:
  devices:
    description: Their PCI addresses.
    type: list
    elements: str
    required: true
  group:
    description: The group that may open them.
    type: str
    required: true
  only_back:
    description: Only give back what isn't in O(devices).
    type: bool
    default: false
  ledger:
    description: The directory of the host's ledger.
    type: path
    default: /var/lib/wirebook/ledger
"""

EXAMPLES = r"""
- name: Give a NIC to VFIO
  wirebook.node.vfio_binding:
    devices: ["0000:3b:00.1"]
    group: wirebook
"""

RETURN = r"""
done:
  description: What was changed, one line for each change.
  type: list
  elements: str
  returned: always
"""

import grp
import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.wirebook.node.plugins.module_utils.ledger.files import replace_file
from ansible_collections.wirebook.node.plugins.module_utils.ledger.kinds import (
    LedgerError,
    look_driver,
    override_file,
    restore_driver,
    run,
)
from ansible_collections.wirebook.node.plugins.module_utils.ledger.store import FOLDER, Ledger

ROLE = "vfio"
DRIVER = "vfio-pci"
BIND = "/usr/local/sbin/wirebook-vfio-bind"
DEVICES = Path("/sys/bus/pci/devices")
OWNER_MODE = 0o660


class BindingError(Exception):
    """A device can't be given to VFIO; the text is a sentence for the operator."""


def iommu_group(address: str) -> str:
    """Return the number of a device's IOMMU group."""
    link = DEVICES / address / "iommu_group"
    if not link.exists():
        raise BindingError(
            f"{address} has no IOMMU group, so that the kernel's IOMMU is off: switch VT-d or AMD-Vi on in the "
            "firmware, see that the boot entry has what `make plan` shows, reboot, and deploy again."
        )
    return link.resolve().name


def is_bound(address: str) -> bool:
    """Whether vfio-pci has the device."""
    link = DEVICES / address / "driver"
    return link.exists() and link.resolve().name == DRIVER


def number_of(group: str) -> int:
    """Return a group's number."""
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise BindingError(f"There is no group {group}: run the role account first, which makes it.") from None


def is_open_to(address: str, gid: int) -> bool:
    """Whether the group may open the device, and others may not."""
    try:
        status = Path("/dev/vfio", iommu_group(address)).stat()
    except FileNotFoundError:
        return False
    return (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, gid, OWNER_MODE)


def left_over(ledger: Ledger, devices: list[str]) -> list[tuple[str, str | None]]:
    """Return the devices that the role has given to VFIO and that aren't for it any more, with what they had before."""
    ours = [entry for entry in ledger.entries() if (entry.kind, entry.role) == ("driver", ROLE)]
    return [(e.key, e.before) for e in ours if e.key not in devices and look_driver(e.key) == DRIVER]


def bind(ledger: Ledger, address: str) -> None:
    """Give a device to vfio-pci. The file comes first: an undo knows by it that there is something to give back."""
    ledger.note(ROLE, "folder", str(override_file(address).parent))
    ledger.note(ROLE, "driver", address)
    replace_file(override_file(address), f"{DRIVER}\n".encode(), 0o644)
    run(BIND, address)


def open_to(addresses: list[str], group: str) -> None:
    """Let udev set the owners of the devices' files anew."""
    run("udevadm", "control", "--reload")
    run("udevadm", "trigger", "--settle", "--subsystem-match=vfio")
    gid = number_of(group)
    for address in addresses:
        if not is_open_to(address, gid):
            raise BindingError(
                f"/dev/vfio/{iommu_group(address)} isn't open to the group {group}: another rule in /etc/udev/rules.d "
                "says something else of it; take that out, then deploy again."
            )


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "devices": {"type": "list", "elements": "str", "required": True},
            "group": {"type": "str", "required": True},
            "only_back": {"type": "bool", "default": False},
            "ledger": {"type": "path", "default": str(FOLDER)},
        },
        supports_check_mode=True,
    )
    devices, group = module.params["devices"], module.params["group"]
    ledger = Ledger.open(Path(module.params["ledger"]), read_only=module.check_mode)
    try:
        back = left_over(ledger, devices)
        wanted = [] if module.params["only_back"] else devices
        unbound = [address for address in wanted if not is_bound(address) or look_driver(address) != DRIVER]
        done = [f"{address} given back" for address, _ in back] + [f"{address} given to VFIO" for address in unbound]
        if not module.check_mode:
            # What the kernel can't do is said before anything is taken from its driver.
            for address in wanted:
                number_of(group)
                iommu_group(address)
            for address, before in back:
                restore_driver(address, before)
                ledger.forget("driver", address)
            if back:
                run("udevadm", "settle")  # until the interfaces have their names
            for address in unbound:
                bind(ledger, address)
            closed = [address for address in wanted if not is_open_to(address, number_of(group))]
            if closed:
                open_to(closed, group)
                done += [f"{address} opened to {group}" for address in closed]
    except (BindingError, LedgerError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=bool(done), done=done, diff={"before": "", "after": "".join(f"{line}\n" for line in done)})


if __name__ == "__main__":
    main()
