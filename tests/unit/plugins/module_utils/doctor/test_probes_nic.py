"""Probes of NICs, with what ethtool 6.1 and 6.14 print."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.doctor import host, netdev
from ansible_collections.wirebook.node.plugins.module_utils.doctor.knobs import Knob
from ansible_collections.wirebook.node.plugins.module_utils.doctor.probes_nic import probe_xdp_features
from ansible_collections.wirebook.node.tests.unit.support.tree import Tree

RINGS = """Ring parameters for enp0s4:
Pre-set maximums:
RX:		4096
RX Mini:	n/a
TX:		4096
Current hardware settings:
RX:		256
RX Mini:	n/a
TX:		4096
"""
COALESCING = "Adaptive RX: n/a  TX: off\nrx-usecs:\t3\nrx-frames:\tn/a\n\ntx-usecs:\t0\n"
CHANNELS = """Channel parameters for enp0s4:
Pre-set maximums:
Combined:	4
Current hardware settings:
Combined:	1
"""
TABLE = "RX flow hash indirection table for enp0s4 with 4 RX ring(s):\n    0: 0 0 1 1\n    8: 0 1\n"
RULES = """4 RX rings available
Total 1 rules

Filter: 1023
	Rule Type: UDP over IPv4
	Src IP addr: 0.0.0.0 mask: 255.255.255.255
	Dest IP addr: 239.192.7.1 mask: 0.0.0.0
	Src port: 0 mask: 0xffff
	Dest port: 17001 mask: 0x0
	Action: Direct to queue 1
