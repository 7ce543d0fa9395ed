"""Books that follow another node's feed: past the kernel, by AF_XDP in the NIC's driver, then through the kernel.

The other node is the rack's side of the wire, a network namespace of the guest, where the deployed engine runs again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from support import PROJECT, WIREBOOK, Run, Twin

NIC, RACK_NIC = "enp0s4", "enp0s6"
ATTACHED_DRV = 1
# The same symbols and groups, and nothing of the node's own: no CPU, no locked memory, a market cache elsewhere.
RACK_CONFIG = rf"""
sed -e 's/^name = .*/name = "rack"/' -e 's/^lock = .*/lock = false/' -e 's/^hugepages = .*/hugepages = "off"/' \
    -e 's/^interface = .*/interface = "{RACK_NIC}"/' -e 's/^cpu = .*/cpu = -1/' \
    /etc/wirebook/engine.toml >/etc/rack.toml
printf '\n[market]\npath = "/run/rack/market"\n' >>/etc/rack.toml
"""
RACK_UNIT = (
    "systemd-run --quiet --collect --unit {unit} --property NetworkNamespacePath=/run/netns/rack"
    " --property User=wirebook --property RuntimeDirectory=rack --property RuntimeDirectoryPreserve=yes"
    " --property CPUAffinity=0-1 --property Nice=19 --property Restart=always --property RestartSec=1 -- {command}"
)


@pytest.fixture(scope="module")
def rack_feed(twin: Twin) -> Iterator[None]:
    """The rack's feed of what the node's own feed follows; both ends of the wire have addresses."""
    twin.ssh(f"ip address add 198.18.0.1/24 dev {NIC}; ip -n rack address add 198.18.0.2/24 dev {RACK_NIC}")
    twin.ssh(RACK_CONFIG)
    sim = twin.ssh("sed -n 's/^ExecStart=//p' /etc/systemd/system/wirebook-sim.service")
    # The guest's CPUs are the controller's: the node's own feed, which goes with the deploy, would starve it.
    twin.ssh("systemctl stop wirebook-feed-binance wirebook-sim")
    twin.ssh(RACK_UNIT.format(unit="rack-sim", command=sim))
    feed = f"{WIREBOOK} feed binance --config /etc/rack.toml"
    twin.ssh(RACK_UNIT.format(unit="rack-feed", command=feed))
    yield
    twin.ssh(
        f"systemctl stop rack-feed rack-sim; rm /etc/rack.toml; ip address del 198.18.0.1/24 dev {NIC};"
        f" ip -n rack address del 198.18.0.2/24 dev {RACK_NIC}"
    )


def deploy(twin: Twin, model: dict[str, Any], **transport: str) -> Run:
    """Deploy the twin as a node that has books and no feed."""
    variables = {
        "feed_engine_sim": False,
        "feed_engine_feeds": [feed | {"remote": True} for feed in model["feed_engine_feeds"]],
        "feed_engine_settings": {**model["feed_engine_settings"], "transport": {"interface": NIC, **transport}},
    }
    run = twin.play("playbooks/deploy.yml", "--extra-vars", json.dumps(variables))
    assert run.status == 0, run.end
    return run


def transport(twin: Twin) -> dict[str, Any]:
    """Return what the book process says of its transport."""
    said: dict[str, Any] = json.loads(twin.ssh("cat /run/wirebook/transport.json"))
    return said


def xdp_mode(twin: Twin) -> int:
    """Return how the kernel runs the NIC's XDP program, XDP_ATTACHED_* of linux/if_link.h; 0: there is none."""
    (link,) = json.loads(twin.ssh(f"ip -json link show dev {NIC}"))
    return int(link.get("xdp", {"mode": 0})["mode"])


def test_the_nic_stamps_ptp_frames_in_hardware(twin: Twin) -> None:
    script = (PROJECT / "tests/twin/hardware-stamps").read_text()
    print(said := twin.ssh(f"python3 - {NIC} 10", script))
    # An 82576 keeps one stamp until it is read, and the emulated one is slow to.
    assert int(said.split()[0]) > 5, said


