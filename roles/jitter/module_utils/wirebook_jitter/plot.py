"""The histograms of a jitter measurement as one SVG file: both axes logarithmic, a line for each CPU."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import Any

from .results import TOOLS, worst

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM, HEADER = 900, 300, 70, 150, 46, 44, 64
# Colours that people with colour blindness can tell apart (Okabe and Ito); more CPUs than colours repeat them, dashed.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
MEANING = {
    "oslat": "a loop that never sleeps: how long it was interrupted",
    "cyclictest": "a timer each millisecond: how late the thread ran",
}


def plot(result: dict[str, Any], verdicts: dict[str, str]) -> str:
    """Return the SVG text; `verdicts` are lines for the operator by tool."""
    tools = [tool for tool in TOOLS if tool in result["tools"]]
    height = HEADER + len(tools) * PANEL
    body = [
        _text(LEFT, 26, f"{result['host']}: {result['seconds']} s under load, {result['time_utc']}", size=17),
        _text(LEFT, 46, f"Linux {result['kernel']}; load: {result['load']}", size=12, fill="#555"),
    ]
    for number, tool in enumerate(tools):
        panel = _panel(tool, result["tools"][tool], result["budgets_us"][tool], verdicts.get(tool, ""))
        body += [f'<g transform="translate(0 {HEADER + number * PANEL})">', *panel, "</g>"]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _panel(tool: str, found: dict[str, Any], budget: int, verdict: str) -> Iterator[str]:
    """Yield the plot of one tool: samples over microseconds."""
    longest, _ = worst(found)
    counts = [samples for cpu in found["cpus"].values() for samples in cpu["histogram"].values()]
    decades = max(1, math.ceil(math.log10(max(longest, budget, 10))))
    count_decades = max(1, math.ceil(math.log10(max([*counts, 10]))))

    def x(microseconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(max(microseconds, 1)) / decades

    def y(samples: float) -> float:
        return PANEL - BOTTOM - (PANEL - TOP - BOTTOM) * math.log10(max(samples, 1)) / count_decades

    yield _text(LEFT, 16, f"{tool}: {MEANING[tool]}", size=14)
    yield _text(LEFT, 34, verdict, size=12, fill="#555")
    for decade in range(decades + 1):
        yield _line(x(10**decade), TOP, x(10**decade), PANEL - BOTTOM, "#ddd")
        yield _text(x(10**decade), PANEL - BOTTOM + 16, f"{10**decade:,}", anchor="middle")
    for decade in range(count_decades + 1):
        yield _line(LEFT, y(10**decade), WIDTH - RIGHT, y(10**decade), "#ddd")
        yield _text(LEFT - 6, y(10**decade) + 4, f"1e{decade}", anchor="end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, PANEL - BOTTOM + 34, "us", anchor="middle")
    yield _line(x(budget), TOP, x(budget), PANEL - BOTTOM, "#c00", dash="6 4")
    yield _text(x(budget) + 4, TOP + 12, f"budget {budget} us", fill="#c00")
    # A host of many isolated CPUs has a smaller legend, not one that runs into the next panel.
    step = min(16, (PANEL - TOP - BOTTOM) / len(found["cpus"]))
    for number, (name, cpu) in enumerate(found["cpus"].items()):
        colour = COLOURS[number % len(COLOURS)]
        dash = "4 3" if number >= len(COLOURS) else ""
        buckets = [(int(bucket), samples) for bucket, samples in cpu["histogram"].items()]
        points = " ".join(f"{x(bucket):.1f},{y(samples):.1f}" for bucket, samples in buckets)
        style = f'fill="none" stroke="{colour}" stroke-dasharray="{dash}" stroke-width="1.5"'
        yield f'<polyline points="{points}" {style}/>'
        yield f'<circle cx="{x(cpu["max"]):.1f}" cy="{y(1):.1f}" r="4" fill="{colour}"/>'
        legend = TOP + step * (number + 1)
        yield _line(WIDTH - RIGHT + 12, legend - 4, WIDTH - RIGHT + 34, legend - 4, colour, dash=dash)
        yield _text(WIDTH - RIGHT + 40, legend, f"CPU {name}: {cpu['max']:,} us", size=min(11, step))


def _text(x: float, y: float, text: str, *, size: float = 11, fill: str = "#111", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-dasharray="{dash}"/>'