"""
PRINTS = {
    "-g": RINGS,
    "-c": COALESCING,
    "-l": CHANNELS,
    "-x": TABLE,
    "-n": RULES,
    "-T": "Capabilities:\n\thardware-receive\nHardware Receive Filter Modes:\n\tnone\n\tall\n",
    "-i": "driver: igb\nversion: 6.12.117\nfirmware-version: 1.2.3\nbus-info: 0000:00:04.0\n",
    "--show-priv-flags": "Private flags for enp0s4:\nlegacy-rx: off\n",
    "--json -a": json.dumps([{"ifname": "enp0s4", "autonegotiate": True, "rx": True, "tx": False}]),
    "--json -k": json.dumps(
        [
            {
                "ifname": "enp0s4",
                "generic-receive-offload": {"active": True, "fixed": False, "requested": True},
                "large-receive-offload": {"active": False, "fixed": True, "requested": False},
                "ntuple-filters": {"active": True, "fixed": False, "requested": True},
                "highdma": {"active": True, "fixed": True, "requested": False},
            }
        ]
    ),
}


@pytest.fixture
def nic(tmp_path: Path) -> Tree:
    """Return a host with the data NIC enp0s4, of which ethtool says what it says of an igb."""
    tree = Tree(tmp_path)
    tree.write("/sys/bus/pci/devices/0000:00:04.0/net/enp0s4/flags", "0x1003\n")
    cases = []
    for place, (option, text) in enumerate(PRINTS.items()):
        tree.write(f"/prints/{place}", text)
        cases.append(f'"{option} enp0s4") cat {tmp_path}/prints/{place} ;;')
    tree.install("ethtool", 'case "$*" in\n' + "\n".join(cases) + '\n*) echo "netlink error: $*" >&2; exit 76 ;;\nesac')
    tree.install("hwstamp_ctl", 'echo "current settings:\ntx_type 1\nrx_filter 12"')
    return tree


@pytest.mark.parametrize(
    ("setting", "want", "status", "running"),
    [
        ("tx-ring", "max", "PASS", "4096"),
        ("rx-ring", "max", "FAIL", "256"),
        ("tx-ring", 8192, "PASS", "4096"),
        ("rx-usecs", 0, "FAIL", "3"),
        ("tx-usecs", 0, "PASS", "0"),
        ("adaptive-tx", False, "PASS", "off"),
        ("channels", 1, "PASS", "1"),
        ("rx-pause", False, "FAIL", "on"),
        ("tx-pause", False, "PASS", "off"),
        ("rss-queues", 2, "PASS", "2"),
        ("rss-queues", 1, "FAIL", "2"),
        ("flag legacy-rx", True, "FAIL", "off"),
        ("generic-receive-offload", False, "FAIL", "on"),
        ("large-receive-offload", False, "PASS", "off"),
        ("rx-timestamps", True, "FAIL", "off"),
    ],
)
def test_a_setting(nic: Tree, setting: str, want: Any, status: str, running: str) -> None:
    nic.desire({"name": "n", "probe": "nic", "pci": "0000:00:04.0", "setting": setting, "want": want})
    assert (nic.only()["status"], nic.only()["running"]) == (status, running)


@pytest.mark.parametrize(
    ("setting", "want", "reason"),
    [
        ("adaptive-rx", False, "the driver igb of enp0s4 has no adaptive-rx"),
        ("highdma", False, "the driver igb of enp0s4 fixes highdma to on"),
    ],
)
def test_what_the_nic_cannot_do_is_not_run(nic: Tree, setting: str, want: Any, reason: str) -> None:
    nic.desire({"name": "n", "probe": "nic", "pci": "0000:00:04.0", "setting": setting, "want": want})
    assert (nic.only()["status"], nic.only()["reason"]) == ("NOT-RUN", reason)


@pytest.mark.parametrize(
    ("option", "setting"),
    [("-g", "rx-ring"), ("-c", "rx-usecs"), ("-l", "channels"), ("-x", "rss-queues"), ("--json -a", "rx-pause"),
     ("--json -k", "generic-receive-offload"), ("--show-priv-flags", "flag legacy-rx"), ("-T", "rx-timestamps")],
)  # fmt: skip
@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("netlink error: Operation not supported", "the driver igb of enp0s4 has no {}"),
        (
            "netlink error: Device or resource busy",
            "'ethtool {} enp0s4' failed: netlink error: Device or resource busy",
        ),
    ],
)
def test_a_command_that_failed_is_no_missing_feature(
    nic: Tree, option: str, setting: str, said: str, reason: str
) -> None:
    script = (nic.root / "bin/ethtool").read_text().replace('case "$*" in\n', f'case "$*" in\n"{option} enp0s4") '
                                                            f'echo "{said}" >&2; exit 75 ;;\n')  # fmt: skip
    nic.install("ethtool", script.partition("\n")[2])
    nic.desire({"name": "n", "probe": "nic", "pci": "0000:00:04.0", "setting": setting, "want": 1})
    told = option if "busy" in said else setting
    assert (nic.only()["status"], nic.only()["reason"]) == ("NOT-RUN", reason.format(told))


def test_a_nic_that_stamps_only_ptp_frames_is_not_asked_for_more(nic: Tree) -> None:
    nic.write(f"/prints/{list(PRINTS).index('-T')}", "Hardware Receive Filter Modes:\n\tnone\n\tptpv2-event\n")
    nic.desire({"name": "n", "probe": "nic", "pci": "0000:00:04.0", "setting": "rx-timestamps", "want": True})
    assert nic.only()["reason"] == "the driver igb of enp0s4 has no rx-timestamps"


def test_flow_rules(nic: Tree) -> None:
    knob = {"name": "f", "probe": "flow_rules", "pci": "0000:00:04.0"}
    nic.desire(knob | {"want": [["udp4", "239.192.7.1", 17001, 1]]})
    assert nic.status() == "PASS"
    nic.desire(knob | {"want": [["udp4", "239.192.7.1", 17001, 0]]})
    assert (nic.only()["status"], nic.only()["running"]) == ("FAIL", "udp4 239.192.7.1 17001 1")


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        pytest.param([(17001, 1), (17002, 1)], "PASS", id="another rule for another port"),
        pytest.param([(17001, 1), (17001, 1)], "PASS", id="the same twice"),
        pytest.param([(17001, 1), (17001, 0)], "FAIL", id="one that contradicts, listed later"),
        pytest.param([(17001, 0), (17001, 1)], "FAIL", id="one that contradicts, listed first"),
        pytest.param([(17002, 1)], "FAIL", id="only another"),
        pytest.param([], "FAIL", id="none"),
    ],
)
def test_no_flow_rule_may_contradict(nic: Tree, rules: list[tuple[int, int]], status: str) -> None:
    head, _, rule = RULES.partition("Filter: 1023")
    blocks = [
        f"Filter: {1023 - place}{rule.replace('17001', str(port)).replace('queue 1', f'queue {queue}')}\n"
        for place, (port, queue) in enumerate(rules)
    ]
    nic.write(f"/prints/{list(PRINTS).index('-n')}", head + "".join(blocks))
    want = [["udp4", "239.192.7.1", 17001, 1]]
    nic.desire({"name": "f", "probe": "flow_rules", "pci": "0000:00:04.0", "want": want})
    assert nic.status() == status


def test_another_firmware_is_drift(nic: Tree) -> None:
    knob = {"name": "d", "probe": "nic_driver", "pci": "0000:00:04.0"}
    nic.desire(knob | {"want": "igb 1.2.3"})
    assert nic.status() == "PASS"
    nic.desire(knob | {"want": "igb 1.2.2"})
    assert nic.status() == "FAIL"


def test_a_nic_that_is_gone_is_off(nic: Tree) -> None:
    nic.desire({"name": "d", "probe": "nic_driver", "pci": "0000:00:09.0", "want": "igb 1.2.3"})
    assert nic.only()["status"] == "FAIL"
    assert nic.only()["running"].startswith("the device 0000:00:09.0 has no interface")


def test_of_two_ports_of_one_function_the_named_one_is_read(nic: Tree) -> None:
    nic.write("/sys/bus/pci/devices/0000:00:04.0/net/enp0s3/flags", "0x1003\n")
    knob = {"name": "n", "probe": "nic", "pci": "0000:00:04.0", "setting": "channels", "want": 1}
    nic.desire(knob | {"interface": "enp0s4"})
    assert nic.status() == "PASS"
    for other in ({}, {"interface": "enp0s5"}):
        nic.desire(knob | other)
        assert nic.only()["status"] == "NOT-RUN"
        assert "has several interfaces (enp0s3, enp0s4), none called" in nic.only()["reason"]


def test_a_device_without_an_interface(nic: Tree) -> None:
    nic.desire({"name": "n", "probe": "nic", "pci": "0000:00:09.0", "setting": "channels", "want": 1})
    assert nic.only()["reason"].startswith("the device 0000:00:09.0 has no interface")


def test_the_kernel_tells_xdp_features_by_netlink() -> None:
    """The real netlink of this machine: the loopback's driver has no XDP of its own."""
    try:
        assert netdev.xdp_features("lo") == []
    except host.CannotProbeError as error:
        pytest.skip(str(error))
    with pytest.raises(host.CannotProbeError):
        netdev.xdp_features("nosuchinterface")


