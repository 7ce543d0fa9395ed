"""The report as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import socket
from collections import Counter

from .host import Host
from .knobs import FAIL, FORMAT, NOT_RUN, PASS, Finding, describe


def as_json(findings: list[Finding], host: Host) -> str:
    """Return the report for programs; its fields are in roles/node_doctor/README.md."""
    counts = Counter(finding.status for finding in findings)
    return json.dumps(
        {
            "format": FORMAT,
            "host": socket.gethostname(),
            "container": host.container(),
            "pass": counts[PASS],
            "fail": counts[FAIL],
            "not_run": counts[NOT_RUN],
            "knobs": [
                {
                    "role": finding.knob.role,
                    "name": finding.knob.name,
                    "status": finding.status,
                    "desired": describe(finding.knob.want),
                    "boot": finding.boot,
                    "running": finding.running,
                    "reason": finding.reason,
                    "source": finding.knob.source,
                    "breaks": finding.knob.breaks,
                    "risk": finding.knob.spec.get("risk", ""),
                }
                for finding in findings
            ],
        },
        indent=1,
    )


def shorten(text: str, width: int = 44) -> str:
    """Cut a cell of the table; the reasons below it give long values in full."""
    return text if len(text) <= width else text[: width - 1] + "…"


def as_table(findings: list[Finding]) -> str:
    """Return the report for people: a line a knob, then why each that isn't PASS isn't."""
    rows = [("STATUS", "KNOB", "DESIRED", "NEXT BOOT", "RUNNING")]
    rows += [
        (f.status, f.knob.name, shorten(describe(f.knob.want)), shorten(f.boot), shorten(f.running)) for f in findings
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    counts = Counter(finding.status for finding in findings)
    lines += ["", f"{counts[PASS]} PASS, {counts[FAIL]} FAIL, {counts[NOT_RUN]} NOT-RUN"]
    for finding in findings:
        if finding.status == FAIL:
            lines += [
                f"FAIL {finding.knob.name}: {finding.reason}. Desired {describe(finding.knob.want)}, "
                f"next boot {finding.boot}, running {finding.running}.",
                f"     {finding.knob.breaks} [{finding.knob.source}]",
            ]
    lines += [f"RISK {f.knob.name}: {f.knob.spec['risk']}" for f in findings if "risk" in f.knob.spec]
    not_run: dict[str, list[str]] = {}
    for finding in findings:
        if finding.status == NOT_RUN:
            not_run.setdefault(finding.reason, []).append(finding.knob.name)
    lines += [f"NOT-RUN {', '.join(names)}: {reason}." for reason, names in not_run.items()]
    return "\n".join(lines)
