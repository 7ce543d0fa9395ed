"""Outputs of ethtool for NICs that few machines have, in the forms that its source prints for the drivers named.

Rules: rxclass.c of ethtool 6.1 and 6.14, with the fields that ixgbe, ice and mlx5 fill. Tables, flags and numbers: the
kernel's own lists of each driver (ixgbe_ethtool.c, ice_ethtool.c, mlx5/core/en_ethtool.c, igb_ethtool.c).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.doctor import ethtool
from ansible_collections.wirebook.node.plugins.module_utils.doctor.ethtool import Setting
from ansible_collections.wirebook.node.plugins.module_utils.doctor.host import Host
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree


class Nic:
    """An interface of which ethtool says what was given to it, and nothing else."""

    def __init__(self, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tree = tree
        self.monkeypatch = monkeypatch

    def says(self, option: str, text: str) -> Host:
        self.tree.write("/said", text)
        self.tree.install("ethtool", f'[ "$*" = "{option} eth4" ] && exec cat {self.tree.root}/said; exit 76')
        self.monkeypatch.setenv("PATH", self.tree.environment["PATH"])
        return Host(self.tree.root)


@pytest.fixture
def nic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nic:
    return Nic(Tree(tmp_path), monkeypatch)


def rule(
    number: int = 0,
    kind: str = "UDP over IPv4",
    source: str = "0.0.0.0 mask: 255.255.255.255",
    destination: str = "239.192.7.1 mask: 0.0.0.0",
    port: str = "17001 mask: 0x0",
    more: str = "",
    action: str = "Direct to queue 3",
) -> str:
    """Return a rule as rxclass.c prints it; mlx5 and ice print this much."""
    return (
        f"Filter: {number}\n\tRule Type: {kind}\n\tSrc IP addr: {source}\n\tDest IP addr: {destination}\n"
        f"\tTOS: 0x0 mask: 0xff\n\tSrc port: 0 mask: 0xffff\n\tDest port: {port}\n{more}\tAction: {action}\n\n"
    )


# ixgbe takes all rules with the masks of the first, and prints the extended fields for each.
IXGBE = "\tVLAN EtherType: 0x0 mask: 0xffff\n\tVLAN: 0x0 mask: 0xffff\n\tUser-defined: 0x0 mask: 0xffffffffffffffff\n"


class TestFlowRules:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            pytest.param(rule(1023), {1023: ("udp4", "239.192.7.1", 17001, 3)}, id="ice, mlx5"),
            pytest.param(rule(2045, more=IXGBE), {2045: ("udp4", "239.192.7.1", 17001, 3)}, id="ixgbe"),
            pytest.param(
                rule(0, destination="0.0.0.0 mask: 255.255.255.255"), {0: ("udp4", "any", 17001, 3)}, id="any group"
            ),
            pytest.param(
                rule(0) + rule(1, port="17002 mask: 0x0", action="Direct to queue 0"),
                {0: ("udp4", "239.192.7.1", 17001, 3), 1: ("udp4", "239.192.7.1", 17002, 0)},
                id="two",
            ),
            pytest.param("", {}, id="none"),
            pytest.param(rule(source="10.0.0.1 mask: 0.0.0.0"), {}, id="of one source only"),
            pytest.param(rule(destination="239.192.0.0 mask: 0.0.255.255"), {}, id="of many groups"),
            pytest.param(rule(port="0 mask: 0xffff"), {}, id="of all ports"),
            pytest.param(rule(port="16384 mask: 0x3fff"), {}, id="of a range of ports"),
            pytest.param(rule(more="\tVLAN EtherType: 0x0 mask: 0xffff\n\tVLAN: 0x7 mask: 0x0\n"), {}, id="of a VLAN"),
            pytest.param(rule(kind="TCP over IPv4"), {}, id="of TCP"),
            pytest.param(rule(action="Drop"), {}, id="a drop"),
            pytest.param(rule(action="Direct to VF 7 queue 3"), {}, id="to a VF"),
            pytest.param(rule(more="\tRSS Context ID: 1\n"), {}, id="to an RSS context, ethtool 6.1"),
            pytest.param(rule(action="Direct to RSS Context 1 (queue base offset: 3)"), {}, id="to an RSS context"),
            pytest.param(
                # All that igb can: addresses, types and VLANs of Ethernet.
                "Filter: 15\n\tFlow Type: Raw Ethernet\n\tSrc MAC addr: 00:00:00:00:00:00 mask: FF:FF:FF:FF:FF:FF\n"
                "\tDest MAC addr: 01:00:5E:40:07:01 mask: 00:00:00:00:00:00\n\tEthertype: 0x0 mask: 0xFFFF\n"
                "\tAction: Direct to queue 1\n",
                {},
                id="igb",
            ),
        ],
    )
    def test_those_that_direct_a_group_and_a_port_to_a_queue(
        self, nic: Nic, text: str, found: dict[int, ethtool.Rule]
    ) -> None:
        host = nic.says("-n", f"8 RX rings available\nTotal {len(found)} rules\n\n{text}")
        assert ethtool.flow_rules(host, "eth4") == found

    def test_one_that_leads_elsewhere_contradicts(self) -> None:
        found = {1: ("udp4", "239.192.7.1", 17001, 0), 2: ("udp4", "239.192.7.2", 17001, 0)}
        assert ethtool.contradicting(found, {("udp4", "239.192.7.1", 17001, 1)}) == [1]
        assert ethtool.contradicting(found, found.values()) == []


class TestIndirection:
    KEY = "RSS hash key:\n6d:5a:56:da:25:5b:0e:c2\nRSS hash function:\n    toeplitz: on\n    xor: off\n    crc32: off\n"

    @pytest.mark.parametrize(
        ("lines", "queues"),
        [
            pytest.param(["    0:      0     1     2     3     4     5     6     7"], 8, id="mlx5"),
            pytest.param(["    0:      0     0     0     0     0     0     0     0"] * 16, 1, id="ice, equal 1"),
            # 63 rings, but its table has four bits for a queue.
            pytest.param(
                [
                    "    0:     0     1     2     3     4     5     6     7",
                    "  120:     8     9    10    11    12    13",
                ],
                14,
                id="ixgbe",
            ),
        ],
    )
    def test_over_how_many_queues_it_spreads(self, nic: Nic, lines: list[str], queues: int) -> None:
        table = "RX flow hash indirection table for eth4 with 63 RX ring(s):\n" + "\n".join(lines)
        assert ethtool.settings(nic.says("-x", f"{table}\n{self.KEY}"), "eth4") == {"rss-queues": Setting(queues)}

    def test_igb_tells_no_key(self, nic: Nic) -> None:
        table = "RX flow hash indirection table for eth4 with 4 RX ring(s):\n    0:      0     0     1     1\n"
        host = nic.says("-x", f"{table}RSS hash key:\nOperation not supported\n")
        assert ethtool.settings(host, "eth4") == {"rss-queues": Setting(2)}


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        pytest.param("legacy-rx: off\n", {"legacy-rx": False}, id="igb"),
        pytest.param(
            "legacy-rx    : off\nvf-ipsec     : off\nmdd-disable-vf: on\n",
            {"legacy-rx": False, "vf-ipsec": False, "mdd-disable-vf": True},
            id="ixgbe",
        ),
        pytest.param(
            "link-down-on-close     : off\nfw-lldp-agent          : on\nvf-true-promisc-support: off\n",
            {"link-down-on-close": False, "fw-lldp-agent": True, "vf-true-promisc-support": False},
            id="ice",
        ),
        pytest.param(
            "rx_cqe_moder       : on\nrx_cqe_compress    : off\nrx_no_csum_complete: off\n",
            {"rx_cqe_moder": True, "rx_cqe_compress": False, "rx_no_csum_complete": False},
            id="mlx5",
        ),
    ],
)
def test_private_flags(nic: Nic, flags: str, found: dict[str, bool]) -> None:
    host = nic.says("--show-priv-flags", f"Private flags for eth4:\n{flags}")
    assert ethtool.settings(host, "eth4") == {f"flag {name}": Setting(value) for name, value in found.items()}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(
            "RX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t8\n"
            "Current hardware settings:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\t1\nCombined:\t4\n",
            {"channels": Setting(4, 8)},
            id="igb, ixgbe",
        ),
        pytest.param(
            "RX:\t\t16\nTX:\t\t16\nOther:\t\t1\nCombined:\t16\n"
            "Current hardware settings:\nRX:\t\t0\nTX:\t\t0\nOther:\t\t1\nCombined:\t16\n",
            {"channels": Setting(16, 16)},
            id="ice",
        ),
        pytest.param(
            "RX:\t\t8\nTX:\t\t8\nOther:\t\tn/a\nCombined:\tn/a\n"
            "Current hardware settings:\nRX:\t\t8\nTX:\t\t8\nOther:\t\tn/a\nCombined:\tn/a\n",
            {"channels": Setting(8, 8)},
            id="channels of one direction only",
        ),
        pytest.param(
            "RX:\t\t4\nTX:\t\t4\nOther:\t\tn/a\nCombined:\tn/a\n"
            "Current hardware settings:\nRX:\t\t4\nTX:\t\t1\nOther:\t\tn/a\nCombined:\tn/a\n",
            {"channels": Setting(4, 4)},
            id="tg3",
        ),
        pytest.param(
            "RX:\t\t128\nTX:\t\t32\nOther:\t\t0\nCombined:\t0\n"
            "Current hardware settings:\nRX:\t\t8\nTX:\t\t8\nOther:\t\t0\nCombined:\t0\n",
            {"channels": Setting(8, 128)},
            id="mlx4",
        ),
        pytest.param(
            "RX:\t\t37\nTX:\t\t37\nOther:\t\tn/a\nCombined:\t74\n"
            "Current hardware settings:\nRX:\t\t3\nTX:\t\t0\nOther:\t\tn/a\nCombined:\t1\n",
            {"channels": Setting(4, 74)},
            id="bnxt, both kinds at once",
        ),
        pytest.param(
            "RX:\t\tn/a\nTX:\t\tn/a\nOther:\t\tn/a\nCombined:\tn/a\n"
            "Current hardware settings:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\tn/a\nCombined:\tn/a\n",
            {},
            id="none",
        ),
    ],
)
def test_channels(nic: Nic, text: str, found: dict[str, Setting]) -> None:
    host = nic.says("-l", f"Channel parameters for eth4:\nPre-set maximums:\n{text}")
    assert ethtool.settings(host, "eth4") == found


@pytest.mark.parametrize(
    ("most", "now", "words"),
    [
        ((0, 0, 8), (0, 0, 4), "combined 1"),
        ((16, 16, 16), (0, 0, 16), "combined 1"),
        ((37, 37, 74), (3, 0, 1), "combined 1 rx 0"),
        ((37, 37, 74), (3, 2, 1), "combined 1 rx 0 tx 0"),
        ((4, 4, 0), (4, 1, 0), "rx 1 tx 1"),
        ((4, 0, 0), (4, 0, 0), "rx 1"),
    ],
)
def test_what_changes_the_channels(nic: Nic, most: tuple[int, ...], now: tuple[int, ...], words: str) -> None:
    def lines(counts: tuple[int, ...]) -> str:
        return "".join(f"{name}:\t\t{n}\n" for name, n in zip(("RX", "TX", "Combined"), counts, strict=True))

    text = f"Pre-set maximums:\n{lines(most)}Current hardware settings:\n{lines(now)}"
    host = nic.says("-l", f"Channel parameters for eth4:\n{text}")
    assert ethtool.channel_words(host, "eth4", 1) == words.split()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(
            "Adaptive RX: on  TX: on\nstats-block-usecs:\tn/a\n\nrx-usecs:\t8\nrx-frames:\t128\nrx-usecs-irq:\tn/a\n\n"
            "tx-usecs:\t8\ntx-frames:\t128\n\nCQE mode RX: on  TX: off\n",
            {"rx-usecs": 8, "tx-usecs": 8, "adaptive-rx": True, "adaptive-tx": True},
            id="mlx5",
        ),
        pytest.param(
            "Adaptive RX: on  TX: on\nrx-usecs:\t50\nrx-usecs-high:\t0\n\ntx-usecs:\t50\n",
            {"rx-usecs": 50, "tx-usecs": 50, "adaptive-rx": True, "adaptive-tx": True},
            id="ice",
        ),
        # One timer for both directions: ixgbe tells the transmitter's as 0, igb likewise.
        pytest.param(
            "Adaptive RX: n/a  TX: n/a\nrx-usecs:\t1\nrx-frames:\tn/a\n\ntx-usecs:\t0\ntx-frames:\tn/a\n",
            {"rx-usecs": 1, "tx-usecs": 0},
            id="ixgbe, igb",
        ),
    ],
)
def test_coalescing(nic: Nic, text: str, found: dict[str, int | bool]) -> None:
    host = nic.says("-c", f"Coalesce parameters for eth4:\n{text}")
    assert ethtool.settings(host, "eth4") == {name: Setting(value) for name, value in found.items()}