@pytest.mark.parametrize(
    ("has", "want", "ok"),
    [
        (["basic", "redirect", "xsk-zerocopy"], ["basic", "xsk-zerocopy"], True),
        (["basic", "redirect"], ["basic", "xsk-zerocopy"], False),
        (["xsk-zerocopy"], ["basic"], False),
        ([], ["basic"], False),
        ([], [], True),
    ],
)
def test_a_nic_must_have_every_xdp_feature_that_is_desired(
    nic: Tree, monkeypatch: pytest.MonkeyPatch, has: list[str], want: list[str], ok: bool
) -> None:
    monkeypatch.setattr(netdev, "xdp_features", lambda interface: has if interface == "enp0s4" else [])
    knob = Knob("transport", "x", "xdp_features", want, "netdev.yaml", "It copies.", "kernel", {"pci": "0000:00:04.0"})
    reading = probe_xdp_features(host.Host(nic.root), knob)
    assert (reading.running, reading.running_ok) == (" ".join(has) or "none", ok)


def test_xdp_features_of_an_interface_that_has_none_are_off(nic: Tree) -> None:
    """Of the loopback, by the real netlink of this machine."""
    nic.write("/sys/bus/pci/devices/0000:00:05.0/net/lo/flags", "0x9\n")
    nic.desire({"name": "x", "probe": "xdp_features", "pci": "0000:00:05.0", "want": ["xsk-zerocopy"]})
    if nic.status() == "NOT-RUN":
        pytest.skip(nic.only()["reason"])
    assert (nic.only()["status"], nic.only()["running"]) == ("FAIL", "none")
