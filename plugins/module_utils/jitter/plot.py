"""The histograms of a jitter measurement as one SVG file: both axes logarithmic, the worst CPUs in colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

from .results import TOOLS, worst

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM, HEADER = 900, 300, 70, 170, 46, 44, 64
Scale = Callable[[float], float]
# Colours that people with colour blindness can tell apart (Okabe and Ito), for the worst CPUs; the others are grey.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
OTHERS = "#aaa"
MEANING = {
    "oslat": "a loop that never sleeps: how long it was interrupted",
    "cyclictest": "a timer each millisecond: how late the thread ran",
}
# What becomes of samples that are longer than the histogram; a dot on the axis is the longest of all (results.py).
BEYOND = {"oslat": "the last bucket counts all that were longer", "cyclictest": "what is longer is in no bucket"}


def plot(result: dict[str, Any], verdicts: dict[str, str]) -> str:
    """Return the SVG text; `verdicts` are lines for the operator by tool."""
    tools = [tool for tool in TOOLS if tool in result["tools"]]
    height = HEADER + len(tools) * PANEL
    body = [
        _text(LEFT, 26, f"{result['host']}: {result['seconds']} s under load, {result['time_utc']}", size=17),
        _text(LEFT, 46, f"Linux {result['kernel']}; load: {result['load']}", size=12, fill="#555"),
    ]
    colours = _colours([result["tools"][tool]["cpus"] for tool in tools])
    for number, tool in enumerate(tools):
        panel = _panel(tool, result["tools"][tool], result["budgets_us"][tool], verdicts.get(tool, ""), colours)
        body += [f'<g transform="translate(0 {HEADER + number * PANEL})">', *panel, "</g>"]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
            *body,
            "</svg>\n",
        ]
    )


def _colours(panels: list[dict[str, Any]]) -> dict[str, str]:
    """Return a colour for each of the worst CPUs, the same in all panels."""
    names = {name for cpus in panels for name in cpus}
    ranked = sorted(names, key=lambda name: -max(cpus[name]["max"] for cpus in panels if name in cpus))
    return dict(zip(ranked, COLOURS, strict=False))


def _panel(tool: str, found: dict[str, Any], budget: int, verdict: str, colours: dict[str, str]) -> Iterator[str]:
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
        yield _text(LEFT - 6, y(10**decade) + 4, _short(decade), anchor="end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, PANEL - BOTTOM + 34, f"us; {BEYOND[tool]}", anchor="middle")
    middle = (TOP + PANEL - BOTTOM) / 2
    yield f'<g transform="rotate(-90 16 {middle:.0f})">{_text(16, middle, "samples", anchor="middle")}</g>'
    yield _line(x(budget), TOP, x(budget), PANEL - BOTTOM, "#c00", dash="6 4")
    yield _text(x(budget) + 4, TOP + 12, f"budget {budget} us", fill="#c00")
    ranked = sorted(found["cpus"].items(), key=lambda item: (item[0] in colours, item[1]["max"]), reverse=True)
    # The worst is drawn last, on top of the others.
    for name, cpu in reversed(ranked):
        colour = colours.get(name, OTHERS)
        yield from (_run(run, x, y, colour) for run in _runs(cpu["histogram"]))
        yield f'<circle cx="{x(cpu["max"]):.1f}" cy="{y(1):.1f}" r="4" fill="{colour}"/>'
    yield from _legend(ranked, colours)


def _runs(histogram: dict[str, int]) -> Iterator[list[tuple[int, int]]]:
    """Yield the stretches of buckets without a gap: a line across a gap would show samples that nobody took."""
    run: list[tuple[int, int]] = []
    for bucket, samples in sorted((int(bucket), samples) for bucket, samples in histogram.items()):
        if run and bucket != run[-1][0] + 1:
            yield run
            run = []
        run.append((bucket, samples))
    if run:
        yield run


def _run(run: list[tuple[int, int]], x: Scale, y: Scale, colour: str) -> str:
    if len(run) == 1:
        ((bucket, samples),) = run
        return f'<circle cx="{x(bucket):.1f}" cy="{y(samples):.1f}" r="1.5" fill="{colour}"/>'
    points = " ".join(f"{x(bucket):.1f},{y(samples):.1f}" for bucket, samples in run)
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _legend(ranked: list[tuple[str, dict[str, Any]]], colours: dict[str, str]) -> Iterator[str]:
    """Yield the longest latency of each CPU that has a colour, and of the others together."""
    entries = [(f"CPU {name}: {cpu['max']:,} us", colours[name]) for name, cpu in ranked if name in colours]
    others = ranked[len(entries) :]
    if others:
        entries.append((f"{len(others)} others: at most {others[0][1]['max']:,} us", OTHERS))
    left = WIDTH - RIGHT
    yield _text(left + 12, TOP + 8, "longest", fill="#555")
    for number, (text, colour) in enumerate(entries, start=1):
        place = TOP + 8 + 18 * number
        yield f'<circle cx="{left + 16}" cy="{place - 4}" r="4" fill="{colour}"/>'
        yield _text(left + 26, place, text)


def _short(decade: int) -> str:
    """Return a power of ten as an axis has it: 1, 10, 100, 1k, … 1G."""
    return f"{10 ** (decade % 3)}{'kMGT'[decade // 3 - 1] if decade >= 3 else ''}"


def _text(x: float, y: float, text: str, *, size: float = 11, fill: str = "#111", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"'
    return f"<text {place}>{escape(text)}</text>"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: str = "") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-dasharray="{dash}"/>'
