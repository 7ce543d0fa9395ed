"""What can be wrong of one host: its model, its CPUs, its NICs, and what the roles can set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path as File
from typing import Any

from ansible_collections.wirebook.node.plugins.module_utils.topology.cpus import format_cpus, parse_cpus
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import RISKS, Host, Wish
from ansible_collections.wirebook.node.plugins.module_utils.topology.refusals import refusals
from wirebook import venues

from . import engine, ethtool, ptp
from .fleet import Node
from .machine import that_suits
from .names import instead, nearest
from .places import Path, Place
from .specs import ROOT, converted, load, options, roles

# Of whole numbers, what makes sense. All others are at least 0.
_BETWEEN = {
    "clock_ptp_domain": (0, 255),
    "clock_budget_ns": (1, 10**9),
    "clock_system_budget_ns": (1, 10**9),
    "feed_engine_health_seconds": (1, 86400),
    "feed_engine_keep_releases": (1, 1000),
    "feed_engine_sim_port": (1, 65535),
    "feed_engine_sim_symbols": (1, 2048),
    "feed_engine_watchdog_seconds": (1, 3600),
    "jitter_cyclictest_budget_us": (1, 10**6),
    "jitter_oslat_budget_us": (1, 10**6),
    "jitter_seconds": (1, 10**6),
    "kernel_cmdline_trial_seconds": (60, 86400),
    "limits_nofile": (1024, 1 << 30),
    "limits_rtprio": (0, 99),
    "twin_boot_timeout": (1, 86400),
}
_PCI = re.compile(r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
_TIME_SPAN = re.compile(r"(\s*\d+(\.\d+)?\s*(us|ms|s|sec|seconds?|m|min|minutes?|h|hr|hours?|d|days?|w|weeks?)?)+\s*")
_SERVICES = ("book", "sim")
# Bonds, bridges, VLANs and the like, which the topology finds on top of NICs.
_STACKED = re.compile(r"^(bond|team|br|vlan|vxlan|veth|dummy|macvlan)|[.@]")
_OWN_PARAMETERS = {
    "isolcpus": "topology_isolated_cpus", "nohz_full": "topology_isolated_cpus", "rcu_nocbs": "topology_isolated_cpus",
    "irqaffinity": "topology_housekeeping_cpus", "hugepagesz": "topology_hugepages", "hugepages": "topology_hugepages",
}  # fmt: skip

Fault = tuple[Path, str]


def faults(
    node: Node, refused: set[Path], facts: Mapping[str, Any] | None, shared: Mapping[Place, set[str]]
) -> Iterator[Fault]:
    """Yield what is wrong of a host; `refused` are the places whose values aren't even of the right kind.

    `shared` are the data NICs of all hosts that get a value from one place.
    """
    yield from _numbers(node, refused)
    yield from _cpu_lists(node)
    services = list(_services(node))
    yield from services
    nics = list(_nics(node, shared))
    yield from nics
    yield from _sysctls(node)
    yield from _parameters(node)
    yield from _clock(node)
    yield from _engine_code(node)
    yield from _other(node)
    transport = [*_lines(node, facts), *engine.faults(node)]
    yield from transport
    if any(path[0] == "topology_isolated_cpus" for path in refused):
        return
    told = {path[:2] for path, _ in nics}
    for path, sentence in _model(node, facts):
        # What follows from what was told: a service, a line or an address that is mistyped isn't found elsewhere.
        follows = (services and "isn't in topology_services" in sentence) or (transport and "no line of" in sentence)
        if not follows and path[:2] not in told:
            yield path, sentence


def _numbers(node: Node, refused: set[Path]) -> Iterator[Fault]:
    for name, option in options().items():
        value = node.values.get(name)
        if option.spec.get("type") != "int" or value is None or (name,) in refused:
            continue
        low, high = _BETWEEN.get(name, (0, 1 << 62))
        if not low <= int(value) <= high:
            most = f" to {high}" if high < 1 << 62 else " or more"
            yield (name,), f"{value} is out of range: write a whole number, {low}{most}."


def _cpu_lists(node: Node) -> Iterator[Fault]:
    for name in ("topology_isolated_cpus", "topology_housekeeping_cpus", "jitter_cpus"):
        try:
            cpus(node, name)
        except ValueError as error:
            yield (name,), str(error)


def cpus(node: Node, name: str) -> frozenset[int]:
    """Return a variable's CPUs. ValueError: it isn't a list of CPUs."""
    value = node.values.get(name, "")
    return parse_cpus(str(value)) if isinstance(value, (str, int)) and not isinstance(value, bool) else frozenset()


def _tables(node: Node, name: str) -> list[tuple[int, Mapping[str, Any]]]:
    return [(place, entry) for place, entry in enumerate(node.get(name, [])) if isinstance(entry, Mapping)]


def _services(node: Node) -> Iterator[Fault]:
    """Refuse services that nothing runs: their CPUs would be isolated for nothing, and the engine's be shared."""
    known = venues.names()
    followed = {str(feed.get("venue")) for feed in engine.feeds(node)}
    for place, service in _tables(node, "topology_services"):
        name, path = str(service.get("name", "")), ("topology_services", place, "name")
        kind, _, venue = name.partition("-")
        if kind == "feed":
            if venue not in known:
                near = nearest(venue, followed) or nearest(venue, known)
                yield (
                    path,
                    f"{name} is no feed: write feed-{near or 'VENUE'}, for a venue that there is.",
                )
            elif followed and venue not in followed and all(one in known for one in followed):
                yield (
                    path,
                    f"no feed of feed_engine_feeds is for {venue}, but for {', '.join(sorted(followed))}: "
                    "change one of them.",
                )
        elif name not in _SERVICES and nearest(name, [*_SERVICES, *(f"feed-{one}" for one in followed)], 0.75):
            near = nearest(name, [*_SERVICES, *(f"feed-{one}" for one in followed)], 0.75)
            yield path, f"{name} is nothing that wirebook runs: write {near}, or call a service of yours otherwise."


