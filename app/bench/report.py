"""What a run found: the table, the plot, and results/latest.json."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from bench import builds
from bench.benchmarks import Benchmark

Rounds = dict[str, list[dict[str, float]]]


@dataclass
class Results:
    """All that one run found."""

    rounds: dict[str, Rounds] = field(default_factory=dict)
    """Benchmark → subject → the figures of each round."""
    latency: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Benchmark → subject → percentile → ns of a batch (`updates` of them) or packet."""
    load: float = field(default_factory=lambda: os.getloadavg()[0])
    """Of the machine, before anything was measured."""
    not_run: dict[str, str] = field(default_factory=dict)
    """`benchmark.subject` → why not."""


@dataclass(frozen=True)
class Target:
    """A ratio that the engine promises: ours to another's, in one figure of one benchmark."""

    benchmark: str
    other: str
    figure: str
    bound: float
    least: bool = False
    """The ratio must be at least `bound`, else at most."""
    ours: str = "ours"


TARGETS = (
    Target("book_hot", "floor", "ns", 1.3),
    Target("book_2048", "floor", "ns", 1.5),
    Target("book_hot", "order_book", "ns", 1 / 6),
    Target("book_2048", "order_book", "ns", 1 / 6),
    Target("book_capture", "order_book", "ns", 1 / 5),
    Target("book_hot", "sorted_array", "ns", 1 / 2),
    Target("book_2048", "sorted_array", "ns", 1 / 2),
    Target("book_capture", "sorted_array", "ns", 1 / 2),
    Target("packet_to_book_2048", "sorted_array", "ns", 0.6),
    Target("json_level", "orjson_loop", "ns", 1 / 8),
    Target("capture", "cryptofeed", "messages_per_s", 70, least=True),
    Target("ring", "floor", "oneway_ns", 1.2),
    Target("ring", "floor", "ops_per_s", 1 / 1.2, least=True),
    Target("af_xdp", "floor", "ns", 1.2),
    Target("af_xdp", "floor", "all_ns", 1.2),
    Target("af_xdp", "floor_unverified", "ns", 1.2, ours="ours_unverified"),
    Target("af_xdp", "floor_unverified", "all_ns", 1.2, ours="ours_unverified"),
    Target("udp_oneway", "floor", "p50_ns", 1.25),
    Target("udp_oneway", "floor", "p99_ns", 1.5),
)


def _machine() -> dict[str, Any]:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    hypervisor = any(
        line.startswith("flags") and " hypervisor" in line for line in Path("/proc/cpuinfo").read_text().splitlines()
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "virtual": hypervisor,
        "memory_gb": round(memory / 1e9, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "build": builds.best(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _median(results: Results, benchmark: str, subject: str, figure: str) -> float | None:
    rounds = results.rounds.get(benchmark, {}).get(subject)
    return statistics.median(one[figure] for one in rounds) if rounds else None


def _ratio(results: Results, benchmark: str, one: str, other: str, figure: str) -> float | None:
    """The median of each round's ratio: what disturbs a round disturbs both."""
    rounds = results.rounds.get(benchmark, {})
    if one not in rounds or other not in rounds:
        return None
    return statistics.median(a[figure] / b[figure] for a, b in zip(rounds[one], rounds[other], strict=True))


def _targets(results: Results) -> list[dict[str, Any]]:
    rows = []
    for target in TARGETS:
        if target.benchmark not in results.rounds:
            continue
        ratio = _ratio(results, target.benchmark, target.ours, target.other, target.figure)
        met = None if ratio is None else (ratio >= target.bound if target.least else ratio <= target.bound)
        rows.append(
            {
                "benchmark": target.benchmark,
                "figure": target.figure,
                "against": target.other,
                "ratio": ratio,
                "bound": ("≥ " if target.least else "≤ ") + f"{target.bound:.3g}",
                "met": met,
            }
        )
    return rows


def _number(value: float | None) -> str:
    if value is None:
        return "NOT-RUN"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _print(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]))
    print()


def write(results: Results, benchmarks: Sequence[Benchmark], folder: Path) -> None:
    """Print the tables and write latest.json and latest.svg into `folder`."""
    figures = {
        benchmark.name: {
            f"{subject}_{figure}": _median(results, benchmark.name, subject, figure)
            for figure in benchmark.figures
            for subject in benchmark.subjects
        }
        for benchmark in benchmarks
    }
    comparisons = {
        name: {subject: statistics.median(one["ns"] for one in rounds) for subject, rounds in found.items()}
        for name, found in results.rounds.items()
        if name not in figures
    }
    targets = _targets(results)
    print()
    for name, values in figures.items():
        if name in results.rounds:
            _print([[name, ""], *([f"  {key}", _number(value)] for key, value in values.items())])
    for name, found in comparisons.items():
        _print([[name, "ns"], *([f"  {subject}", _number(value)] for subject, value in found.items())])
    for name, latencies in results.latency.items():
        for subject, percentiles in latencies.items():
            part = int(percentiles["updates"])
            row = "  ".join(
                f"p{key}: {value if value is None else format(value, ',')}"
                for key, value in percentiles.items()
                if key not in ("updates", "samples")
            )
            print(f"{name}, {subject}, ns for {part} updates: {row}")
    print()
    rows = [["ratio, ours to", "median", "target", ""]]
    for target in targets:
        verdict = {None: "NOT-RUN", True: "met", False: "MISSED"}[target["met"]]
        name = f"{target['benchmark']} {target['against']} {target['figure']}"
        rows.append([name, _number(target["ratio"]), target["bound"], verdict])
    _print(rows)
    for name, reason in results.not_run.items():
        print(f"NOT-RUN {name}: {reason}")
    folder.mkdir(parents=True, exist_ok=True)
    packages = {name: metadata.version(name) for name in ("order-book", "nautilus_trader", "orjson")}
    document = {
        "machine": _machine() | {"load_before": results.load},
        "benchmarks": figures,
        "ratios": targets,
        "comparisons": comparisons,
        "latency_ns": results.latency,
        "not_run": results.not_run,
        "packages": packages,
    }
    (folder / "latest.json").write_text(json.dumps(document, indent=2) + "\n")
    _plot(figures, folder / "latest.svg")
    print(f"Written: {folder / 'latest.json'} and latest.svg")


def _plot(figures: dict[str, dict[str, float | None]], path: Path) -> None:
    """A bar for each figure, on logarithmic axes: they lie orders of magnitude apart."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    shown = {
        name: {key: value for key, value in values.items() if value is not None} for name, values in figures.items()
    }
    shown = {name: values for name, values in shown.items() if values}
    plot, axes = pyplot.subplots(
        len(shown), 1, figsize=(8, 1.4 * len(shown) + 0.4 * sum(map(len, shown.values()))), squeeze=False
    )
    for axis, (name, values) in zip(axes[:, 0], shown.items(), strict=True):
        names = [key.replace("_", " ") for key in values]
        bars = axis.barh(
            names, list(values.values()), color=["tab:blue" if key.startswith("ours") else "tab:gray" for key in values]
        )
        axis.bar_label(bars, labels=[_number(value) for value in values.values()], padding=3)
        axis.set_xscale("log")
        axis.invert_yaxis()
        axis.margins(x=0.2)
        axis.set_title(name, loc="left")
    plot.tight_layout()
    plot.savefig(path)
