"""`wirebook top`: the market cache in a terminal, as JSON, or for an exporter."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from typing import Any, Final

from wirebook import config as configuration
from wirebook import status
from wirebook.config import Config
from wirebook.core.books.books import State
from wirebook.core.market.latency import LONGEST_NS, Stage
from wirebook.core.market.view import MarketView, Symbol, Top
from wirebook.core.transport.base import Stamp
from wirebook.core.wire.records import Reason
from wirebook.errors import UserError
from wirebook.metrics import exposition

_REFRESH_SECONDS: Final = 0.5

_COLOURS: Final = {State.LIVE: "32", State.STALE: "31", State.EMPTY: "90"}
_HEADING: Final = (
    f"{'SYMBOL':<24} {'STATE':<18} {'BID SIZE':>16} {'BID':>14} {'ASK':>14} {'ASK SIZE':>16} {'EVENTS/S':>9} {'AGE':>8}"
    f" {'STAMP':>8}"
)


def main(options: argparse.Namespace) -> int:
    """Show the books as the command line asks."""
    config = configuration.load(options.config)
    if options.metrics:
        metrics(config)
    else:
        run(config, once=options.once, as_json=options.json)
    return 0


def run(config: Config, *, once: bool, as_json: bool) -> None:
    """Show the books of `config.market.path`: one time, or until interrupted. JSON is one object a line."""
    view = MarketView(config.market.path)
    if once:
        print(json.dumps(_json(view)) if as_json else "\n".join(_table(view, {}, 1.0) + _stages(view)))
        return
    live = not as_json and sys.stdout.isatty()
    if live:
        sys.stdout.write("\x1b[?25l\x1b[2J")  # hide the cursor, clear the screen
    try:
        _follow(view, as_json, live)
    finally:
        if live:
            sys.stdout.write("\x1b[?25h\x1b[0m\n")


def metrics(config: Config) -> None:
    """Print what an exporter reads, once."""
    view = MarketView(config.market.path)
    sys.stdout.write(exposition(view, _transport(view)))


def _follow(view: MarketView, as_json: bool, live: bool) -> None:
    before: dict[int, int] = {}
    then = time.monotonic()
    while True:
        if not view.alive:
            _attach_again(view)
        now = time.monotonic()
        if as_json:
            print(json.dumps(_json(view)), flush=True)
        else:
            books, stages = _table(view, before, max(now - then, 0.001)), _stages(view)
            sys.stdout.write(_screen(books, stages) if live else "\n".join(books + stages) + "\n")
            sys.stdout.flush()
        before, then = {symbol.number: symbol.events for symbol in view.defined()}, now
        time.sleep(_REFRESH_SECONDS)


def _attach_again(view: MarketView) -> None:
    """A book process that was restarted with another number of symbols writes a new file."""
    try:
        view.attach()
    except UserError:  # not there yet: what is mapped goes on being shown, as stale
        return


def decimal(value: int | None, decimals: int) -> str | None:
    """An integer in units of 10^-decimals as exact text, such as "123.45" for 12345 and 2."""
    if value is None:
        return None
    digits = str(abs(value)).rjust(decimals + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits


def _reason(number: int) -> str | None:
    if number == Reason.NO_REASON:
        return None
    names = {int(reason): reason.name or "" for reason in Reason}
    return names.get(number, str(number)).lower().replace("_", " ")


def _crossed(top: Top) -> bool:
    """Whether the best bid isn't below the best ask."""
    return top.bid_price is not None and top.ask_price is not None and top.bid_price >= top.ask_price


def _stamp(stamp: Stamp) -> str:
    return stamp.name.removeprefix("STAMP_").lower() if stamp.name else str(int(stamp))


def _json(view: MarketView) -> dict[str, Any]:
    return {
        "alive": view.alive,
        "start_ns": view.start_ns,
        "symbols": [_json_symbol(symbol, view.top(symbol.number), time.time_ns()) for symbol in view.defined()],
        "metrics": view.metrics(),
        "latency_ns": {stage.name: _json_stage(stage) for stage in view.latency()},
        "transport": _transport(view),
    }


def _json_symbol(symbol: Symbol, top: Top, now: int) -> dict[str, Any]:
    return {
        "symbol": symbol.number,
        "name": symbol.name,
        "state": top.state.name,
        "reason": _reason(top.reason),
        "update_id": top.update_id,
        "bid_price": decimal(top.bid_price, symbol.price_decimals),
        "bid_quantity": decimal(top.bid_quantity, symbol.quantity_decimals),
        "ask_price": decimal(top.ask_price, symbol.price_decimals),
        "ask_quantity": decimal(top.ask_quantity, symbol.quantity_decimals),
        "exchange_ns": top.exchange_ns,
        "receive_ns": top.receive_ns,
        "publish_ns": top.publish_ns,
        "stamp": _stamp(top.stamp),
        "arrival_ns": top.arrival_ns,
        "crossed": _crossed(top),
        "age_seconds": round((now - top.receive_ns) / 1e9, 3) if top.receive_ns else None,
        "events": symbol.events,
    }


