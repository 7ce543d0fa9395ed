"""The book process on AF_XDP, and `wirebook xdp` beside it: privileges, refusals, falling back and switching back."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wirebook.core import build_info
from wirebook.core.market.view import MarketView
from wirebook.core.transport.base import Endpoint
from wirebook.core.transport.udp import UdpSender
from wirebook.core.wire.packet import Channel, Encoder
from wirebook.core.wire.records import Batch, Flag, Kind

from .namespaces import Lan, ip, reason_not_to
from .support import PATIENCE, WIREBOOK, until, wirebook

pytestmark = [
    pytest.mark.skipif(not build_info.AF_XDP, reason="this build has no AF_XDP"),
    pytest.mark.skipif(bool(reason_not_to()), reason=reason_not_to() or "-"),
]

DISSECTOR = Path(__file__).parents[2] / "wireshark" / "wirebook.lua"

# No file's rights, no user's: exactly the capabilities that the units give.
BOOK_RIGHTS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all,+net_raw")
HELPER_RIGHTS = ("setpriv", "--inh-caps=-all", "--bounding-set=-all,+net_admin,+net_raw,+bpf")


class Host:
    """The host on the right: `wirebook xdp`, and a book process whose configuration changes between its starts."""

    def __init__(self, lan: Lan, home: Path) -> None:
        self.lan, self.home = lan, home
        self.config = home / "engine.toml"
        self.configure()
        self._book: subprocess.Popen[bytes] | None = None

    def configure(self, kind: str = "af_xdp", fallback: str = "refuse", **af_xdp: object) -> None:
        keys = {"helper": str(self.home / "xdp.sock"), **af_xdp}
        self.config.write_text(
            f"""
            [memory]
            lock = false
            arena_mb = 32
            [transport]
            kind = "{kind}"
            fallback = "{fallback}"
            interface = "{self.lan.right}"
            [af_xdp]
            {chr(10).join(f"{key} = {json.dumps(value)}" for key, value in keys.items())}
            [book]
            poll = "wait"
            [market]
            path = "{self.home}/market"
            """
        )

    def command(self, *words: str, rights: tuple[str, ...] = ()) -> list[str]:
        return self.lan.command(self.lan.right, *rights, *WIREBOOK, *words, "--config", str(self.config))

    @contextmanager
    def helper(self, rights: tuple[str, ...] = HELPER_RIGHTS) -> Iterator[None]:
        path = self.home / "xdp.sock"
        path.unlink(missing_ok=True)  # of one before
        with (self.home / "xdp.log").open("ab") as log:
            process = subprocess.Popen(self.command("xdp", rights=rights), stderr=log)
        try:
            until(path.exists, "wirebook xdp")
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE)

    def start(self, rights: tuple[str, ...] = BOOK_RIGHTS) -> subprocess.Popen[bytes]:
        """The book process; returns when it is ready."""
        (self.home / "book.log").unlink(missing_ok=True)
        (self.home / "transport.json").unlink(missing_ok=True)
        with (self.home / "book.log").open("ab") as log:
            self._book = subprocess.Popen(self.command("book", rights=rights), stderr=log)
        until(lambda: "INFO ready" in self.log() or self._book.poll() is not None, "the book process")  # type: ignore[union-attr]
        return self._book

    def refused(self) -> str:
        """The one sentence of a book process that doesn't start."""
        process = self.start()
        assert process.wait(PATIENCE) == 2
        assert self.lan.xdp_program(self.lan.right) is None
        return self.log().splitlines()[-1]

    def log(self) -> str:
        file = self.home / "book.log"
        return file.read_text() if file.exists() else ""

    def transport(self) -> dict[str, Any]:
        """What the book process says of it; waits for the first time."""
        file = self.home / "transport.json"
        until(file.exists, "transport.json")
        said: dict[str, Any] = json.loads(file.read_text())
        return said

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._book is not None and self._book.poll() is None:
            self._book.send_signal(number)
            self._book.wait(PATIENCE)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    lan = Lan()
    try:
        lan.make()
        made = Host(lan, tmp_path)
        try:
            yield made
        finally:
            made.end()
            print(made.log())
    finally:
        lan.unmake()


class Publisher:
    """On the left: one book, repeated as incrementals and snapshots until the end."""

    def __init__(self, lan: Lan) -> None:
        with lan.inside(lan.left):
            self._senders = [
                UdpSender([Endpoint(group, port, lan.left)])
                for group, port in (("239.192.7.1", 17001), ("239.192.7.2", 17002))
            ]
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        encoder = Encoder(1, 2, 3)
        snapshot = Batch(8)
        snapshot.define(5, "binance:BTCUSDT", 2, 5)
        snapshot.append(5, Kind.CLEAR)
        snapshot.append(5, Kind.BID, Flag.SNAPSHOT, 0, 1, 6_000_000, 7)
        snapshot.append(5, Kind.ASK, Flag.SNAPSHOT, 0, 1, 6_000_001, 8)
        snapshot.append(5, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 1)
        beat = Batch(1)
        beat.append(0, Kind.HEARTBEAT)
        while not self._end.wait(0.02):
            self._senders[0].publish(encoder, beat)
            self._senders[1].publish(encoder, snapshot, Channel.SNAPSHOT_CHANNEL)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def wait_live(host: Host) -> None:
    """The book on the left is in the market cache on the right."""

    def live() -> bool:
        view = MarketView(host.home / "market")
        return [(symbol.number, view.top(symbol.number).bid_price) for symbol in view.defined()] == [(5, 6_000_000)]

    until((host.home / "market").exists, "the market cache")
    until(live, "a live book")


