"""Groups and lines: what is multicast, and which addresses must differ."""

from __future__ import annotations

import pytest

from wirebook.config import parse
from wirebook.errors import UserError

KEYS = ("group", "snapshot_group", "group_b", "snapshot_group_b")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("address", ["224.0.1.0", "232.1.2.3", "239.255.255.255"])
def test_every_multicast_group_is_taken(key: str, address: str) -> None:
    table = {"group_b": "239.1.1.1", "snapshot_group_b": "239.1.1.2", key: address}
    assert getattr(parse({"transport": table}).transport, key) == address


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "address",
    ["223.255.255.255", "224.0.0.255", "240.0.0.0", "240.1.2.3", "255.255.255.255", "239.1.1.256", "239.1.1", "::1"],
)
def test_what_is_no_group_is_refused_on_either_line(key: str, address: str) -> None:
    table = {"group_b": "239.1.1.1", "snapshot_group_b": "239.1.1.2", key: address}
    with pytest.raises(UserError, match=rf"transport\.{key} = .* must be an IPv4 multicast address") as caught:
        parse({"transport": table})
    assert address in str(caught.value)


LINE_A = {"group": "239.1.1.1", "port": 17001, "snapshot_group": "239.1.1.2", "snapshot_port": 17002}


@pytest.mark.parametrize("taken", [("239.1.1.1", 17001), ("239.1.1.2", 17002)])
@pytest.mark.parametrize(("key", "port"), [("group_b", "port_b"), ("snapshot_group_b", "snapshot_port_b")])
def test_neither_channel_of_line_b_may_have_an_address_of_line_a(key: str, port: str, taken: tuple[str, int]) -> None:
    """On the same interface: it would be received twice, and lost twice."""
    table = {**LINE_A, "group_b": "239.1.1.3", "snapshot_group_b": "239.1.1.4", key: taken[0], port: taken[1]}
    with pytest.raises(UserError, match=rf'transport\.{key} = "{taken[0]}" with port {taken[1]} is line A\'s'):
        parse({"transport": table})
    assert parse({"transport": {**table, "interface_b": "eth1"}}).transport.interface_b == "eth1"
    assert parse({"transport": {**table, port: 18000}})
