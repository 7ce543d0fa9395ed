"""What no single value of engine.toml can tell: ids, venues, streams and addresses that must differ."""

from __future__ import annotations

from collections.abc import Iterator

from wirebook.config.fields import MAX_STREAMS, MAX_SYMBOLS, show
from wirebook.config.sections import Config, Feed, Transport

Place = tuple[str | int, ...]
"""Where a value is: its keys, and its places in lists."""

_NAME_BYTES = 40
"""Of `venue:INSTRUMENT` on the wire."""


def contradictions(config: Config) -> Iterator[tuple[Place, str]]:
    """Each value that doesn't go with another, with the sentence that says so."""
    transport = config.transport
    if (transport.group, transport.port) == (transport.snapshot_group, transport.snapshot_port):
        yield (
            ("transport", "snapshot_group"),
            f"transport.snapshot_group = {show(transport.snapshot_group)} with port {transport.snapshot_port}"
            " is the address of the incrementals; it must be another group or port",
        )
    if config.af_xdp.send_queue >= 0 and len(config.own_feeds()) > 1:
        yield (
            ("af_xdp", "send_queue"),
            f"af_xdp.send_queue = {config.af_xdp.send_queue} is one process's, and there are"
            f" {len(config.own_feeds())} feeds; set it to -1, or run each feed on a node of its own",
        )
    yield from _lines(transport)
    yield from _feeds(config)


def _feeds(config: Config) -> Iterator[tuple[Place, str]]:
    places = [(n, m) for n, feed in enumerate(config.feed) for m in range(len(feed.symbols))]
    if len(places) > MAX_SYMBOLS:
        n, m = places[MAX_SYMBOLS]
        last = config.feed[n].symbols[m].instrument
        yield (
            ("feed", n, "symbols", m),
            f"the feeds name {len(places)} symbols and a node holds {MAX_SYMBOLS}; take out {last} and those after it",
        )
    if len(config.feed) > MAX_STREAMS:
        yield (
            ("feed", MAX_STREAMS),
            f"there are {len(config.feed)} [[feed]] tables and a book process follows {MAX_STREAMS} streams;"
            " take some out",
        )
    venues: dict[str, str] = {}
    streams: dict[int, str] = {}
    ids: dict[int, str] = {}
    for number, feed in enumerate(config.feed):
        where = f"feed[{number}]"
        if feed.venue in venues and not feed.remote:
            yield (
                ("feed", number, "venue"),
                f"{where}.venue = {show(feed.venue)} is also {venues[feed.venue]}'s;"
                " a node has one feed of a venue, so put the symbols of both into it",
            )
        if feed.stream in streams:
            yield (
                ("feed", number, "stream"),
                f"{where}.stream = {feed.stream} is also {streams[feed.stream]}'s; each feed needs its own number",
            )
        if not feed.remote:
            venues.setdefault(feed.venue, where)
        streams.setdefault(feed.stream, where)
        yield from _symbols(number, feed, ids, config.book.symbols)


def _symbols(number: int, feed: Feed, ids: dict[int, str], most: int) -> Iterator[tuple[Place, str]]:
    """Judge a feed's symbols, and note them by their ids."""
    seen: set[str] = set()
    for place, symbol in enumerate(feed.symbols):
        path: Place = ("feed", number, "symbols", place)
        name = f"{feed.venue}:{symbol.instrument}"
        if symbol.instrument in seen:
            yield (*path, "instrument"), f"feed[{number}].symbols names {symbol.instrument} twice; take one out"
        if len(name.encode()) > _NAME_BYTES:
            yield (
                (*path, "instrument"),
                f"feed[{number}].symbols names {symbol.instrument}, and {name} has {len(name.encode())} bytes in UTF-8;"
                f" a name has {_NAME_BYTES} at most: take it out",
            )
        if symbol.id in ids:
            yield (*path, "id"), f"the id {symbol.id} of {name} is also that of {ids[symbol.id]}; each needs its own"
        if symbol.id >= most:
            yield (
                (*path, "id"),
                f"the id {symbol.id} of {name} must be less than book.symbols = {most};"
                " raise book.symbols or lower the id",
            )
        seen.add(symbol.instrument)
        ids.setdefault(symbol.id, name)


def _lines(transport: Transport) -> Iterator[tuple[Place, str]]:
    if bool(transport.group_b) != bool(transport.snapshot_group_b):
        missing, there = ("snapshot_group_b", "group_b") if transport.group_b else ("group_b", "snapshot_group_b")
        yield (
            ("transport", there),
            f"transport.{missing} is missing;"
            " line B carries incrementals and snapshots, so give both groups or neither",
        )
    if not transport.group_b:
        return
    port_b = transport.port_b or transport.port
    snapshot_port_b = transport.snapshot_port_b or transport.snapshot_port
    if (transport.group_b, port_b) == (transport.snapshot_group_b, snapshot_port_b):
        yield (
            ("transport", "snapshot_group_b"),
            f"transport.snapshot_group_b = {show(transport.snapshot_group_b)} with port {snapshot_port_b}"
            " is the address of line B's incrementals; it must be another group or port",
        )
    if transport.interface_b not in ("", transport.interface):
        return
    line_a = {(transport.group, transport.port), (transport.snapshot_group, transport.snapshot_port)}
    for key, group, port in (
        ("group_b", transport.group_b, port_b),
        ("snapshot_group_b", transport.snapshot_group_b, snapshot_port_b),
    ):
        if group and (group, port) in line_a:
            yield (
                ("transport", key),
                f"transport.{key} = {show(group)} with port {port} is line A's on the same interface;"
                " it must be another group, port or interface_b",
            )