def test_to_udp_and_back_by_configuration_and_restart(host: Host) -> None:
    lan = host.lan
    with host.helper(), Publisher(lan):
        for kind in ("af_xdp", "udp", "af_xdp"):
            host.configure(kind)
            host.start()
            wait_live(host)
            assert (lan.xdp_program(lan.right) is not None) == (kind == "af_xdp")
            said = host.transport()
            assert (said["asked"], said["kind"], said["fell_back"]) == (kind, kind, "")
            top = subprocess.run(host.command("top", "--once"), capture_output=True, text=True, check=True).stdout
            assert ("af_xdp on" in top) == (kind == "af_xdp")
            host.end()
            until(lambda: lan.xdp_program(lan.right) is None, "the program to be gone")
            (host.home / "market").unlink()


def test_sigkill_takes_the_program_off_and_the_next_start_works(host: Host) -> None:
    lan = host.lan
    with host.helper(), Publisher(lan):
        for _ in range(3):
            host.start()
            wait_live(host)
            assert lan.xdp_program(lan.right) is not None
            host.end(signal.SIGKILL)
            until(lambda: lan.xdp_program(lan.right) is None, "the program to be gone")
            (host.home / "market").unlink()


def test_the_program_outlives_the_helper_and_the_book_process_has_no_rights_left(host: Host) -> None:
    lan = host.lan
    with host.helper():
        process = host.start()
    with Publisher(lan):
        wait_live(host)
    assert lan.xdp_program(lan.right) is not None
    status = Path(f"/proc/{process.pid}/status").read_text()
    rights = {line.split()[0]: int(line.split()[1], 16) for line in status.splitlines() if line.startswith("Cap")}
    assert (rights["CapPrm:"], rights["CapEff:"], rights["CapInh:"]) == (0, 0, 0)
    groups = lan.command(lan.right, "ip", "-json", "maddress", "show", "dev", lan.right)
    joined = json.loads(subprocess.run(groups, capture_output=True, text=True, check=True).stdout)[0]["maddr"]
    assert {"239.192.7.1", "239.192.7.2"} <= {entry.get("address") for entry in joined}


def test_without_the_helper_it_falls_back_loudly_or_refuses(host: Host) -> None:
    assert "no answer from `wirebook xdp`" in host.refused()
    host.configure(fallback="udp")
    with Publisher(host.lan):
        host.start()
        wait_live(host)
    assert "WARNING AF_XDP is not available" in host.log()
    said = host.transport()
    assert (said["asked"], said["kind"]) == ("af_xdp", "udp")
    assert "no answer" in said["fell_back"]
    top = subprocess.run(host.command("top", "--once"), capture_output=True, text=True, check=True).stdout
    assert "FALLBACK to udp, af_xdp is not available: no answer" in top


def test_refusals_say_what_to_do(host: Host) -> None:
    lan = host.lan
    name = lan.right
    assert "queue 7 of" in host_with(host, queue=7)
    host.configure()
    with host.helper(rights=("setpriv", "--inh-caps=-all", "--bounding-set=-all,+net_raw")):
        assert "needs CAP_NET_ADMIN, CAP_BPF" in host.refused()
    with host.helper():
        ip("-n", name, "route", "add", "default", "via", "10.77.0.1")
        check = subprocess.run(host.command("check"), capture_output=True, text=True, check=False)
        assert "FAIL     transport.kind" in check.stdout
        assert "which has the default route" in check.stdout
        assert f"AF_XDP is refused on {name}, which has the default route" in host.refused()
        ip("-n", name, "route", "del", "default")
        check = subprocess.run(host.command("check"), capture_output=True, text=True, check=False)
        assert f"AF_XDP is possible on queue 0 of {name}" in check.stdout

        ip("-n", name, "link", "add", "bridge0", "type", "bridge")
        ip("-n", name, "link", "set", name, "master", "bridge0")
        assert "which is a port of bridge0" in host.refused()
        ip("-n", name, "link", "del", "bridge0")

        with lan.inside(name):
            sshd = socket.create_server(("10.77.0.2", 22))
        with lan.inside(lan.left):
            session = socket.create_connection(("10.77.0.2", 22))
        assert "which carries an ssh connection" in host.refused()
        session.close()
        sshd.close()
    with host.helper():
        host.start()
        second = subprocess.run(host.command("book"), capture_output=True, text=True, check=False)
        assert second.returncode == 2
        assert "another AF_XDP socket is bound to that queue" in second.stderr


