"""Probes of NICs: their settings, rules, drivers and XDP features."""

from __future__ import annotations

from . import ethtool, netdev
from .host import CannotProbeError, Host
from .knobs import Knob, Probe, Reading


def interface_of(host: Host, knob: Knob) -> str:
    """Return the interface of the knob's PCI device."""
    return ethtool.interface_of(host, str(knob.argument("pci")), str(knob.spec.get("interface", "")))


def probe_nic(host: Host, knob: Knob) -> Reading:
    """Compare a setting of the NIC `pci`; `want` may be "max". What the driver hasn't or has fixed is NOT-RUN."""
    interface, name, want = interface_of(host, knob), str(knob.argument("setting")), knob.want
    found = ethtool.settings(host, interface).get(name)
    if found is None:
        if reason := ethtool.why_missing(host, interface, name):
            raise CannotProbeError(reason)
        raise CannotProbeError(f"the driver {ethtool.driver(host, interface)['driver']} of {interface} has no {name}")
    if want == "max":
        want = found.most
    elif found.most is not None:
        want = min(want, found.most)
    if found.value == want:
        return Reading(_told(found.value), running_ok=True)
    if found.fixed:
        name_of_driver = ethtool.driver(host, interface)["driver"]
        raise CannotProbeError(f"the driver {name_of_driver} of {interface} fixes {name} to {_told(found.value)}")
    return Reading(_told(found.value), running_ok=False)


def _told(value: int | bool) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def probe_flow_rules(host: Host, knob: Knob) -> Reading:
    """Compare the rules that direct packets to queues, `want` being lists of type, destination, port and queue."""
    interface = interface_of(host, knob)
    filters = ethtool.settings(host, interface).get("ntuple-filters")
    if filters is None or (filters.fixed and not filters.value):
        raise CannotProbeError(
            f"the driver {ethtool.driver(host, interface)['driver']} of {interface} has no flow rules"
        )
    found = ethtool.flow_rules(host, interface)
    wanted = {ethtool.rule_of(rule) for rule in knob.want}
    ok = wanted <= set(found.values()) and not ethtool.contradicting(found, wanted)
    return Reading("; ".join(" ".join(map(str, rule)) for rule in sorted(found.values())) or "none", running_ok=ok)


def probe_nic_driver(host: Host, knob: Knob) -> Reading:
    """Compare driver and firmware of the NIC with what they were at the last deploy: "igb 1.2.3".

    A NIC that is gone is told here: its settings can't be read then, and are NOT-RUN.
    """
    try:
        interface = interface_of(host, knob)
    except CannotProbeError as reason:
        return Reading(str(reason), running_ok=False)
    told = ethtool.driver(host, interface)
    found = f"{told['driver']} {told['firmware'] or 'without a firmware version'}"
    return Reading(found, running_ok=found == knob.want)


def probe_xdp_features(host: Host, knob: Knob) -> Reading:
    """Compare the XDP features of the NIC: it must have all of `want`."""
    found = netdev.xdp_features(interface_of(host, knob))
    return Reading(" ".join(found) or "none", running_ok=set(knob.want) <= set(found))


PROBES = {
    "nic": Probe(probe_nic, "kernel"),
    "flow_rules": Probe(probe_flow_rules, "kernel"),
    "nic_driver": Probe(probe_nic_driver, "kernel"),
    "xdp_features": Probe(probe_xdp_features, "kernel"),
}
