"""wirebook-nic: bring the data NICs to the settings that the inventory asks for.

systemd.link has set most of them when the device appeared; some drivers need them again (systemd#28696), and it knows
no indirection table, flow rules, private flags, and values in sysfs. What a driver hasn't or fixes is left, and
node-doctor tells it.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..doctor import ethtool
from ..doctor.host import CannotProbeError, Host
from .arguments import interface
from .program import CHECK, Argument, Command, FailedError, MistakeError, Program
from .system import at, check_keys, host, refusal, settings, tell

SETTINGS = "/etc/wirebook/nic.json"
KEYS = ("name", "settings", "values", "flow_rules")
# Setting and the option of ethtool(8) that changes it, in the order in which they are to be changed: some drivers put
# rings and coalescing back when the number of channels changes.
OPTIONS = {
    "channels": ("-L", "combined"),
    "rx-ring": ("-G", "rx"),
    "tx-ring": ("-G", "tx"),
    "adaptive-rx": ("-C", "adaptive-rx"),
    "adaptive-tx": ("-C", "adaptive-tx"),
    "rx-usecs": ("-C", "rx-usecs"),
    "tx-usecs": ("-C", "tx-usecs"),
    "rx-pause": ("-A", "rx"),
    "tx-pause": ("-A", "tx"),
    "rss-queues": ("-X", "equal"),
}
FLAG = "flag "
LOOKS = 3
SECONDS_FOR_LINK = 10.0
SECONDS_FOR_DOWN = 1.0


def told(value: Any) -> str:
    """Return a value as ethtool takes it."""
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)


def command_for(name: str, setting: str, value: str, wanted: dict[str, Any]) -> list[str]:
    """Return the command that changes a setting of the interface `name`, one of the `wanted` settings."""
    if setting.startswith(FLAG):
        return ["ethtool", "--set-priv-flags", name, setting.removeprefix(FLAG), value]
    if setting == "rx-timestamps":
        # What transmission has stays: ptp4l may use it.
        return ["hwstamp_ctl", "-i", name, "-r", ethtool.FILTER_ALL if value == "on" else "0"]
    option, word = OPTIONS.get(setting, ("-K", setting))
    if option == "-A":
        # Both directions at once: igb takes the one that isn't named from what the link has just left. What was
        # negotiated counts as long as it is.
        both = [(way, told(wanted[f"{way}-pause"])) for way in ("rx", "tx") if f"{way}-pause" in wanted]
        return ["ethtool", "-A", name, "autoneg", "off", *(word for pair in both for word in pair)]
    return ["ethtool", option, name, word, value]


def changes(asked: Host, pci: str, wanted: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield what is off, and the command that mends it."""
    name = ethtool.interface_of(asked, pci, wanted["name"])
    if not int(asked.path(f"/sys/class/net/{name}/flags").read_text(), 16) & 1:
        yield f"{name}: down -> up", ["ip", "link", "set", name, "up"]
    found = ethtool.settings(asked, name)
    order = [*OPTIONS, *sorted(set(wanted["settings"]) - set(OPTIONS))]
    for setting in (setting for setting in order if setting in wanted["settings"] and setting in found):
        now, want = found[setting], wanted["settings"][setting]
        if now.most is not None:
            want = now.most if want == "max" else min(want, now.most)
        if now.value != want and not now.fixed:
            command = command_for(name, setting, told(want), wanted["settings"])
            if setting == "channels":
                command = ["ethtool", "-L", name, *ethtool.channel_words(asked, name, int(want))]
            yield f"{name}: {setting} {told(now.value)} -> {told(want)}", command
    if wanted["flow_rules"] and "ntuple-filters" in found and not found["ntuple-filters"].fixed:
        there, rules = ethtool.flow_rules(asked, name), set(map(ethtool.rule_of, wanted["flow_rules"]))
        for number in ethtool.contradicting(there, rules):
            yield f"{name}: rule {there[number]} -> none", ["ethtool", "-N", name, "delete", str(number)]
        for rule in sorted(rules - set(there.values())):
            kind, address, port, queue = rule
            destination = [] if address == "any" else ["dst-ip", address]
            command = ["ethtool", "-N", name, "flow-type", kind, *destination]
            yield f"{name}: rule {rule}", [*command, "dst-port", str(port), "action", str(queue)]