def _json_stage(stage: Stage) -> dict[str, int | None]:
    percentiles = {"p50": stage.p50, "p99": stage.p99, "p99.9": stage.p999}
    return {
        "packets": stage.packets,
        "negative": stage.negative,
        **{name: None if _beyond(ns) else ns for name, ns in percentiles.items()},
    }


def _beyond(ns: int | None) -> bool:
    """Whether a percentile is past the histogram's end: that is no figure, but old messages or a wrong clock."""
    return ns is not None and ns >= LONGEST_NS


def _stages(view: MarketView) -> list[str]:
    """How long each stage took since the writer's start."""
    heading = f"{'LATENCY, µs':<24} {'PACKETS':>12} {'P50':>12} {'P99':>12} {'P99.9':>12}"
    return ["", heading, *map(_stage, view.latency())]


def _stage(stage: Stage) -> str:
    percentiles = (stage.p50, stage.p99, stage.p999)
    times = [f"{'-' if ns is None or _beyond(ns) else format(ns / 1000, ',.1f'):>12}" for ns in percentiles]
    # With a venue or a host whose clock is ahead of ours, what is left says nothing.
    notes = f"  {stage.negative} below 0: the clocks differ" if stage.negative else ""
    if any(map(_beyond, percentiles)):
        notes += "  over 36 minutes: messages of a capture, or a wrong clock"
    return f"{stage.name.replace('_', ' '):<24} {stage.packets:>12} {' '.join(times)}{notes}"


def _table(view: MarketView, before: dict[int, int], seconds: float) -> list[str]:
    """The heading and a line for each symbol, the busiest first."""
    rows = []
    now = time.time_ns()
    for symbol in view.defined():
        rate = (symbol.events - before.get(symbol.number, symbol.events)) / seconds
        rows.append((rate, symbol, view.top(symbol.number)))
    rows.sort(key=lambda row: (-row[0], row[1].number))
    live = sum(top.state is State.LIVE for _, _, top in rows)
    metrics = view.metrics()
    writer = "running" if view.alive else "STOPPED"
    summary = (
        f"wirebook book {writer} · {live} of {len(rows)} books live · "
        f"{metrics['packets']} packets · {metrics['gaps']} gaps · {metrics['kernel_drops']} drops"
    )
    if metrics["line_b_packets"]:
        summary += f" · line A lost {metrics['line_a_lost']}, line B {metrics['line_b_lost']}"
    return [summary, *_transport_line(view), _HEADING, *(_row(symbol, top, rate, now) for rate, symbol, top in rows)]


def _transport(view: MarketView) -> dict[str, Any]:
    """What the book process says of its transport; empty when it says nothing."""
    return status.read(view.path, status.TRANSPORT)


def _transport_line(view: MarketView) -> list[str]:
    """What an operator should know of the transport: only what isn't plain UDP."""
    said = _transport(view)
    if said.get("fell_back"):
        return [f"FALLBACK to {said['kind']}, {said['asked']} is not available: {said['fell_back']}"]
    if said.get("kind") != "af_xdp":
        return []
    counted = ", ".join(
        f"{name.removeprefix('xdp_').replace('_', ' ')} {value}"
        for name, value in said.items()
        if value and (name.startswith("xdp_") or name in ("bad_udp_checksum", "malformed"))
    )
    return [f"af_xdp on {said['how']}: {counted}"]


def _row(symbol: Symbol, top: Top, rate: float, now: int) -> str:
    reason = _reason(top.reason)
    state = f"{top.state.name} {reason}" if reason else top.state.name
    if top.state is State.LIVE and _crossed(top):
        state += " crossed"
    bid, ask = (decimal(price, symbol.price_decimals) or "-" for price in (top.bid_price, top.ask_price))
    bids, asks = (decimal(size, symbol.quantity_decimals) or "-" for size in (top.bid_quantity, top.ask_quantity))
    return (
        f"{symbol.name:<24} {state:<18} {bids:>16} {bid:>14} {ask:>14} {asks:>16} "
        f"{rate:>9.0f} {_age(top.publish_ns, now):>8} {_stamp(top.stamp) if top.publish_ns else '-':>8}"
    )


def _age(then: int, now: int) -> str:
    if then == 0:
        return "-"
    milliseconds = max(now - then, 0) // 1_000_000
    return f"{milliseconds} ms" if milliseconds < 10_000 else f"{milliseconds // 1000} s"


def _screen(books: list[str], stages: list[str]) -> str:
    """What fits on the terminal, from its upper left corner, with coloured states. Other books are left out."""
    width, height = shutil.get_terminal_size()
    shown = [line[:width] for line in books[: max(height - 1 - len(stages), 3)]]
    for state, colour in _COLOURS.items():
        shown[2:] = [line.replace(f" {state.name}", f" \x1b[{colour}m{state.name}\x1b[0m", 1) for line in shown[2:]]
    lines = [*shown, *(line[:width] for line in stages)][: height - 1]
    return "\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J"
