"""What is changed on a NIC and by which command, from what ethtool says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.wirebook.node.plugins.module_utils.doctor import ethtool
from ansible_collections.wirebook.node.plugins.module_utils.doctor.ethtool import Setting
from ansible_collections.wirebook.node.plugins.module_utils.doctor.host import Host
from ansible_collections.wirebook.node.plugins.module_utils.programs import nic

from .conftest import FakeHost

Captured = pytest.CaptureFixture[str]


def run(*arguments: str) -> int:
    return nic.PROGRAM.main(arguments)


def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Setting], **wanted: Any) -> list[str]:
    """Return the commands for a NIC that is up and has the settings `found`."""
    (tmp_path / "sys/bus/pci/devices/0000:00:04.0/net/eth4").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth4").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth4/flags").write_text("0x1003\n")
    monkeypatch.setattr(ethtool, "settings", lambda *_: found)
    monkeypatch.setattr(ethtool, "channel_words", lambda _host, _name, count: ["combined", str(count)])
    rules = {7: ("udp4", "any", 1, 0), 8: ("udp4", "239.192.7.2", 17001, 3)}
    monkeypatch.setattr(ethtool, "flow_rules", lambda *_: rules)
    whole = {"name": "eth4", "settings": {}, "values": {}, "flow_rules": []} | wanted
    return [" ".join(command) for _, command in nic.changes(Host(tmp_path), "0000:00:04.0", whole)]


def test_of_two_ports_of_one_function_the_named_one_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sys/bus/pci/devices/0000:00:04.0/net/eth4d1").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth4d1").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth4d1/flags").write_text("0x1002\n")
    assert commands(tmp_path, monkeypatch, {}, name="eth4d1") == ["ip link set eth4d1 up"]


def test_only_what_is_off_is_changed_channels_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "rx-ring": Setting(256, 4096),
        "tx-ring": Setting(4096, 4096),
        "channels": Setting(4, 4),
        "rx-pause": Setting(value=True),
        "tx-pause": Setting(value=False),
        "generic-receive-offload": Setting(value=True),
        "large-receive-offload": Setting(value=True, fixed=True),
        "flag legacy-rx": Setting(value=False),
        "rx-timestamps": Setting(value=False),
    }
    settings = {
        "rx-ring": "max",
        "tx-ring": 8192,
        "generic-receive-offload": False,
        "large-receive-offload": False,
        "channels": 1,
        "rx-pause": False,
        "tx-pause": False,
        "rx-usecs": 0,
        "flag legacy-rx": True,
        "rx-timestamps": True,
    }
    assert commands(tmp_path, monkeypatch, found, settings=settings) == [
        "ethtool -L eth4 combined 1",
        "ethtool -G eth4 rx 4096",
        "ethtool -A eth4 autoneg off rx off tx off",
        "ethtool --set-priv-flags eth4 legacy-rx on",
        "ethtool -K eth4 generic-receive-offload off",
        "hwstamp_ctl -i eth4 -r 1",
    ]


def test_rules_that_are_not_there_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [["udp4", "any", 1, 0], ["udp4", "239.192.7.1", 17001, 1]]
    found = {"ntuple-filters": Setting(value=True)}
    assert commands(tmp_path, monkeypatch, found, flow_rules=rules) == [
        "ethtool -N eth4 flow-type udp4 dst-ip 239.192.7.1 dst-port 17001 action 1"
    ]


def test_a_rule_that_leads_to_another_queue_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"ntuple-filters": Setting(value=True)}
    assert commands(tmp_path, monkeypatch, found, flow_rules=[["udp4", "239.192.7.2", 17001, 1]]) == [
        "ethtool -N eth4 delete 8",
        "ethtool -N eth4 flow-type udp4 dst-ip 239.192.7.2 dst-port 17001 action 1",
    ]


def test_values_in_sysfs(tmp_path: Path) -> None:
    (tmp_path / "sys/bus/pci/devices/0000:00:04.0/net/eth4").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth4").mkdir(parents=True)
    path = tmp_path / "sys/class/net/eth4/gro_flush_timeout"
    path.write_text("0\n")
    wanted = {"name": "eth4", "values": {"gro_flush_timeout": 200000, "napi_defer_hard_irqs": 2}}
    assert list(nic.values(Host(tmp_path), "0000:00:04.0", wanted)) == [(path, "0", "200000")]


class TestTheCommand:
    @pytest.fixture
    def asked(self, host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Return the PCI addresses that the command looks at, of two NICs in its configuration."""
        wanted: dict[str, Any] = {"settings": {}, "values": {}, "flow_rules": []}
        nics = {"0000:00:04.0": wanted | {"name": "eth4"}, "0000:00:08.0": wanted | {"name": "eth8"}}
        host.write("/etc/wirebook/nic.json", json.dumps(nics))
        asked: list[str] = []

        def changes(_host: Host, pci: str, _wanted: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
            asked.append(pci)
            return iter(())

        monkeypatch.setattr(nic, "changes", changes)
        monkeypatch.setattr(nic, "values", lambda *_: [])
        return asked

    @pytest.mark.parametrize(
        ("arguments", "addresses"),
        [
            (["apply"], ["0000:00:04.0", "0000:00:08.0"]),
            (["apply", "--check"], ["0000:00:04.0", "0000:00:08.0"]),
            (["apply", "eth8"], ["0000:00:08.0"]),
            (["apply", "--check", "eth8"], ["0000:00:08.0"]),
        ],
    )
    def test_all_nics_or_one(self, asked: list[str], arguments: list[str], addresses: list[str]) -> None:
        assert run(*arguments) == 0
        assert asked == addresses

    def test_an_interface_that_is_no_data_nic(self, asked: list[str], capsys: Captured) -> None:
        assert run("apply", "eth5") == 2
        assert capsys.readouterr().err.startswith("wirebook-nic: eth5 isn't in /etc/wirebook/nic.json: ")
        assert asked == []

    def test_a_nic_of_another_version_of_the_role(self, host: FakeHost, capsys: Captured) -> None:
        host.write("/etc/wirebook/nic.json", '{"0000:00:04.0": {"name": "eth4"}}')
        assert run("apply") == 2
        assert capsys.readouterr().err == (
            "wirebook-nic: /etc/wirebook/nic.json is of another version: deploy this host again.\n"
        )


def nic_off(host: FakeHost, monkeypatch: pytest.MonkeyPatch, *looks: list[tuple[str, list[str]]]) -> None:
    """Write a configuration with one NIC; at each look so much is off."""
    wanted = {"name": "enp0s4", "settings": {}, "values": {}, "flow_rules": []}
    host.write("/etc/wirebook/nic.json", json.dumps({"0000:00:04.0": wanted}))
    rest = iter(looks)
    monkeypatch.setattr(nic, "changes", lambda *_: next(rest))
    monkeypatch.setattr(nic, "values", lambda *_: [])
    monkeypatch.setattr(nic, "wait_for_link", lambda *_: None)


def test_what_a_link_that_came_up_brings_back_is_set_again(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    host.install("ethtool")
    off = ("enp0s4: rx-pause on -> off", ["ethtool", "-A"])
    nic_off(host, monkeypatch, [off, ("enp0s4: channels 4 -> 1", ["ethtool", "-L"])], [off], [])
    assert run("apply") == 0
    assert capsys.readouterr().out.count("rx-pause on -> off") == 2
    assert host.calls() == ["ethtool -A", "ethtool -L", "ethtool -A"]


def test_a_dry_run_looks_once_and_runs_nothing(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    host.install("ethtool")
    nic_off(host, monkeypatch, [("enp0s4: channels 4 -> 1", ["ethtool", "-L"])])
    assert run("apply", "--check") == 0
    assert capsys.readouterr().out == "enp0s4: channels 4 -> 1\n"
    assert host.calls() == []


def test_what_a_driver_refuses_is_told_and_the_rest_is_set(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    host.install("ethtool", '[ "$1" != -L ] || { echo "netlink error: Invalid argument" >&2; exit 1; }')
    nic_off(host, monkeypatch, [("channels", ["ethtool", "-L"]), ("ring", ["ethtool", "-G"])])
    assert run("apply") == 1
    assert capsys.readouterr().err == "wirebook-nic: `ethtool -L`: netlink error: Invalid argument\n"
    assert host.calls() == ["ethtool -L", "ethtool -G"]


def test_a_nic_that_is_not_there_is_told_and_the_others_are_set(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    wanted: dict[str, Any] = {"settings": {}, "values": {}, "flow_rules": []}
    nics = {"0000:00:04.0": wanted | {"name": "eth4"}, "0000:00:08.0": wanted | {"name": "eth8"}}
    host.write("/etc/wirebook/nic.json", json.dumps(nics))
    host.path("/sys/bus/pci/devices/0000:00:08.0/net/eth8").mkdir(parents=True)
    host.write("/sys/class/net/eth8/flags", "0x1002\n")
    host.install("ip", f"echo 0x1003 > {host.root}/sys/class/net/eth8/flags")
    monkeypatch.setattr(ethtool, "settings", lambda *_: {})
    monkeypatch.setattr(nic, "wait_for_link", lambda *_: None)
    assert run("apply") == 1
    assert "0000:00:04.0" in capsys.readouterr().err
    assert host.calls() == ["ip link set eth8 up"]


@pytest.mark.parametrize("loaded", [True, False])
def test_a_channel_that_irdma_holds_is_told_with_what_to_do(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loaded: bool
) -> None:
    wanted = {"name": "eth4", "settings": {"channels": 1}, "values": {}, "flow_rules": []}
    host.write("/etc/wirebook/nic.json", json.dumps({"0000:00:04.0": wanted}))
    host.path("/sys/bus/pci/devices/0000:00:04.0/net/eth4").mkdir(parents=True)
    host.write("/sys/class/net/eth4/flags", "0x1003\n")
    if loaded:
        host.path("/sys/module/irdma").mkdir(parents=True)
    counts = "RX: n/a\\nTX: n/a\\nCombined: 32\\n"
    host.install(
        "ethtool",
        f"""case "$1" in
-l) printf 'Pre-set maximums:\\n{counts}Current hardware settings:\\n{counts}' ;;
-L) echo 'netlink error: Device or resource busy' >&2; exit 75 ;;
*) echo 'netlink error: Operation not supported' >&2; exit 75 ;;
esac""",
    )
    assert run("apply") == 1
    said = capsys.readouterr().err
    assert "`ethtool -L eth4 combined 1`: netlink error: Device or resource busy" in said
    assert ("add module_blacklist=irdma to kernel_cmdline_extra" in said) is loaded


def test_a_link_without_a_cable_is_not_waited_for_for_ever(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    host.path("/sys/bus/pci/devices/0000:00:04.0/net/eth4").mkdir(parents=True)
    host.write("/sys/class/net/eth4/carrier", "0\n")
    monkeypatch.setattr(nic, "SECONDS_FOR_LINK", 0.3)
    monkeypatch.setattr(nic, "SECONDS_FOR_DOWN", 0)
    nic.wait_for_link("0000:00:04.0", "eth4")