@pytest.mark.full
@pytest.mark.usefixtures("rack_feed")
def test_af_xdp_receives_in_the_drivers_native_mode(twin: Twin, model: dict[str, Any]) -> None:
    boot = twin.boot_id()
    deploy(twin, model, kind="af_xdp", fallback="refuse")
    assert twin.boot_id() == boot
    assert xdp_mode(twin) == ATTACHED_DRV
    said = transport(twin)
    assert said["kind"] == "af_xdp"
    assert f"{NIC} queue 0, native mode" in said["how"]
    time.sleep(3)
    later = transport(twin)
    print(later)
    assert later["xdp_redirected"] > said["xdp_redirected"]
    assert (later["xdp_bad_length"], later["xdp_bad_checksum"], later["xdp_over_rate"], later["drops"]) == (0, 0, 0, 0)
    assert [book["state"] for book in twin.books()] == ["LIVE"]


@pytest.mark.full
def test_the_process_past_the_kernel_holds_no_right_over_the_network(twin: Twin) -> None:
    effective = int(twin.status_of("wirebook-book")["CapEff"], 16)
    assert effective == 1 << 14  # CAP_IPC_LOCK of linux/capability.h


@pytest.mark.full
def test_what_is_not_the_feeds_goes_to_the_kernel_as_ever(twin: Twin) -> None:
    greeting = "read -r -t 30 line </dev/tcp/198.18.0.1/22 && echo $line"
    assert twin.ssh(f"ip netns exec rack bash -c '{greeting}'").startswith("SSH-2.0")
    assert twin.knobs()["PTP port state"]["status"] == "PASS"


@pytest.mark.full
def test_what_goes_past_the_kernel_can_be_captured(twin: Twin) -> None:
    command = f"{WIREBOOK} capture /run/taken.pcapng --packets 20 --config /etc/wirebook/engine.toml"
    assert "20 packets" in twin.ssh(f"{command} 2>&1")
    # From the rack's address to the group of the incremental channel, as tcpdump reads it.
    assert re.search(r"198\.18\.0\.2\.\d+ > 239\.192\.7\.1\.17001", twin.ssh("tcpdump -n -r /run/taken.pcapng 2>&1"))


@pytest.mark.full
def test_a_book_process_that_is_killed_is_whole_again_past_the_kernel(twin: Twin) -> None:
    before = twin.ssh("systemctl show --property=MainPID --value wirebook-book")
    twin.ssh(f"kill -9 {before}")
    deadline = time.monotonic() + 120
    while twin.ssh("systemctl is-active wirebook-book || true") != "active":
        assert time.monotonic() < deadline
        time.sleep(1)
    assert twin.ssh("systemctl show --property=MainPID --value wirebook-book") != before
    assert xdp_mode(twin) == ATTACHED_DRV
    while [book["state"] for book in twin.books()] != ["LIVE"]:
        assert time.monotonic() < deadline


@pytest.mark.full
@pytest.mark.usefixtures("rack_feed")
def test_back_to_udp_takes_a_restart_and_leaves_nothing(twin: Twin, model: dict[str, Any]) -> None:
    boot = twin.boot_id()
    deploy(twin, model, kind="udp")
    assert twin.boot_id() == boot
    assert xdp_mode(twin) == 0
    said = transport(twin)
    print(said)
    assert said["kind"] == "udp"
    # The process may read the NIC's clock, and set none.
    assert twin.ssh("runuser -u wirebook -- head -c 0 /dev/ptp0; stat --format %G:%a /dev/ptp0") == "wirebook:640"
    # systemd lets a unit with ProtectClock= read the real-time clock.
    allowed = twin.ssh("systemctl show --property DeviceAllow --value wirebook-book").splitlines()
    assert sorted(allowed) == ["char-ptp r", "char-rtc r"]
    # The emulated 82576 can stamp PTP's frames and no others.
    assert f"by the kernel, since {NIC} stamps nothing but PTP's packets in hardware" in said["how"]
    assert said["stamps_kernel"] == said["packets"] > 0
    assert [book["state"] for book in twin.books()] == ["LIVE"]


@pytest.mark.full
def test_the_node_of_the_inventory_comes_back(twin: Twin) -> None:
    twin.succeed("deploy")
    assert [book["state"] for book in twin.books()] == ["LIVE"]
