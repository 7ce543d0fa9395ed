"""What oslat and cyclictest found, read from the JSON that they write (rt-tests 2.0 and later)."""

from __future__ import annotations

import json
from typing import Any

FORMAT = 1
TOOLS = ("oslat", "cyclictest")


class ResultError(Exception):
    """A tool's output can't be used; the text is a sentence for the operator."""


def read_tool(tool: str, text: str) -> dict[str, Any]:
    """Return what a tool found: `command`, and `cpus` {cpu: {min, avg, max, overflow, histogram {us: samples}}}, in us.

    `overflow` is the number of samples beyond the histogram. oslat counts those in its last bucket and doesn't tell
    them apart; `max` is the longest of all in both. ResultError: the tool failed, or wrote something else.
    """
    try:
        report = json.loads(text)
        if report["return_code"] != 0:
            raise ResultError(f"{tool} failed with status {report['return_code']}.")
        cpus = {str(thread["cpu"]): _thread(thread) for thread in report["thread"].values()}
        # rt-tests up to 2.6 write the key with a colon.
        command = report.get("cmdline") or report.get("cmdline:") or tool
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(
            f"{tool} wrote no report that can be read ({error!r}): install rt-tests 2.0 or later."
        ) from error
    if not cpus:
        raise ResultError(f"{tool} measured no CPU.")
    return {"command": command, "cpus": dict(sorted(cpus.items(), key=lambda item: int(item[0])))}


def _thread(thread: dict[str, Any]) -> dict[str, Any]:
    histogram = {int(bucket): int(samples) for bucket, samples in thread["histogram"].items()}
    # cyclictest says how often it woke up; oslat counts what is beyond its buckets in the last one.
    overflow = int(thread["cycles"]) - sum(histogram.values()) if "cycles" in thread else 0
    return {
        "min": thread["min"],
        "avg": thread["avg"],
        "max": thread["max"],
        "overflow": overflow,
        "histogram": {str(bucket): samples for bucket, samples in sorted(histogram.items()) if samples},
    }


def worst(found: dict[str, Any]) -> tuple[int, str]:
    """Return the longest latency of a tool's findings in us, and its CPU."""
    return max((int(cpu["max"]), number) for number, cpu in found["cpus"].items())
