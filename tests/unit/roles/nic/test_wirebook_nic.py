"""What is changed on a NIC and by which command, from what ethtool says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.wirebook.node.tests.unit.support.load import load_program
from ansible_collections.wirebook.node.tests.unit.support.paths import ROLES
from wirebook_node.doctor import ethtool
from wirebook_node.doctor.ethtool import Setting
from wirebook_node.doctor.host import Host

ROLE = ROLES / "nic"


@pytest.fixture
def program() -> ModuleType:
    return load_program(ROLE / "files/wirebook-nic")


def commands(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: dict[str, Setting], **wanted: Any
) -> list[str]:
    """Return the commands for a NIC that is up and has the settings `found`."""
    (tmp_path / "sys/bus/pci/devices/0000:00:04.0/net/eth4").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth4").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth4/flags").write_text("0x1003\n")
    monkeypatch.setattr(ethtool, "settings", lambda *_: found)
    rules = {7: ("udp4", "any", 1, 0), 8: ("udp4", "239.192.7.2", 17001, 3)}
    monkeypatch.setattr(ethtool, "flow_rules", lambda *_: rules)
    whole = {"settings": {}, "values": {}, "flow_rules": []} | wanted
    return [" ".join(command) for _, command in program.changes(Host(tmp_path), "0000:00:04.0", whole)]


def test_only_what_is_off_is_changed_channels_first(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert commands(program, tmp_path, monkeypatch, found, settings=settings) == [
        "ethtool -L eth4 combined 1",
        "ethtool -G eth4 rx 4096",
        "ethtool -A eth4 autoneg off rx off tx off",
        "ethtool --set-priv-flags eth4 legacy-rx on",
        "ethtool -K eth4 generic-receive-offload off",
        "hwstamp_ctl -i eth4 -r 1",
    ]


def test_rules_that_are_not_there_are_added(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = [["udp4", "any", 1, 0], ["udp4", "239.192.7.1", 17001, 1]]
    found = {"ntuple-filters": Setting(value=True)}
    assert commands(program, tmp_path, monkeypatch, found, flow_rules=rules) == [
        "ethtool -N eth4 flow-type udp4 dst-ip 239.192.7.1 dst-port 17001 action 1"
    ]


def test_a_rule_that_leads_to_another_queue_goes(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"ntuple-filters": Setting(value=True)}
    assert commands(program, tmp_path, monkeypatch, found, flow_rules=[["udp4", "239.192.7.2", 17001, 1]]) == [
        "ethtool -N eth4 delete 8",
        "ethtool -N eth4 flow-type udp4 dst-ip 239.192.7.2 dst-port 17001 action 1",
    ]


def test_values_in_sysfs(program: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "sys/bus/pci/devices/0000:00:04.0/net/eth4").mkdir(parents=True)
    (tmp_path / "sys/class/net/eth4").mkdir(parents=True)
    path = tmp_path / "sys/class/net/eth4/gro_flush_timeout"
    path.write_text("0\n")
    wanted = {"values": {"gro_flush_timeout": 200000, "napi_defer_hard_irqs": 2}}
    assert list(program.values(Host(tmp_path), "0000:00:04.0", wanted)) == [(path, "0", "200000")]


class TestTheCommand:
    @pytest.fixture
    def asked(self, program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """Return the PCI addresses that the command looks at, of two NICs in its configuration."""
        nic: dict[str, Any] = {"settings": {}, "values": {}, "flow_rules": []}
        path = tmp_path / "nic.json"
        path.write_text(json.dumps({"0000:00:04.0": nic | {"name": "eth4"}, "0000:00:08.0": nic | {"name": "eth8"}}))
        monkeypatch.setattr(program, "CONFIGURATION", path)
        asked: list[str] = []

        def changes(_host: Host, pci: str, _wanted: dict[str, Any]) -> list[tuple[str, list[str]]]:
            asked.append(pci)
            return []

        monkeypatch.setattr(program, "changes", changes)
        monkeypatch.setattr(program, "values", lambda *_: [])
        return asked

    @pytest.mark.parametrize(
        ("arguments", "addresses"),
        [
            (["apply"], ["0000:00:04.0", "0000:00:08.0"]),
            (["apply", "--check"], ["0000:00:04.0", "0000:00:08.0"]),
            (["apply", "eth8"], ["0000:00:08.0"]),
        ],
    )
    def test_all_nics_or_one(
        self,
        program: ModuleType,
        asked: list[str],
        monkeypatch: pytest.MonkeyPatch,
        arguments: list[str],
        addresses: list[str],
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["wirebook-nic", *arguments])
        assert program.main() == 0
        assert asked == addresses

    @pytest.mark.parametrize("arguments", [[], ["apply", "eth5"], ["apply", "eth4", "eth8"], ["show"]])
    def test_what_it_does_not_know(
        self, program: ModuleType, asked: list[str], monkeypatch: pytest.MonkeyPatch, arguments: list[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["wirebook-nic", *arguments])
        assert program.main() == 2
        assert asked == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze isn't installed here")
def test_systemd_has_nothing_to_say_against_the_unit(tmp_path: Path) -> None:
    text = (ROLE / "files/wirebook-nic@.service").read_text()
    unit = tmp_path / "wirebook-nic@enp0s4.service"
    # The command is installed on nodes only.
    unit.write_text(text.replace("/usr/local/sbin/wirebook-nic", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_link_that_came_up_brings_back_is_set_again(
    program: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    off = ("enp0s4: rx-pause on -> off", ["true"])
    looks = iter([[off, ("enp0s4: channels 4 -> 1", ["true"])], [off], []])
    monkeypatch.setattr(program, "changes", lambda *_: next(looks))
    monkeypatch.setattr(program, "values", lambda *_: [])
    monkeypatch.setattr(program, "wait_for_link", lambda _: None)
    assert program.bring("0000:00:04.0", {}, check=False) == 0
    assert capsys.readouterr().out.count("rx-pause on -> off") == 2