def data_nics(node: Node) -> dict[str, str]:
    """Return the data NICs of a host, and what each is for."""
    return {str(nic.get("name")): str(nic.get("use", "kernel")) for _, nic in _tables(node, "topology_data_nics")}


def _nics(node: Node, shared: Mapping[Place, set[str]]) -> Iterator[Fault]:
    names = data_nics(node)
    for place, nic in _tables(node, "topology_data_nics"):
        yield from _address(nic.get("pci"), ("topology_data_nics", place, "pci"))
    yield from _settings(node.get("nic_settings", {}), ("nic_settings",))
    for name, settings in node.get("nic_overrides", {}).items():
        path: Path = ("nic_overrides", name)
        if str(name) in names or str(name) not in shared.get(node.where(path[:1]), ()):
            yield from _known_nic(str(name), names, path)
        if isinstance(settings, Mapping):
            yield from _settings(settings, path)
        else:
            yield path, "it must be a table of settings: write {rx-usecs: 8}, for example."
    for place, rule in _tables(node, "nic_flow_rules"):
        path = ("nic_flow_rules", place)
        whose = str(rule.get("nic"))
        if whose in names or whose not in shared.get(node.where(path[:1]), ()):
            yield from _known_nic(whose, names, (*path, "nic"))
        yield from _flow_rule(rule, path)
    polls = node.get("nic_busy_poll", {})
    both = [polls.get(key) for key in ("defer_hard_irqs", "gro_flush_timeout_ns")]
    if all(isinstance(one, int) for one in both) and (both[0] > 0) != (both[1] > 0):
        yield (
            ("nic_busy_poll",),
            "one of both is 0, and the kernel needs both to hold interrupts back: set both, or both to 0.",
        )


def _address(pci: Any, path: Path) -> Iterator[Fault]:
    if pci is None or _PCI.fullmatch(str(pci)):
        return
    lower = str(pci).lower()
    whole = lower if lower.count(":") == 2 else f"0000:{lower}"
    way = f"write {whole}" if _PCI.fullmatch(whole) else "write it as lspci -D does, such as 0000:3b:00.0"
    yield path, f'"{pci}" isn\'t a PCI address: {way}.'


def _known_nic(name: str, names: Mapping[str, str], path: Path) -> Iterator[Fault]:
    if name not in names:
        yield path, f"{name} isn't a data NIC: {instead(name, names)}, or add it to topology_data_nics."
    elif names[name] == "vfio":
        yield (
            path,
            f"{name} is for VFIO, and the kernel sets nothing of it: take it out, or change its use in "
            "topology_data_nics.",
        )