def values(asked: Host, pci: str, wanted: dict[str, Any]) -> Iterator[tuple[Path, str, str]]:
    """Yield the values in sysfs that are off: where, what is there, what should be."""
    name = ethtool.interface_of(asked, pci, wanted["name"])
    for value, want in wanted["values"].items():
        path = asked.path(f"/sys/class/net/{name}/{value}")
        if path.exists() and path.read_text().strip() != str(want):
            yield path, path.read_text().strip(), str(want)


# The driver of E810's RDMA function, which Debian's kernel loads by itself: while it runs ice keeps the channels as
# they are (ice_ethtool.c, ice_set_channels()).
IRDMA = "/sys/module/irdma"


def advice(asked: Host, command: list[str], said: str) -> str:
    """Return what to do about a refusal, if that is known."""
    if command[:2] == ["ethtool", "-L"] and "busy" in said and asked.path(IRDMA).exists():
        return (
            " (its RDMA driver irdma holds the channels: add module_blacklist=irdma to kernel_cmdline_extra, or "
            "channels to nic_overrides as they are)"
        )
    return ""


def bring(pci: str, wanted: dict[str, Any], *, check: bool) -> list[str]:
    """Bring one NIC to its settings; return what its driver refused.

    It is looked at again when the link is up: some settings take the link down, and with it igb forgets that flow
    control was switched off.
    """
    for _ in range(LOOKS):
        changed, refused = False, []
        for what, command in changes(host(), pci, wanted):
            tell(what)
            changed = True
            done = None if check else subprocess.run(command, capture_output=True, text=True, check=False)
            if done is not None and done.returncode != 0:
                refused.append(f"`{' '.join(command)}`: {done.stderr.strip()}{advice(host(), command, done.stderr)}")
        for path, before, value in values(host(), pci, wanted):
            tell(f"{path}: {before} -> {value}")
            if not check and (reason := refusal(path, value)):
                refused.append(f"{path} can't be {value} ({reason})")
        if check or refused or not changed:
            return refused
        wait_for_link(pci, wanted["name"])
    return []


def wait_for_link(pci: str, name: str) -> None:
    """Wait until the link that a setting took down is up again, or for SECONDS_FOR_LINK: there may be no cable."""
    carrier = at(f"/sys/class/net/{ethtool.interface_of(host(), pci, name)}/carrier")
    deadline = time.monotonic() + SECONDS_FOR_LINK
    # The link goes down a moment after the command that takes it down.
    time.sleep(SECONDS_FOR_DOWN)
    while carrier.read_text().strip() != "1" and time.monotonic() < deadline:
        time.sleep(0.2)


def run(arguments: argparse.Namespace) -> int:
    """Bring all data NICs to their settings, or one."""
    configured = settings(SETTINGS)
    for wanted in configured.values():
        check_keys(SETTINGS, wanted, KEYS)
    only = arguments.interface
    chosen = {pci: wanted for pci, wanted in configured.items() if only in (None, wanted["name"])}
    if only and not chosen:
        raise MistakeError(f"{only} isn't in {SETTINGS}: name one of its data NICs, or deploy this host again.")
    refused: list[str] = []
    for pci, wanted in chosen.items():
        try:
            refused += bring(pci, wanted, check=arguments.check)
        except CannotProbeError as error:
            refused.append(str(error))
    if refused:
        raise FailedError("; ".join(refused))
    return 0


PROGRAM = Program(
    name="wirebook-nic",
    summary="bring the data NICs to their settings",
    description=(
        "Brings the data NICs to the settings that the inventory asks for, and prints what it changes: rings, "
        "channels, coalescing, offloads, flow control, flow rules, the indirection table.",
        "What a driver lacks or doesn't let be changed is left alone, and node-doctor says so. After a change that"
        " takes the link down, the NIC is looked at again once the link is up.",
    ),
    run=run,
    commands=(
        Command(
            "apply", "Set what is off.",
            (Argument("INTERFACE", "only this data NIC (default: all)", {"type": interface, "nargs": "?"}), CHECK),
        ),
    ),
    files={
        SETTINGS: "what is wanted, by the PCI addresses of the NICs",
        "/etc/systemd/system/wirebook-nic@.service": "runs it when an interface appears",
    },
    examples={"wirebook-nic apply --check enp1s0f0": "Print what is off on one NIC."},
    see_also=("ethtool(8)", "systemd.link(5)", "node-doctor(8)"),
)  # fmt: skip
