"""A subject's process: `python -m bench.worker MODULE:CLASS INPUTS CPU`, then a line in, a line of JSON out.

It runs in the environment of what it measures, so at module level it imports the standard library only.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
LATENCY_RUNS = 8
_BEYOND = 10
"""Samples that must lie beyond a percentile for it to say something."""


def _latency(subject: Any) -> dict[str, float | None]:
    """Percentiles over several runs; None for one that so few samples can't tell."""
    from hdrh.histogram import HdrHistogram

    histogram = HdrHistogram(1, 60 * 10**9, 3)
    for _ in range(LATENCY_RUNS):
        laps = subject.laps()
        for lap in laps.nanoseconds:
            histogram.record_value(lap)
    told = {
        f"{percentile:g}": histogram.get_value_at_percentile(percentile)
        if histogram.get_total_count() * (100 - percentile) / 100 >= _BEYOND
        else None
        for percentile in PERCENTILES
    }
    return told | {"updates": laps.updates, "samples": histogram.get_total_count()}


def main() -> None:
    """Answer `run` and `latency` until the end of the input."""
    name, inputs, cpu = sys.argv[1:]
    # The answers' channel is ours alone: a library that prints must not disturb it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    if cpu != "any":
        os.sched_setaffinity(0, {int(cpu)})
    try:
        module, _, attribute = name.partition(":")
        subject = getattr(import_module(module), attribute)(Path(inputs))
        gc.freeze()
        print(json.dumps({"ready": True}), file=answers, flush=True)
        for line in sys.stdin:
            answer = _latency(subject) if line.strip() == "latency" else subject.run()
            print(json.dumps(answer), file=answers, flush=True)
            gc.collect()
    except Exception as error:  # the suite says NOT-RUN with this reason, and goes on with the others
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)


main()
