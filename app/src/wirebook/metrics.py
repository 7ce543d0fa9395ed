"""`wirebook top --metrics`: what an exporter reads, in Prometheus' text format.

Source: https://prometheus.io/docs/instrumenting/exposition_formats. Made from the market cache and from what the book
process says of its transport, so it costs that process nothing.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from wirebook.core.books.books import State
from wirebook.core.market.view import MarketView
from wirebook.core.wire.records import Reason

_GAUGES: Final = frozenset({"held", "nodes_used", "nodes_total"})
"""Values that can go down; all other numbers only grow until the book process is restarted."""


def exposition(view: MarketView, transport: Mapping[str, Any]) -> str:
    """Return all metrics. `transport` is the book process's transport.json, empty if there is none."""
    return "".join(f"{line}\n" for line in _lines(view, transport))


def _lines(view: MarketView, transport: Mapping[str, Any]) -> Iterator[str]:
    yield from _family("wirebook_book_up", "gauge", "Whether the book process runs.", {"": int(view.alive)})
    states = Counter(view.top(symbol.number).state for symbol in view.defined())
    books = {f'{{state="{state.name.lower()}"}}': states[state] for state in State}
    yield from _family("wirebook_books", "gauge", "Books by state.", books)
    tops = {symbol.name: view.top(symbol.number) for symbol in view.defined()}
    reasons = Counter(_reason(top.reason) for top in tops.values() if top.state is State.STALE)
    stale = {f'{{reason="{reason}"}}': count for reason, count in sorted(reasons.items())}
    yield from _family("wirebook_books_stale", "gauge", "STALE books by reason.", stale)
    now = time.time_ns()
    ages = {f'{{symbol="{name}"}}': (now - top.receive_ns) / 1e9 for name, top in tops.items() if top.receive_ns}
    about = "Time since the feed received the last event of a book."
    yield from _family("wirebook_book_age_seconds", "gauge", about, ages)
    for name, value in view.metrics().items():
        yield from _number("book", name, value)
    latency = {
        f'{{stage="{stage.name}",quantile="{quantile}"}}': ns / 1e9
        for stage in view.latency()
        for quantile, ns in (("0.5", stage.p50), ("0.99", stage.p99), ("0.999", stage.p999))
        if ns is not None
    }
    about = "How long a stage took, since the book process was started."
    yield from _family("wirebook_latency_seconds", "gauge", about, latency)
    if not transport:
        return
    kinds = {f'{{asked="{transport["asked"]}",kind="{transport["kind"]}"}}': 1}
    yield from _family("wirebook_transport_info", "gauge", "What packets come by, and what was asked for.", kinds)
    for name, value in transport.items():
        if isinstance(value, int):
            yield from _number("transport", name, value)


def _reason(number: int) -> str:
    return next((reason.name.lower() for reason in Reason if reason == number), str(number))


def _number(part: str, name: str, value: int) -> Iterator[str]:
    kind, suffix = ("gauge", "") if name in _GAUGES else ("counter", "_total")
    about = f"{name.replace('_', ' ')}, as wirebook top --json has it."
    yield from _family(f"wirebook_{part}_{name}{suffix}", kind, about, {"": value})


def _family(name: str, kind: str, about: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield f"{name}{labels} {value}"