def host_with(host: Host, **af_xdp: object) -> str:
    host.configure(**af_xdp)
    return host.refused()


def test_drivers_own_refusals(host: Host) -> None:
    lan, name = host.lan, host.lan.right
    host.configure(mode="native")
    with host.helper():
        for end in (lan.left, lan.right):
            ip("-n", end, "link", "set", end, "mtu", "9000")
        assert f"with an MTU of 9000: ip link set {name} mtu 1500" in host.refused()
        host.configure(copy="zero-copy")
        assert 'its driver has no zero-copy: set af_xdp.copy to "auto"' in host.refused()
    host.configure()  # mode "auto" takes what it can get, and says what that is
    with host.helper():
        host.start()
        assert "the XDP program runs in generic mode, which is slower" in host.log()
        assert "generic mode" in host.transport()["how"]


def test_more_queues_than_one_are_refused(host: Host) -> None:
    lan, name = host.lan, host.lan.right
    ip("-n", lan.left, "link", "del", lan.left)
    ip(
        "link", "add", lan.left, "numrxqueues", "2", "numtxqueues", "2", "netns", lan.left,
        "type", "veth", "peer", name, "numrxqueues", "2", "numtxqueues", "2", "netns", name,
    )  # fmt: skip
    ip("-n", name, "address", "add", "10.77.0.2/24", "dev", name)
    for end in (lan.left, name):
        subprocess.run(lan.command(end, "ethtool", "-L", end, "rx", "2", "tx", "2"), check=True, capture_output=True)
        ip("-n", end, "link", "set", end, "up")
    with host.helper():
        assert f"over 2 receive queues and AF_XDP reads one: ethtool -L {name} combined 1" in host.refused()


def test_a_vlans_parent_is_refused(host: Host) -> None:
    name = host.lan.right
    try:
        ip("-n", name, "link", "add", "link", name, "name", "vlan7", "type", "vlan", "id", "7")
    except subprocess.CalledProcessError:
        pytest.skip("this kernel has no VLANs")
    with host.helper():
        assert "which carries vlan7" in host.refused()


def test_another_program_is_left_alone(host: Host, tmp_path: Path) -> None:
    from importlib import resources

    lan, name = host.lan, host.lan.right
    path = str(resources.files("wirebook.core.transport.af_xdp") / "steer.bpf.o")
    ip("-n", name, "link", "set", name, "xdpgeneric", "object", path, "section", "xdp")
    before = lan.xdp_program(name)
    assert before is not None
    with host.helper():
        process = host.start()
        assert process.wait(PATIENCE) == 2
    assert "has an XDP program already" in host.log()
    assert lan.xdp_program(name) == before


def test_a_build_without_af_xdp_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from wirebook import cli

    monkeypatch.setattr(build_info, "AF_XDP", False)
    assert cli.main(["xdp"]) == 2
    assert "AF_XDP" in wirebook("--version", "--verbose").stdout


def dissected(file: Path) -> list[list[str]]:
    """Sequence, channel and time of every packet of wirebook's in a capture, by Wireshark's own reader."""
    fields = ("wirebook.sequence", "wirebook.channel", "frame.time_epoch", "udp.dstport")
    done = subprocess.run(
        ["tshark", "-X", f"lua_script:{DISSECTOR}", "-r", str(file), "-Y", "wirebook", "-T", "fields"]
        + [part for field in fields for part in ("-e", field)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("kind", ["udp", "af_xdp"])
def test_capture_writes_what_wireshark_reads_by_either_transport(host: Host, kind: str) -> None:
    host.configure(kind)
    file = host.home / "packets.pcapng"
    before = time.time()
    with host.helper(), Publisher(host.lan):
        host.start()
        wait_live(host)
        host.transport()
        done = subprocess.run(
            host.command("capture", str(file), "--packets", "20"), capture_output=True, text=True, check=False
        )
        after = time.time()
    assert (done.returncode, done.stderr) == (0, "wirebook capture: 20 packets, 0 lost on the way\n")
    found = dissected(file)
    assert len(found) == 20
    for channel, port in (("0", "17001"), ("1", "17002")):
        mine = [line for line in found if line[1] == channel]
        first = int(mine[0][0])
        assert [int(line[0]) for line in mine] == list(range(first, first + len(mine)))
        assert {line[3] for line in mine} == {port}
    stamps = [float(line[2]) for line in found]
    assert before < stamps[0] <= stamps[-1] < after
    assert any(not line[2].endswith("000") for line in found), "nanoseconds, not microseconds"


def test_capture_without_its_source_says_so(host: Host) -> None:
    done = subprocess.run(host.command("capture", str(host.home / "none")), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "is the book process running" in done.stderr
