"""The report as a self-contained HTML page: what is off, a drawing of the host, every knob by its role."""

from __future__ import annotations

import time
from collections import Counter
from html import escape

from ..topology.host import read_host
from .host import Host
from .hostdrawing import draw_host
from .knobs import FAIL, NO_BOOT_VALUE, NOT_RUN, PASS, Finding, describe

# The worst first.
ORDER = (FAIL, NOT_RUN, PASS)

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --dim: #5c6670; --line: #d5dae0; --soft: #f4f6f8 }
:root { --house: #eceff2; --isolated: #dcebfd; --busy: #1f6fd0; --onbusy: #fff; --bad: #c62828; --badsoft: #fdecec }
:root { --good: #1e7d43; --unsure: #9a6700 }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181d; --text: #e3e7ec; --dim: #97a3af; --line: #353d46; --soft: #1c2229; --house: #262d35 }
  :root { --isolated: #17344f; --busy: #3d8be8; --onbusy: #06121f; --bad: #ff7b72; --badsoft: #3a1d1f }
  :root { --good: #56c881; --unsure: #d9a53f }
}
* { box-sizing: border-box }
body { font: 14px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1280px; padding: 1.5rem 1rem 3rem }
body { background: var(--page); color: var(--text); overflow-wrap: anywhere }
h1 { font-size: 1.6rem; margin: 0 } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem }
h3 { font-size: 1rem; margin: 0 } p { margin: .3rem 0 }
h3.role { margin: 1.6rem 0 .4rem } h3 small, th { font-weight: 400 }
small, .dim, th, dt { color: var(--dim) } small { font-size: .86em } a { color: inherit }
code { font: .92em ui-monospace, monospace }
.FAIL { color: var(--bad); font-weight: 700 } .NOT-RUN { color: var(--unsure) } .PASS { color: var(--good) }
.counts { display: flex; flex-wrap: wrap; gap: .5rem; margin: .8rem 0 }
.counts span { border: 1px solid var(--line); border-radius: 6px; padding: .2rem .8rem } .counts b { font-size: 1.3rem }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .3rem 0 }
.offs { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); gap: .5rem }
.off, .risk { border-left: 4px solid var(--bad); background: var(--badsoft); padding: .5rem .8rem }
.risk { margin: .5rem 0 }
.risk { border-color: var(--unsure); background: var(--soft) }
dl { display: grid; grid-template-columns: 6rem 1fr; gap: .1rem .6rem; margin: .3rem 0 } dd { margin: 0 }
.legend { display: flex; flex-wrap: wrap; gap: .3rem .6rem; align-items: center; font-size: .86em }
.host { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: .8rem }
.socket, .node { border: 1px solid var(--line); border-radius: 8px; padding: .6rem }
.node { margin-top: .5rem; background: var(--soft) }
.cores { display: grid; grid-template-columns: repeat(auto-fill, minmax(10.5rem, 1fr)); gap: .4rem; margin-top: .5rem }
.core { border: 1px solid var(--line); border-radius: 5px; overflow: hidden; background: var(--page) }
.cpu { display: flex; gap: .4rem; padding: .08rem .45rem; background: var(--house); font-size: .86em }
.core .cpu + .cpu { border-top: 1px solid var(--line) }
.cpu b { min-width: 1.5rem; text-align: right } .cpu span { flex: 1 }
.cpu i { font-style: normal; color: var(--dim); margin-left: auto }
.isolated { background: var(--isolated) } .busy, .busy i { background: var(--busy); color: var(--onbusy) }
.legend .cpu { border-radius: 4px; font-size: 1em }
.bar { height: 5px; border-radius: 3px; background: var(--line); margin: .25rem 0 } .bar div { height: 100% }
.bar div { background: var(--busy); border-radius: 3px; min-width: 3px }
.nics { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17rem, 100%), 1fr)); gap: .4rem }
.nics { margin-top: .5rem } .nic { border: 1px solid var(--line); border-radius: 5px; padding: .3rem .5rem }
.nic { background: var(--page) }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th { text-align: left; font-size: .86em; padding: 0 .7rem .2rem 0 }
td { padding: .3rem .7rem .3rem 0; border-top: 1px solid var(--line); vertical-align: top }
td:last-child, th:last-child { padding-right: 0 }
td.verdict { font-size: .86em; white-space: nowrap }
@media screen and (max-width: 760px) {
  body { padding: 1rem .7rem 2rem } .cores { grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)) }
  .core .cpu:not(.isolated) span { display: none }
  table, tbody { display: block } thead, td:empty { display: none }
  tr { display: block; border-top: 1px solid var(--line); padding: .4rem 0 }
  td { display: block; border: 0; padding: 0 }
  td[data-is]:not(:empty) { display: grid; grid-template-columns: 5.5rem 1fr; gap: .5rem }
  td[data-is]::before { content: attr(data-is); color: var(--dim) }
}
@media print {
  :root { color-scheme: light; --page: #fff; --text: #000; --dim: #444; --line: #bbb; --soft: #fff; --house: #eee }
  :root { --isolated: #dcebfd; --busy: #1f6fd0; --onbusy: #fff; --bad: #b00; --badsoft: #fff; --good: #060 }
  body { max-width: none; padding: 0; font-size: 10px; print-color-adjust: exact; -webkit-print-color-adjust: exact }
  nav { display: none } tr, .off, .core, .nic, .socket { break-inside: avoid } h2, h3 { break-after: avoid }
}
"""

HEADINGS = (
    "<colgroup><col style='width:5.5rem'><col style='width:20%'><col style='width:15%'><col style='width:15%'>"
    "<col style='width:15%'><col></colgroup><thead><tr><th>verdict<th>knob<th>desired<th>next boot<th>running"
    "<th>what breaks if it is off, and the source</tr></thead>"
)


def as_page(findings: list[Finding], host: Host, name: str) -> str:
    """Return the page."""
    facts = read_host(host.root)
    roles = _by_role(findings)
    off = [finding for finding in findings if finding.status == FAIL]
    body = [
        f"<h1>{escape(name)}</h1>",
        f"<p class=dim>{escape(facts['os']['name'])}, Linux {escape(facts['kernel'])} · looked at "
        f"{time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime())}</p>",
        f"<div class=counts>{_counts(findings, '<b>{}</b> {}')}</div>",
        *(["<h2>What is off</h2>", f"<div class=offs>{''.join(map(_off, off))}</div>"] if off else []),
        *(
            f"<p class=risk><b>Risk accepted: {escape(f.knob.name)}.</b> {escape(f.knob.spec['risk'])}</p>"
            for f in findings
            if "risk" in f.knob.spec
        ),
        "<h2>The host</h2>",
        draw_host(facts, host, findings),
        "<h2>Knobs</h2>",
        f"<nav>{''.join(_link(role, own) for role, own in roles.items())}</nav>",
        *(_section(role, own) for role, own in roles.items()),
    ]
    return (
        f"<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>{escape(name)}: node-doctor</title>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _by_role(findings: list[Finding]) -> dict[str, list[Finding]]:
    """Return the findings by role, those with failures first, and of each role the worst first."""
    roles: dict[str, list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: ORDER.index(finding.status)):
        roles.setdefault(finding.knob.role, []).append(finding)
    return dict(sorted(roles.items(), key=lambda item: (item[1][0].status != FAIL, item[0])))


def _counts(findings: list[Finding], template: str) -> str:
    counts = Counter(finding.status for finding in findings)
    return " ".join(
        f"<span class={status if counts[status] else 'dim'}>{template.format(counts[status], status)}</span>"
        for status in ORDER
    )


def _off(finding: Finding) -> str:
    knob = finding.knob
    values = {"desired": describe(knob.want), "next boot": finding.boot, "running": finding.running}
    rows = "".join(
        f"<dt>{term}<dd><code>{escape(value)}</code>" for term, value in values.items() if value != NO_BOOT_VALUE
    )
    return (
        f"<div class=off><h3>{escape(knob.name)} <small>{escape(knob.role)}: {escape(finding.reason)}</small></h3>"
        f"<dl>{rows}</dl><p>{escape(knob.breaks)} <small>{escape(knob.source)}</small></p></div>"
    )


def _link(role: str, findings: list[Finding]) -> str:
    return f"<a class={findings[0].status} href='#{escape(role)}'>{escape(role)}</a>"


def _section(role: str, findings: list[Finding]) -> str:
    counts = Counter(finding.status for finding in findings)
    told = ", ".join(f"{counts[status]} {status}" for status in ORDER if counts[status])
    rows = "".join(map(_row, findings))
    return (
        f"<h3 class=role id='{escape(role)}'>{escape(role)} <small>{told}</small></h3>"
        f"<table>{HEADINGS}<tbody>{rows}</table>"
    )


def _row(finding: Finding) -> str:
    knob = finding.knob
    values = {"desired": describe(knob.want), "next boot": finding.boot, "running": finding.running}
    cells = "".join(
        f"<td data-is='{term}'>" + ("" if value == NO_BOOT_VALUE else f"<code>{escape(value)}</code>")
        for term, value in values.items()
    )
    reason = f"<b>{escape(finding.reason)}</b><br>" if finding.reason else ""
    return (
        f"<tr><td class='verdict {finding.status}'>{finding.status}<td>{escape(knob.name)}{cells}"
        f"<td>{reason}<small>{escape(knob.breaks)} [{escape(knob.source)}]</small></tr>\n"
    )