def _settings(settings: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    for name, value in settings.items():
        sentence = ethtool.fault(str(name), value)
        if sentence:
            yield (*path, name), sentence


def _flow_rule(rule: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    group, port = rule.get("group", "any"), rule.get("port")
    if group != "any":
        try:
            good = ip_address(str(group)).version == 4
        except ValueError:
            good = False
        if not good:
            yield (*path, "group"), f'"{group}" isn\'t an IPv4 address: write one, or any.'
    if isinstance(port, int) and not 1 <= port <= 65535:
        yield (*path, "port"), f"{port} isn't a port: write a number from 1 to 65535."
    if isinstance(rule.get("queue"), int) and rule["queue"] < 0:
        yield (*path, "queue"), f"{rule['queue']} isn't a queue: they are numbered from 0."


def _sysctls(node: Node) -> Iterator[Fault]:
    known = {knob["key"] for knob in load(ROOT / "roles/sysctl/vars/main.yml")["__sysctl_knobs"]}
    risks = {risk.partition("=")[0]: risk for risk in RISKS}
    for name, value in node.get("sysctl_values", {}).items():
        path = ("sysctl_values", name)
        if name in risks:
            yield path, f"it costs something that its owner has to want: write {risks[name]} into topology_accept_risk."
        elif name not in known:
            yield path, f"the role sysctl doesn't set {name}: {instead(str(name), known, 0.8)}."
        elif isinstance(value, bool) or not str(value).lstrip("-").isdecimal():
            yield path, f"{str(value).lower() if isinstance(value, bool) else value} isn't a whole number: write one."


def _parameters(node: Node) -> Iterator[Fault]:
    for place, parameter in enumerate(node.get("kernel_cmdline_extra", [])):
        path: Path = ("kernel_cmdline_extra", place)
        text = str(parameter)
        if text in RISKS:
            yield path, f"{text} costs something that its owner has to want: write it into topology_accept_risk."
        elif text.partition("=")[0] in _OWN_PARAMETERS:
            name = text.partition("=")[0]
            yield path, f"{name} follows from {_OWN_PARAMETERS[name]}, and the kernel would get it twice: take it out."
        elif " " in text and '"' not in text:
            yield path, f"{text} is several parameters: write each as an entry of its own."
    for place, role in enumerate(node.get("kernel_cmdline_boot_roles", [])):
        if role not in roles():
            yield ("kernel_cmdline_boot_roles", place), f"there is no role {role}: {instead(str(role), roles())}."


def _clock(node: Node) -> Iterator[Fault]:
    for name in node.get("clock_ptp_options", {}):
        sentence = ptp.fault(str(name))
        if sentence:
            yield ("clock_ptp_options", name), sentence
    transport = node.get("clock_ptp_transport", "L2")
    for place, master in enumerate(node.get("clock_ptp_unicast", [])):
        if transport in ptp.ADDRESSES and not ptp.ADDRESSES[transport][1](str(master)):
            yield (
                ("clock_ptp_unicast", place),
                f"{master} isn't {ptp.ADDRESSES[transport][0]}, which clock_ptp_transport {transport} has: "
                "change one of them.",
            )
    clock = node.get("topology_clock", {})
    if clock.get("interface") and clock.get("mode") in ("host", "chrony"):
        yield (
            ("topology_clock", "interface"),
            f"the mode {clock['mode']} has no interface: take it out, or set the mode to ptp-hardware or ptp-software.",
        )


def _engine_code(node: Node) -> Iterator[Fault]:
    build, wheel = node.get("feed_engine_build", "controller"), node.get("feed_engine_wheel", "")
    if build == "wheel" and not wheel:
        yield ("feed_engine_build",), "wheel takes feed_engine_wheel, and there is none: name the wheel there."
    elif wheel and build != "wheel":
        yield (
            ("feed_engine_wheel",),
            f"with feed_engine_build {build} no wheel is taken: set that to wheel, or take this out.",
        )
    elif wheel and not File(wheel).is_file():
        yield (
            ("feed_engine_wheel",),
            f"there is no {wheel} on this machine: build it with make wheel, or mend the path.",
        )
    march = str(node.values.get("feed_engine_march", "x86-64"))
    if march.lower().replace("_", "-").startswith("x86") and not re.fullmatch(r"x86-64(-v[234])?", march):
        levels = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]
        yield ("feed_engine_march",), f"GCC knows no {march}: {instead(march, levels)}."
    for place, feed in _tables(node, "feed_engine_feeds"):
        record = feed.get("record")
        if isinstance(record, str) and record and not re.match(r"/var/lib/[^/.]", record):
            yield (
                ("feed_engine_feeds", place, "record"),
                f"{record} isn't below /var/lib, where systemd makes the folder: move it there.",
            )


def _lines(node: Node, facts: Mapping[str, Any] | None) -> Iterator[Fault]:
    """Refuse a line on an interface that is none: the engine would wait for it for ever."""
    uses = data_nics(node)
    there = {name for name, use in uses.items() if use != "vfio"}
    known = (
        there | {"lo", str(node.values.get("topology_management_nic", ""))} | set((facts or {}).get("interfaces", {}))
    )
    transport = engine.settings(node).get("transport", {})
    for key in ("interface", "interface_b") if isinstance(transport, Mapping) and there else ():
        name = transport.get(key)
        # One for VFIO the topology refuses.
        if isinstance(name, str) and name and name not in known | set(uses) and not _STACKED.search(name):
            yield (
                engine.variable_of(node, ("transport", key)),
                f"{name} isn't a data NIC: {instead(name, there)}, or add it to topology_data_nics.",
            )


def _other(node: Node) -> Iterator[Fault]:
    memory = str(node.values.get("limits_memlock", "unlimited"))
    if memory != "unlimited" and not memory.isdecimal():
        yield (
            ("limits_memlock",),
            f'"{memory}" isn\'t an amount of memory: write it in KiB, as a whole number, or unlimited.',
        )
    interval = str(node.values.get("node_doctor_interval", "5min"))
    if not _TIME_SPAN.fullmatch(interval):
        yield (
            ("node_doctor_interval",),
            f'"{interval}" isn\'t a time span of systemd.time(7): write 5min or 1h, for example.',
        )


def wish_of(node: Node) -> Wish | None:
    """Return what the inventory asks of a host, as far as it is of the right kind; None: its CPUs are no list."""
    try:
        cpus(node, "topology_isolated_cpus"), cpus(node, "topology_housekeeping_cpus")
    except ValueError:
        return None
    transport = engine.settings(node).get("transport", {})
    asked = {
        name.removeprefix("topology_"): converted(name, node.values.get(name))
        for name in options()
        if name.startswith("topology_")
    }
    for name in ("isolated_cpus", "housekeeping_cpus"):
        asked[name] = format_cpus(cpus(node, f"topology_{name}"))
    extra = "kernel_cmdline_extra"
    asked |= {extra: converted(extra, node.values.get(extra))}
    return Wish.from_inventory({**asked, "transport": transport if isinstance(transport, Mapping) else {}})


def _model(node: Node, facts: Mapping[str, Any] | None) -> Iterator[Fault]:
    """Yield what the topology refuses of the host, or, of one whose facts aren't known, of every host."""
    wish = wish_of(node)
    if wish is None or ("topology_isolated_cpus" not in node.values):
        return
    host = that_suits(wish) if facts is None else Host.from_facts(dict(facts))
    for sentence in refusals(wish, host):
        yield _place(sentence, node, wish), sentence


def _place(sentence: str, node: Node, wish: Wish) -> Path:
    """Return what a refusal is about: the entry that it names, or the variable."""
    named = [word for word in re.findall(r"topology_[a-z_]+", sentence) if word in node.raw]
    for variable, key, names in (
        ("topology_services", "name", [name for name, _ in wish.services]),
        ("topology_data_nics", "name", [nic.name for nic in wish.data_nics]),
        ("topology_data_nics", "pci", [nic.pci for nic in wish.data_nics]),
    ):
        found = [
            place for place, name in enumerate(names) if re.search(rf"(?<![\w.:-]){re.escape(name)}(?![\w-])", sentence)
        ]
        if found and (variable in named or (variable == "topology_services" and sentence.startswith("The service"))):
            return (variable, found[-1], key)
    pages = re.search(r"node (\d+)", sentence)
    if "topology_hugepages" in named and pages:
        at = [place for place, one in enumerate(wish.hugepages) if one.node == int(pages.group(1))]
        return ("topology_hugepages", *at[:1])
    return (named[0],) if named else ("topology_isolated_cpus",)
