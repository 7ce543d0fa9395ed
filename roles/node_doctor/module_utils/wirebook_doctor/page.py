"""The report as one HTML page that needs nothing else: a drawing of the host, and every knob with its source."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

from wirebook_topology.host import read_host

from .host import CannotProbeError, Host, cpu_set
from .knobs import FAIL, NOT_RUN, PASS, Finding, describe
from .probes_cpu import interrupts

STYLE = """
:root { color-scheme: light dark; --line: #8888; --isolated: #2b7de02e; --house: #8882 }
:root { --bad: #d33; --good: #2a8f4d; --dim: #888 }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem } p { margin: .3rem 0 }
.socket, .node, .cpu, .nic { border: 1px solid var(--line); border-radius: 6px; padding: .5rem .7rem }
.host { display: flex; flex-wrap: wrap; gap: 1rem } .socket { flex: 1 1 28rem } .node { margin-top: .5rem }
.cores, .nics { display: flex; flex-wrap: wrap; gap: .5rem; margin-top: .4rem }
.core { border: 1px dashed var(--line); border-radius: 8px; padding: .3rem; display: flex; gap: .3rem }
.cpu { min-width: 7.5rem; background: var(--house) } .isolated { background: var(--isolated) }
.cpu b { display: block } small, .dim { color: var(--dim) } .nic { flex: 1 1 18rem }
table { border-collapse: collapse; width: 100% } th { text-align: left; color: var(--dim); font-weight: 600 }
td, th { padding: .25rem .6rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td { overflow-wrap: anywhere }
.PASS { color: var(--good) } .FAIL { color: var(--bad); font-weight: 700 } .NOT-RUN { color: var(--dim) }
td.status { white-space: nowrap }
.wide { overflow-x: auto } .risk { border-left: 4px solid var(--bad); padding-left: .7rem }
"""


@dataclass(frozen=True)
class Load:
    """What runs on a CPU: services that have it to themselves, and the interrupts that may come there."""

    services: list[str]
    interrupts: int


def as_page(findings: list[Finding], host: Host, name: str) -> str:
    """Return the page."""
    facts = read_host(host.root)
    counts = Counter(finding.status for finding in findings)
    risks = [f for f in findings if "risk" in f.knob.spec]
    body = [
        f"<h1>{escape(name)}</h1>",
        f"<p>{escape(facts['os']['name'])}, Linux {escape(facts['kernel'])} · looked at "
        f"{time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}</p>",
        f"<p><span class=PASS>{counts[PASS]} PASS</span> · <span class=FAIL>{counts[FAIL]} FAIL</span> · "
        f"<span class=NOT-RUN>{counts[NOT_RUN]} NOT-RUN</span></p>",
        *(f"<p class=risk>Risk accepted: {escape(f.knob.name)}. {escape(f.knob.spec['risk'])}</p>" for f in risks),
        "<h2>The host</h2>",
        f"<div class=host>{''.join(_sockets(facts, _loads(host, facts, findings), _isolated(host)))}</div>",
        "<h2>NICs</h2>",
        f"<div class=nics>{''.join(_nics(facts, host))}</div>",
        "<h2>Knobs</h2>",
        "<div class=wide><table><tr><th>verdict<th>knob<th>desired<th>next boot<th>running<th>why</tr>",
        *(_row(finding) for finding in sorted(findings, key=lambda f: (FAIL, NOT_RUN, PASS).index(f.status))),
        "</table></div>",
    ]
    return (
        f"<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{escape(name)}: node-doctor</title>"
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _isolated(host: Host) -> frozenset[int]:
    return cpu_set(host.read("/sys/devices/system/cpu/isolated") or "")


def _loads(host: Host, facts: dict[str, Any], findings: list[Finding]) -> dict[int, Load]:
    """Return what runs on each CPU; a service is drawn where it has a CPU to itself."""
    services: dict[int, list[str]] = {}
    for finding in findings:
        unit = finding.knob.spec.get("unit", "")
        try:
            cpus = cpu_set(finding.running) if finding.knob.probe == "affinity" and unit else frozenset()
        except CannotProbeError:
            continue  # it doesn't run
        if len(cpus) == 1:
            services.setdefault(min(cpus), []).append(unit.removesuffix(".service"))
    handled = Counter(cpu for _, _, cpus in interrupts(host) for cpu in cpus)
    return {cpu: Load(services.get(cpu, []), handled[cpu]) for cpu in cpu_set(facts["cpus_online"])}


def _sockets(facts: dict[str, Any], loads: dict[int, Load], isolated: frozenset[int]) -> Iterator[str]:
    for socket in sorted(set(facts["sockets"].values())):
        own = {int(cpu) for cpu, number in facts["sockets"].items() if number == socket}
        nodes = [node for node in facts["nodes"] if cpu_set(node["cpus"]) & own]
        inside = "".join(_node(node, own, facts["siblings"], loads, isolated) for node in nodes)
        yield f"<div class=socket><b>socket {socket}</b>{inside}</div>"


def _node(
    node: dict[str, Any],
    own: set[int],
    siblings: dict[str, str],
    loads: dict[int, Load],
    isolated: frozenset[int],
) -> str:
    cores, drawn = [], set()
    for cpu in sorted(cpu_set(node["cpus"]) & own):
        if cpu not in drawn:
            threads = sorted(cpu_set(siblings[str(cpu)]) & own)
            drawn.update(threads)
            inside = "".join(_cpu(thread, loads[thread], thread in isolated) for thread in threads)
            cores.append(f"<div class=core>{inside}</div>")
    pages = ", ".join(f"{count} of {size}" for size, count in node["hugepages"].items() if count)
    return (
        f"<div class=node>node {node['node']} <small>{node['memory_kb'] // 1024} MiB"
        f"{f', hugepages {pages}' if pages else ''}</small><div class=cores>{''.join(cores)}</div></div>"
    )


def _cpu(number: int, load: Load, isolated: bool) -> str:
    duty = ", ".join(load.services) or ("free" if isolated else "housekeeping")
    kind = "isolated" if isolated else ""
    handled = f"{load.interrupts} interrupts" if load.interrupts else "no interrupts"
    note = f"<small>{kind or 'shared'}, {handled}</small>"
    return f"<div class='cpu {kind}'><b>CPU {number}</b>{escape(duty)}<br>{note}</div>"


def _nics(facts: dict[str, Any], host: Host) -> Iterator[str]:
    for nic in facts["nics"]:
        numbers = {path.name for path in host.path(f"/sys/bus/pci/devices/{nic['pci']}/msi_irqs").glob("*")}
        own = [cpus for number, _, cpus in interrupts(host) if number in numbers]
        everywhere = ", ".join(map(str, sorted(frozenset().union(*own)))) if own else ""
        told = [
            nic["driver"] or "no driver",
            f"node {nic['node']}" if nic["node"] >= 0 else "",
            f"IOMMU group {nic['iommu_group']}" if nic["iommu_group"] else "",
            f"clock {nic['phc']}" if nic["phc"] else "",
            f"{len(own)} interrupts on CPU {everywhere}" if own else "",
        ]
        name = nic["name"] or "no interface here"
        yield (
            f"<div class=nic><b>{escape(name)}</b> <small>{escape(nic['pci'])}</small><br>"
            f"{escape(' · '.join(text for text in told if text))}</div>"
        )


def _row(finding: Finding) -> str:
    knob = finding.knob
    reason = f"<b>{escape(finding.reason)}</b><br>" if finding.reason else ""
    cells = [describe(knob.want), finding.boot, finding.running]
    return (
        f"<tr><td class='status {finding.status}'>{finding.status}<td>{escape(knob.name)}<br>"
        f"<small>{escape(knob.role)}</small>{''.join(f'<td>{escape(cell)}' for cell in cells)}"
        f"<td>{reason}If it is off: {escape(knob.breaks)}<br><small>{escape(knob.source)}</small></tr>"
    )
