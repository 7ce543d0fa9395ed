"""Drift as metrics for Prometheus' textfile collector (its text format, version 0.0.4)."""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from pathlib import Path

from .knobs import FAIL, NOT_RUN, PASS, Finding


def as_metrics(findings: list[Finding]) -> str:
    """Return the metrics: each knob that can be off, the counts, and when node-doctor looked."""
    counts = Counter(finding.status for finding in findings)
    lines = [
        "# HELP wirebook_knob_off Whether a knob is not as desired; those that are NOT-RUN are left out.",
        "# TYPE wirebook_knob_off gauge",
        *(
            f'wirebook_knob_off{{role="{escape(f.knob.role)}",knob="{escape(f.knob.name)}"}} {int(f.status == FAIL)}'
            for f in findings
            if f.status != NOT_RUN
        ),
        "# HELP wirebook_knobs Number of knobs by node-doctor's verdict.",
        "# TYPE wirebook_knobs gauge",
        *(f'wirebook_knobs{{status="{status}"}} {counts[status]}' for status in (PASS, FAIL, NOT_RUN)),
        "# HELP wirebook_knobs_checked_timestamp_seconds When node-doctor last looked, in seconds since the epoch.",
        "# TYPE wirebook_knobs_checked_timestamp_seconds gauge",
        f"wirebook_knobs_checked_timestamp_seconds {time.time():.0f}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return a label's value as the format wants it."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step: the collector must never read half of it. OSError if that can't be done."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
