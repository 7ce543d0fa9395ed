"""What `make suggest` takes from the inventory, which may say nothing yet."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.plugins.loader import init_plugin_loader
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES
from ansible_collections.wirebook.node.tests.unit.support.render_roles import Role

FEEDS: list[dict[str, Any]] = [{"venue": "okx"}, {"venue": "binance"}, {"venue": "okx"}]


@pytest.fixture(scope="module")
def role() -> Role:
    init_plugin_loader()
    return Role(ROLES / "topology")


@pytest.mark.parametrize(
    ("inventory", "asked"),
    [
        ({}, {"services": ["book"], "arena_mb": 256, "transport": {}}),
        ({"feed_engine_feeds": FEEDS}, {"services": ["book", "feed-okx", "feed-binance"]}),
        # What comes by multicast from another host runs there.
        ({"feed_engine_feeds": [FEEDS[0] | {"remote": True}, FEEDS[1]]}, {"services": ["book", "feed-binance"]}),
        ({"feed_engine_feeds": FEEDS[:1], "feed_engine_sim": True}, {"services": ["book", "feed-okx", "sim"]}),
        (
            {
                "feed_engine_settings": {"memory": {"arena_mb": 512}, "transport": {"interface": "a"}},
                "feed_engine_host_settings": {"transport": {"interface_b": "b"}},
            },
            {"arena_mb": 512, "transport": {"interface": "a", "interface_b": "b"}},
        ),
    ],
)
def test_services_and_settings_are_the_engines(role: Role, inventory: dict[str, Any], asked: dict[str, Any]) -> None:
    known = inventory | {"inventory_hostname": "colo1", "__topology_facts": {"host": {}}}
    (found,) = role.render(role.calls("topology_suggestion"), known)
    assert {name: found[name] for name in asked} == asked
