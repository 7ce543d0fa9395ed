"""By which interfaces a host is reached, asked of this machine's kernel in a network namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from ansible_collections.wirebook.node.tests.unit.support.paths import COLLECTIONS

TWO = "".join(f"ip link add e{n} type veth peer name p{n}; ip link set e{n} up; ip link set p{n} up;" for n in (0, 1))
ADDRESSES = "ip addr add 10.0.0.2/24 dev e0; ip addr add 10.0.1.2/24 dev e1;"
SIX = "ip addr add 2001:db8::2/64 dev e0 nodad; ip addr add 2001:db8:1::2/64 dev e1 nodad;"
ASK = """
import json
from pathlib import Path
from ansible_collections.wirebook.node.plugins.module_utils.topology import reach
root = Path("/")
print(json.dumps([sorted(reach.default_route_interfaces(root)), sorted(reach.ssh_interfaces(root))]))
"""


def ask(commands: str, connection: str = "") -> list[list[str]]:
    """Return the interfaces of default routes and of the SSH session, after these commands in an empty namespace."""
    script = f'set -e; ip link set lo up; {TWO} {commands} exec "$0" -c "$1"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, sys.executable, ASK],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(COLLECTIONS)} | ({"SSH_CONNECTION": connection} if connection else {}),
    )
    if any(word in done.stderr for word in ("unshare failed", "Unknown device type", "Device does not exist")):
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return [list(names) for names in json.loads(done.stdout)]


@pytest.mark.parametrize(
    ("commands", "carriers"),
    [
        pytest.param("", [], id="none"),
        pytest.param(f"{ADDRESSES} ip route add default via 10.0.0.1;", ["e0"], id="one"),
        pytest.param(f"{ADDRESSES} ip route add default via 10.0.1.1 table 100;", ["e1"], id="of another table"),
        pytest.param(
            f"{ADDRESSES} ip route add default nexthop via 10.0.0.1 nexthop via 10.0.1.1;", ["e0", "e1"], id="ECMP"
        ),
        pytest.param(
            f"{ADDRESSES} ip nexthop add id 1 via 10.0.0.1 dev e0; ip nexthop add id 2 via 10.0.1.1 dev e1;"
            "ip nexthop add id 3 group 1/2; ip route add default nhid 3;",
            ["e0", "e1"],
            id="a group of next hops",
        ),
        pytest.param(
            f"ip link add mgmt type vrf table 10; ip link set mgmt up; ip link set e1 master mgmt; {ADDRESSES}"
            "ip route add default via 10.0.1.1 vrf mgmt;",
            ["e1"],
            id="VRF",
        ),
        pytest.param(
            f"{SIX} ip route add default nexthop via 2001:db8::1 nexthop via 2001:db8:1::1;", ["e0", "e1"], id="IPv6"
        ),
        pytest.param(f"{ADDRESSES} ip route add unreachable default; ip route add 10.0.0.0/8 dev e1;", [], id="no way"),
    ],
)
def test_default_routes_of_all_tables_and_next_hops(commands: str, carriers: list[str]) -> None:
    assert ask(commands)[0] == carriers


@pytest.mark.parametrize(
    ("commands", "connection", "carriers"),
    [
        pytest.param(ADDRESSES, "10.0.1.9 40000 10.0.1.2 22", ["e1"], id="of its network"),
        pytest.param(
            f"{ADDRESSES} ip route add 192.0.2.0/24 via 10.0.0.1;", "192.0.2.9 40000 10.0.1.2 22", ["e0", "e1"],
            id="in by one, out by the other",
        ),
        pytest.param(
            f"{ADDRESSES} ip addr add 198.51.100.7/32 dev lo;"
            "ip route add 192.0.2.0/24 nexthop via 10.0.0.1 nexthop via 10.0.1.1;",
            "192.0.2.9 40000 198.51.100.7 22", ["e0", "e1", "lo"], id="an address of the host, ECMP",
        ),
        pytest.param(
            f"{ADDRESSES} ip rule add from 10.0.1.2 table 100; ip route add default via 10.0.1.1 table 100;"
            "ip route add default via 10.0.0.1;",
            "192.0.2.9 40000 10.0.1.2 22", ["e1"], id="source routing",
        ),
        pytest.param(SIX, "2001:db8:1::9 40000 2001:db8:1::2 22", ["e1"], id="IPv6"),
        pytest.param(ADDRESSES, "UNKNOWN 40000 UNKNOWN 22", [], id="not told"),
    ],
)  # fmt: skip
def test_the_ssh_sessions_address_and_the_way_of_its_answers(
    commands: str, connection: str, carriers: list[str]
) -> None:
    assert ask(commands, connection)[1] == carriers
