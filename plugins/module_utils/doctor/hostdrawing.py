"""The host drawn in HTML, as it is now: sockets, nodes, cores with their siblings, what runs where, NICs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from ..topology.cpus import format_cpus
from .host import CannotProbeError, Host, cpu_set
from .knobs import FAIL, Finding
from .probes_cpu import interrupts

MIB = 1024  # kB
GIB = 1024 * MIB

LEGEND = (
    "<p class=legend><span class=cpu>housekeeping</span> <span class='cpu isolated'>isolated, free</span> "
    "<span class='cpu isolated busy'>isolated, a service of its own</span> "
    "<span class=dim>A box is a core, a line in it is a CPU; IRQs: how many interrupts may come there.</span></p>"
)


@dataclass(frozen=True)
class Drawn:
    """What is drawn: the host's facts (`topology.host.read_host`), and what was found on it."""

    facts: dict[str, Any]
    isolated: frozenset[int]
    services: dict[int, list[str]]
    interrupts: tuple[tuple[str, frozenset[int]], ...]
    msi: dict[str, frozenset[str]]
    wanted: Counter[str]
    off: Counter[str]


def draw_host(facts: dict[str, Any], host: Host, findings: list[Finding]) -> str:
    """Return the drawing; a service is drawn on the CPU that it has to itself, a NIC on its node."""
    devices = [(str(f.knob.spec["pci"]), f.status) for f in findings if "pci" in f.knob.spec]
    drawn = Drawn(
        facts=facts,
        isolated=cpu_set(host.read("/sys/devices/system/cpu/isolated") or ""),
        services=_services(findings),
        interrupts=tuple((number, cpus) for number, _, cpus in interrupts(host)),
        msi={nic["pci"]: _msi(host, nic["pci"]) for nic in facts["nics"]},
        wanted=Counter(pci for pci, _ in devices),
        off=Counter(pci for pci, status in devices if status == FAIL),
    )
    nodes = {node["node"] for node in facts["nodes"]}
    elsewhere = [nic for nic in facts["nics"] if nic["node"] not in nodes]
    other = f"<div class=socket><b>NICs on no node that the firmware tells</b>{_nics(elsewhere, drawn)}</div>"
    offline = f"<p class=dim>offline: CPU {facts['cpus_offline']}</p>" if facts["cpus_offline"] else ""
    return f"{LEGEND}{offline}<div class=host>{''.join(_sockets(drawn))}{other if elsewhere else ''}</div>"


def _services(findings: list[Finding]) -> dict[int, list[str]]:
    services: dict[int, list[str]] = {}
    for finding in findings:
        unit = finding.knob.spec.get("unit", "")
        try:
            cpus = cpu_set(finding.running) if finding.knob.probe == "affinity" and unit else frozenset()
        except CannotProbeError:
            continue  # it doesn't run
        if len(cpus) == 1:
            services.setdefault(min(cpus), []).append(unit.removesuffix(".service").removeprefix("wirebook-"))
    return services


def _msi(host: Host, pci: str) -> frozenset[str]:
    return frozenset(path.name for path in host.path(f"/sys/bus/pci/devices/{pci}/msi_irqs").glob("*"))


def _sockets(drawn: Drawn) -> Iterator[str]:
    sockets = drawn.facts["sockets"]
    told: set[int] = set()
    for socket in sorted(set(sockets.values())):
        own = {int(cpu) for cpu, number in sockets.items() if number == socket}
        inside = []
        for node in drawn.facts["nodes"]:
            if cpu_set(node["cpus"]) & own:
                # Where sockets share a node its NICs are drawn once.
                nics = [] if node["node"] in told else [n for n in drawn.facts["nics"] if n["node"] == node["node"]]
                told.add(node["node"])
                inside.append(_node(node, own, nics, drawn))
        yield f"<div class=socket><b>socket {socket}</b>{''.join(inside)}</div>"
    memory = [node for node in drawn.facts["nodes"] if not cpu_set(node["cpus"])]
    if memory:
        inside = [
            _node(node, set(), [nic for nic in drawn.facts["nics"] if nic["node"] == node["node"]], drawn)
            for node in memory
        ]
        yield f"<div class=socket><b>nodes without CPUs</b>{''.join(inside)}</div>"


