"""Checks across several values of engine.toml: ids, venues, streams and addresses that must differ."""

from __future__ import annotations

from wirebook.config.fields import MAX_STREAMS, MAX_SYMBOLS, show
from wirebook.config.sections import Config, Transport
from wirebook.errors import UserError


def check(config: Config) -> None:
    """Refuse ids, venues, streams and addresses that are the same although they must differ."""
    transport = config.transport
    if (transport.group, transport.port) == (transport.snapshot_group, transport.snapshot_port):
        raise UserError(
            f"transport.snapshot_group = {show(transport.snapshot_group)} with port {transport.snapshot_port}"
            " is the address of the incrementals; it must be another group or port"
        )
    if config.af_xdp.send_queue >= 0 and len(config.own_feeds()) > 1:
        raise UserError(
            f"af_xdp.send_queue = {config.af_xdp.send_queue} is one process's, and there are"
            f" {len(config.own_feeds())} feeds; set it to -1, or run each feed on a node of its own"
        )
    _check_lines(transport)
    venues: dict[str, str] = {}
    streams: dict[int, str] = {}
    if len(config.feed) > MAX_STREAMS:
        raise UserError(
            f"there are {len(config.feed)} [[feed]] tables and a book process follows {MAX_STREAMS} streams;"
            " take some out"
        )
    ids: dict[int, str] = {}
    total = sum(len(feed.symbols) for feed in config.feed)
    if total > MAX_SYMBOLS:
        last = [symbol.instrument for feed in config.feed for symbol in feed.symbols][MAX_SYMBOLS]
        raise UserError(
            f"the feeds name {total} symbols and a node holds {MAX_SYMBOLS}; take out {last} and those after it"
        )
    for number, feed in enumerate(config.feed):
        where = f"feed[{number}]"
        if not feed.remote:
            if feed.venue in venues:
                raise UserError(
                    f"{where}.venue = {show(feed.venue)} is also {venues[feed.venue]}'s; a venue has one feed on a node"
                )
            venues[feed.venue] = where
        if feed.stream in streams:
            raise UserError(
                f"{where}.stream = {feed.stream} is also {streams[feed.stream]}'s; each feed needs its own number"
            )
        streams[feed.stream] = where
        seen: set[str] = set()
        for symbol in feed.symbols:
            name = f"{feed.venue}:{symbol.instrument}"
            if symbol.instrument in seen:
                raise UserError(f"{where}.symbols names {symbol.instrument} twice; take one out")
            seen.add(symbol.instrument)
            if symbol.id in ids:
                raise UserError(f"the id {symbol.id} of {name} is also that of {ids[symbol.id]}; each needs its own")
            ids[symbol.id] = name
            if symbol.id >= config.book.symbols:
                raise UserError(
                    f"the id {symbol.id} of {name} must be less than book.symbols = {config.book.symbols};"
                    " raise book.symbols or lower the id"
                )


def _check_lines(transport: Transport) -> None:
    if bool(transport.group_b) != bool(transport.snapshot_group_b):
        missing = "snapshot_group_b" if transport.group_b else "group_b"
        raise UserError(
            f"transport.{missing} is missing; line B carries incrementals and snapshots, so give both groups or neither"
        )
    if not transport.group_b:
        return
    port_b = transport.port_b or transport.port
    snapshot_port_b = transport.snapshot_port_b or transport.snapshot_port
    if (transport.group_b, port_b) == (transport.snapshot_group_b, snapshot_port_b):
        raise UserError(
            f"transport.snapshot_group_b = {show(transport.snapshot_group_b)} with port {snapshot_port_b}"
            " is the address of line B's incrementals; it must be another group or port"
        )
    if transport.interface_b not in ("", transport.interface):
        return
    line_a = {(transport.group, transport.port), (transport.snapshot_group, transport.snapshot_port)}
    for key, group, port in (
        ("group_b", transport.group_b, port_b),
        ("snapshot_group_b", transport.snapshot_group_b, snapshot_port_b),
    ):
        if (group, port) in line_a:
            raise UserError(
                f"transport.{key} = {show(group)} with port {port} is line A's on the same interface;"
                " it must be another group, port or interface_b"
            )
