"""What is refused about the clock: two owners, and PTP where there is none."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Host, Wish


def clock_refusals(wish: Wish, host: Host) -> Iterator[str]:
    """Yield why the clock can't be steered as asked."""
    clock = wish.clock
    owners = clock_owners(wish, host)
    if len(owners) > 1:
        yield (
            f"The clock has {len(owners)} owners, {' and '.join(owners)}: "
            "leave one, with systemctl disable --now on the host or with the mode of topology_clock."
        )
    if not clock.mode.startswith("ptp-"):
        return
    # A bond or a VLAN on top of a NIC hears the grandmaster by it.
    below = [nic for nic in host.nics if clock.interface and clock.interface in (nic.name, *nic.uppers)]
    if not clock.interface:
        yield f"topology_clock has the mode {clock.mode} but no interface: name the one that hears the grandmaster."
    elif not below:
        names = [nic.name for nic in host.nics if nic.name]
        yield (
            f"The host has no NIC {clock.interface}, but {', '.join(names) or 'none at all'}: "
            "change the interface of topology_clock."
        )
    elif {asked.pci for asked in wish.data_nics if asked.use == "vfio"} & {nic.pci for nic in below}:
        yield (
            f"{clock.interface} can't be the interface of topology_clock, since VFIO takes it and its clock from the "
            "kernel: take another interface, or change its use in topology_data_nics."
        )
    elif clock.mode == "ptp-hardware" and not all(nic.phc for nic in below):
        able = [nic.name for nic in host.nics if nic.name and nic.phc]
        yield (
            f"{clock.interface} has no PTP hardware clock: set the mode of topology_clock to ptp-software, "
            f"or take an interface that has one ({', '.join(able) or 'none here'})."
        )


def clock_owners(wish: Wish, host: Host) -> list[str]:
    """Return what would steer the clock: what topology_clock asks for, or the host's own services if it is "host"."""
    if wish.clock.mode != "host":
        # The role ptp keeps all others away.
        return [f"topology_clock ({wish.clock.mode})"]
    # With hardware stamps ptp4l steers a NIC's clock only, which chrony may read.
    return [name for name in host.clock_services if not name.startswith("ptp4l") or name in host.ptp_software]
