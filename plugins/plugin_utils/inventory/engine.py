"""What the feed engine gets to read, as the role feed_engine will write it, judged by the engine's own rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wirebook import config

from .fleet import Node
from .names import instead
from .places import Path, dotted

_SETTINGS, _OWN, _FEEDS = "feed_engine_settings", "feed_engine_host_settings", "feed_engine_feeds"


def settings(node: Node) -> dict[str, Any]:
    """Return the fleet's settings and over them the host's, as topology_engine_settings."""
    merged = _tables(node.get(_SETTINGS, {}))
    for name, table in _tables(node.get(_OWN, {})).items():
        merged[name] = (
            {**merged[name], **table} if isinstance(table, dict) and isinstance(merged.get(name), dict) else table
        )
    return merged


def hears(node: Node, other: Node) -> bool:
    """Whether a host gets the packets of another, as roles/feed_engine/templates/neighbours.yml.j2 has it."""
    mine, theirs = _way(node), _way(other)
    return node is not other and "lo" not in (mine[0], theirs[0]) and mine[1] == theirs[1]


def _way(node: Node) -> tuple[Any, Any]:
    """Return by which interface, and to which group, a host sends."""
    transport = settings(node).get("transport")
    keys = transport if isinstance(transport, dict) else {}
    return keys.get("interface", "lo"), keys.get("group", config.Transport().group)


def _tables(value: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): dict(table) if isinstance(table, Mapping) else table for name, table in value.items()}


def feeds(node: Node) -> list[dict[str, Any]]:
    """Return the feeds that are written as tables, with their places in the list noted."""
    return [dict(feed) for feed in node.get(_FEEDS, []) if isinstance(feed, Mapping)]


def document(node: Node) -> dict[str, Any]:
    """Return engine.toml, as roles/feed_engine/templates/engine.toml.j2 writes it. CPUs are the topology's business."""
    defaults: dict[str, Any] = {"node": {"name": node.name}, "transport": {"kind": "udp", "interface": "lo"}}
    table: dict[str, Any] = settings(node)
    for name, values in defaults.items():
        if isinstance(table.get(name, {}), dict):
            table[name] = {**values, **table.get(name, {})}
    table["feed"] = [_feed(feed, place) for place, feed in enumerate(feeds(node))]
    return table


def _feed(feed: dict[str, Any], place: int) -> dict[str, Any]:
    table = {"stream": place + 1, **feed}
    symbols = table.get("symbols")
    if isinstance(symbols, list):
        table["symbols"] = [_symbol(symbol) for symbol in symbols]
    return table


def _symbol(symbol: Any) -> Any:
    """Return a symbol as the template writes it: its id as it stands, without quotes, and only these two keys."""
    if not isinstance(symbol, Mapping):
        return symbol
    kept = {key: symbol[key] for key in ("id", "instrument") if key in symbol}
    if isinstance(kept.get("id"), str) and kept["id"].isdecimal():
        kept["id"] = int(kept["id"])
    return kept


def faults(node: Node) -> Iterator[tuple[Path, str]]:
    """Yield what the engine would refuse: where the inventory says it, and a sentence."""
    for place, said in _judged(node):
        path, told = variable_of(node, place), dotted(place)
        sentence = said.removeprefix(f"{told} = ").replace("feed[", f"{_FEEDS}[") + "."
        if said.startswith(f"{told} = ") and "must be a table" in said:
            yield path, "it must be a table of keys: write {KEY: VALUE}."
        elif len(place) == 1 and place[0] != "feed":
            yield path, f"engine.toml has no table {place[0]}: {instead(str(place[0]), sorted(_TABLES))}."
        elif "is not a key that wirebook knows" in said:
            yield path, f"engine.toml has no key {place[-1]} here: {instead(str(place[-1]), _keys(place))}."
        else:
            yield path, sentence


_TABLES = {"node", "memory", "transport", "af_xdp", "book", "market"}


def _keys(place: tuple[str | int, ...]) -> list[str]:
    """Return the keys that may stand at a place."""
    classes = {
        "node": config.Node, "memory": config.Memory, "transport": config.Transport, "af_xdp": config.AfXdp,
        "book": config.Book, "market": config.Market, "feed": config.Symbol if "symbols" in place else config.Feed,
    }  # fmt: skip
    return list(classes[str(place[0])].__annotations__)


def variable_of(node: Node, place: tuple[str | int, ...]) -> Path:
    """Return the variable that sets a key of engine.toml for a host."""
    if place[0] == "feed":
        return (_FEEDS, *place[1:])
    for variable in (_OWN, _SETTINGS):
        if node.at((variable, *place)) is not None:
            return (variable, *place)
    return (_SETTINGS, *place)


def _judged(node: Node) -> list[tuple[Path, str]]:
    """Return the engine's own faults, looked for once."""
    if node.engine is None:
        node.engine = list(config.faults(document(node)))
    return node.engine


def built(node: Node) -> config.Config | None:
    """Return what the engine will read; None where it would refuse it."""
    return None if _judged(node) else config.parse(document(node))