def _node(node: dict[str, Any], own: set[int], nics: list[dict[str, Any]], drawn: Drawn) -> str:
    cores, told = [], set()
    for cpu in sorted(cpu_set(node["cpus"]) & own):
        if cpu not in told:
            threads = sorted(cpu_set(drawn.facts["siblings"][str(cpu)]) & own)
            told.update(threads)
            cores.append(f"<div class=core>{''.join(_cpu(thread, drawn) for thread in threads)}</div>")
    return (
        f"<div class=node><b>node {node['node']}</b> {_memory(node)}"
        f"<div class=cores>{''.join(cores)}</div>{_nics(nics, drawn)}</div>"
    )


def _memory(node: dict[str, Any]) -> str:
    """Return a node's memory, and what of it is hugepages, also as a bar."""
    pages = {int(size.removesuffix("kB")): count for size, count in node["hugepages"].items() if count}
    told = f"<small>{_size(node['memory_kb'])} of memory"
    if not pages:
        return f"{told}, no hugepages</small>"
    reserved = sum(size * count for size, count in pages.items())
    share = reserved / node["memory_kb"]
    each = " and ".join(f"{count} of {_size(size)}" for size, count in sorted(pages.items()))
    bar = f"<div class=bar><div style='width:{share:.1%}'></div></div>"
    return f"{told}, {share:.0%} in hugepages: {each}</small>{bar}"


def _size(kilobytes: int) -> str:
    unit, name = (GIB, "GiB") if kilobytes >= GIB else (MIB, "MiB")
    return f"{kilobytes / unit:.1f}".removesuffix(".0") + f" {name}"


def _cpu(number: int, drawn: Drawn) -> str:
    running, isolated = drawn.services.get(number, []), number in drawn.isolated
    handled = sum(number in cpus for _, cpus in drawn.interrupts)
    kind = f"cpu{' isolated' if isolated else ''}{' busy' if running else ''}"
    duty = ", ".join(running) or ("free" if isolated else "housekeeping")
    note = f"<i>{handled} IRQ{'s' if handled != 1 else ''}</i>" if handled else ""
    return f"<div class='{kind}'><b>{number}</b><span>{escape(duty)}</span>{note}</div>"


def _nics(nics: list[dict[str, Any]], drawn: Drawn) -> str:
    return f"<div class=nics>{''.join(_nic(nic, drawn) for nic in nics)}</div>" if nics else ""


def _nic(nic: dict[str, Any], drawn: Drawn) -> str:
    carriers = {*drawn.facts["default_route"], *drawn.facts["ssh"]}
    own = [cpus for number, cpus in drawn.interrupts if number in drawn.msi[nic["pci"]]]
    cpus = format_cpus(frozenset[int]().union(*own))
    duty = [
        "management" if carriers & {nic["name"], *nic["uppers"]} else "",
        "VFIO" if nic["driver"] == "vfio-pci" else "data" if drawn.wanted[nic["pci"]] else "",
        f"clock {nic['phc']}" if nic["phc"] else "",
        f"IOMMU group {nic['iommu_group']}" if nic["iommu_group"] else "",
        f"{len(own)} IRQ{'s' if len(own) != 1 else ''} on CPU {cpus}" if own else "",
    ]
    off = drawn.off[nic["pci"]]
    mark = f" <span class=FAIL>{off} knob{'s' if off > 1 else ''} off</span>" if off else ""
    name, driver = nic["name"] or "no interface", nic["driver"] or "no driver"
    return (
        f"<div class=nic><b>{escape(name)}</b> <small>{escape(nic['pci'])} {escape(driver)}</small>"
        f"{mark}<br><small>{escape(' · '.join(text for text in duty if text) or 'unused')}</small></div>"
    )
