"""A NIC's settings, as ethtool(8) prints them: JSON if Debian 12's ethtool 6.1 has it, text otherwise."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .host import CannotProbeError, Host

# A flow rule: type, destination ("any": all), port, queue.
Rule = tuple[str, str, int, int]
# What ethtool prints for a value that the driver doesn't have.
NOT_THERE = ("n/a", "")
# HWTSTAMP_FILTER_ALL of linux/net_tstamp.h, as hwstamp_ctl(8) takes and prints it.
FILTER_ALL = "1"


@dataclass(frozen=True)
class Setting:
    """A setting's current value, its maximum, and whether the driver doesn't let it be changed."""

    value: int | bool
    most: int | None = None
    fixed: bool = False


def interface_of(host: Host, pci: str, name: str = "") -> str:
    """Return the interface of a PCI device, of several the one called `name`.

    CannotProbeError: it has none, or several of which none is called so.
    """
    device = host.path(f"/sys/bus/pci/devices/{pci}")
    # virtio's interface is below a device of its own.
    names = sorted(path.name for pattern in ("net/*", "*/net/*") for path in device.glob(pattern))
    if not names:
        raise CannotProbeError(f"the device {pci} has no interface: the kernel's driver doesn't have it")
    if name not in names and len(names) > 1:
        raise CannotProbeError(f"the device {pci} has several interfaces ({', '.join(names)}), none called {name!r}")
    return name if name in names else names[0]


def driver(host: Host, interface: str) -> dict[str, str]:
    """Return what drives the NIC: `driver`, `version` (the kernel's release or its own), `firmware`, `pci`."""
    names = {"driver": "driver", "version": "version", "firmware-version": "firmware", "bus-info": "pci"}
    pairs = (line.split(":", 1) for line in host.command("ethtool", "-i", interface).splitlines() if ":" in line)
    return {names[name]: value.strip() for name, value in pairs if name in names}


def settings(host: Host, interface: str) -> dict[str, Setting]:
    """Return all settings that the NIC has: rings, coalescing, channels, pause, features, stamps, RSS and flags."""
    found: dict[str, Setting] = {}
    for read in (_rings, _coalescing, _channels, _pause, _features, _stamps, _rss, _flags):
        try:
            found.update(read(host, interface))
        except CannotProbeError:
            continue  # the driver has none of these, or `why_missing` tells why not
    return found


# What ethtool says of what a driver doesn't have; anything else (a busy device, a timeout) says nothing of the driver.
_UNSUPPORTED = ("Operation not supported", "not supported by driver", "isn't installed")


def why_missing(host: Host, interface: str, name: str) -> str:
    """Return why a setting couldn't be read, or "" where the driver just has none of this name."""
    readers = {
        "rx-ring": _rings, "tx-ring": _rings, "channels": _channels, "rx-pause": _pause, "tx-pause": _pause,
        "rx-timestamps": _stamps, "rss-queues": _rss,
    }  # fmt: skip
    coalescing = name in ("rx-usecs", "tx-usecs", "adaptive-rx", "adaptive-tx")
    other = _coalescing if coalescing else _flags if name.startswith("flag ") else _features
    try:
        readers.get(name, other)(host, interface)
    except CannotProbeError as error:
        return "" if any(words in str(error) for words in _UNSUPPORTED) else str(error)
    return ""


def _number(text: str | None) -> int | None:
    return None if text is None or text in NOT_THERE else int(text)


def _two_parts(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return the maximums and the current values of ethtool -g and -l."""
    most, _, now = text.partition("Current hardware settings:")

    def pairs(part: str) -> dict[str, str]:
        return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in part.splitlines())}

    return pairs(most), pairs(now)


def _rings(host: Host, interface: str) -> dict[str, Setting]:
    most, now = _two_parts(host.command("ethtool", "-g", interface))
    return {
        f"{name}-ring": Setting(value, _number(most.get(name.upper())))
        for name in ("rx", "tx")
        if (value := _number(now.get(name.upper()))) is not None
    }


def _channels(host: Host, interface: str) -> dict[str, Setting]:
    """Return how many queues receive: combined ones, those for receiving only, or both kinds at once."""
    most, now = channel_counts(host, interface)
    if not any(most.get(kind) for kind in ("combined", "rx")):
        return {}
    limit = most["combined"] if most.get("combined") else most["rx"]
    return {"channels": Setting(now.get("combined", 0) + now.get("rx", 0), limit)}


def channel_counts(host: Host, interface: str) -> tuple[dict[str, int], dict[str, int]]:
    """Return the most channels that there can be, and how many there are, by kind: "combined", "rx", "tx"."""
    parts = _two_parts(host.command("ethtool", "-l", interface))
    kinds = ("combined", "rx", "tx")
    most, now = ({k: n for k in kinds if (n := _number(part.get(NAMES[k]))) is not None} for part in parts)
    return most, now


# As ethtool -l writes them.
NAMES = {"combined": "Combined", "rx": "RX", "tx": "TX"}


def channel_words(host: Host, interface: str, count: int) -> list[str]:
    """Return what ethtool -L is to be told, so that `count` queues receive.

    Only kinds that the driver has, and of those that are off only what has to change: one of no kind is refused.
    """
    most, now = channel_counts(host, interface)
    if most.get("combined"):
        wanted = {"combined": count} | {kind: 0 for kind in ("rx", "tx") if now.get(kind)}
    else:
        wanted = {kind: min(count, most[kind]) for kind in ("rx", "tx") if most.get(kind)}
    return [word for kind, number in wanted.items() for word in (kind, str(number))]


def _coalescing(host: Host, interface: str) -> dict[str, Setting]:
    text = host.command("ethtool", "-c", interface)
    numbers = re.findall(r"^(rx-usecs|tx-usecs):\s*(\d+)$", text, re.MULTILINE)
    found = {name: Setting(int(value)) for name, value in numbers}
    adaptive = re.search(r"^Adaptive RX:\s*(\S+)\s+TX:\s*(\S+)", text, re.MULTILINE)
    for place, name in enumerate(("adaptive-rx", "adaptive-tx"), start=1):
        if adaptive and adaptive.group(place) in ("on", "off"):
            found[name] = Setting(adaptive.group(place) == "on")
    return found


def _pause(host: Host, interface: str) -> dict[str, Setting]:
    report = json.loads(host.command("ethtool", "--json", "-a", interface))
    return {f"{name}-pause": Setting(bool(one[name])) for one in report for name in ("rx", "tx") if name in one}


def _features(host: Host, interface: str) -> dict[str, Setting]:
    report = json.loads(host.command("ethtool", "--json", "-k", interface))
    return {
        name: Setting(bool(feature["active"]), fixed=bool(feature["fixed"]))
        for one in report
        for name, feature in one.items()
        if isinstance(feature, dict)
    }


def _stamps(host: Host, interface: str) -> dict[str, Setting]:
    """Return whether the NIC stamps every received packet, where it can; most stamp PTP's packets only.

    ethtool(8) tells what a NIC can do, hwstamp_ctl(8) what it does.
    """
    if not re.search(r"^\s+all\b", host.command("ethtool", "-T", interface), re.MULTILINE):
        return {}
    found = re.search(r"^rx_filter (\d+)$", host.command("hwstamp_ctl", "-i", interface), re.MULTILINE)
    return {"rx-timestamps": Setting(found.group(1) == FILTER_ALL)} if found else {}


def _rss(host: Host, interface: str) -> dict[str, Setting]:
    """Return how many queues the indirection table spreads over."""
    table = re.findall(r"^\s*\d+:((?:\s+\d+)+)$", host.command("ethtool", "-x", interface), re.MULTILINE)
    queues = {queue for line in table for queue in line.split()}
    return {"rss-queues": Setting(len(queues))} if queues else {}


def _flags(host: Host, interface: str) -> dict[str, Setting]:
    text = host.command("ethtool", "--show-priv-flags", interface)
    flags = re.findall(r"^(\S+)\s*:\s*(on|off)$", text, re.MULTILINE)
    return {f"flag {name}": Setting(value == "on") for name, value in flags}


# What a rule of ours leaves open: rxclass.c of ethtool prints an open field as 0 with a mask of all ones. What else it
# may print (VLAN, user-defined, destination MAC) is open in the same way or narrows the rule.
_FIELD = re.compile(r"^\s+([A-Z][\w -]*): (\S+) mask: (\S+)\s*$", re.MULTILINE)
_OPEN_MASKS = frozenset({"255.255.255.255", "0xff", "0xffff", "0xffffffff", "0xffffffffffffffff", "FF:FF:FF:FF:FF:FF"})
_CLOSED_MASKS = frozenset({"0.0.0.0", "0x0"})  # noqa: S104  # a mask, not an address to bind to


def flow_rules(host: Host, interface: str) -> dict[int, Rule]:
    """Return the rules that direct UDP over IPv4 to a queue by nothing but destination and port, by their numbers.

    A rule that asks for more (a source, a VLAN, bits of an address) or does something else with the packets (an RSS
    context, a VF, a drop) isn't one.
    """
    parts = re.split(r"^Filter: (\d+)\s*$", host.command("ethtool", "-n", interface), flags=re.MULTILINE)
    found = {}
    for number, block in zip(parts[1::2], parts[2::2], strict=True):
        fields = {name: (value, mask) for name, value, mask in _FIELD.findall(block)}
        address, port = fields.pop("Dest IP addr", ("", "")), fields.pop("Dest port", ("", ""))
        queue = re.search(r"^\s+Action: Direct to queue (\d+)\s*$", block, re.MULTILINE)
        whole = port[1] in _CLOSED_MASKS and address[1] in _CLOSED_MASKS | _OPEN_MASKS
        if (
            whole
            and queue
            and "Rule Type: UDP over IPv4" in block
            and "RSS Context" not in block
            and all(mask in _OPEN_MASKS for _, mask in fields.values())
        ):
            destination = "any" if address[1] in _OPEN_MASKS else address[0]
            found[int(number)] = ("udp4", destination, int(port[0]), int(queue.group(1)))
    return found


def rule_of(entry: Sequence[str | int]) -> Rule:
    """Return a rule as the desired state writes it, a list."""
    kind, destination, port, queue = entry
    return str(kind), str(destination), int(port), int(queue)


def contradicting(found: dict[int, Rule], wanted: Iterable[Rule]) -> list[int]:
    """Return the numbers of the rules that direct what a wanted rule directs, but to another queue."""
    queues = {rule[:3]: rule[3] for rule in wanted}
    return sorted(number for number, rule in found.items() if queues.get(rule[:3], rule[3]) != rule[3])
