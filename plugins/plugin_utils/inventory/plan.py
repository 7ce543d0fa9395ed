"""A host drawn as a deploy would make it, from its saved facts: it need not be reachable, nor be there yet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as File
from typing import Any

from ansible_collections.wirebook.node.plugins.module_utils.topology.drawing import draw
from ansible_collections.wirebook.node.plugins.module_utils.topology.model import Host

from .fleet import Node
from .host_rules import wish_of
from .places import shown


def drawing(node: Node, facts: Mapping[str, Any], file: File) -> Iterator[str]:
    """Yield the lines of a host's drawing, and where its facts are; its inventory must have been found right."""
    wish = wish_of(node)
    if wish is not None:
        yield from draw(node.name, wish, Host.from_facts(dict(facts)))
    yield ""
    yield f"drawn from {shown(str(file))}: `make facts HOST={node.name}` reads the host anew"
