"""AF_XDP between two namespaces, over a veth pair: the real program in the real kernel."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wirebook import config as configuration
from wirebook.config import Config
from wirebook.core import build_info
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.transport.base import Endpoint, Line, Receiver, Stamp
from wirebook.core.transport.udp import UdpReceiver, UdpSender
from wirebook.core.wire.packet import Channel, Encoder, decode
from wirebook.core.wire.records import Batch, Kind

from .namespaces import Lan, reason_not_to
from .support import PATIENCE, WIREBOOK, until

pytestmark = [
    pytest.mark.skipif(not build_info.AF_XDP, reason="this build has no AF_XDP"),
    pytest.mark.skipif(bool(reason_not_to()), reason=reason_not_to() or "-"),
]

GROUP, PORT = "239.192.7.1", 17001
SNAPSHOT_GROUP, SNAPSHOT_PORT = "239.192.7.2", 17002


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    made = Lan()
    try:
        made.make()
        yield made
    finally:
        made.unmake()


def settings(lan: Lan, home: Path, senders: Sequence[str] = (), **af_xdp: object) -> Config:
    """For the host on the right."""
    return configuration.parse(
        {
            "transport": {"kind": "af_xdp", "interface": lan.right, "ttl": 1, "senders": list(senders)},
            "af_xdp": {"helper": str(home / "xdp.sock"), **af_xdp},
            "market": {"path": str(home / "market")},
        }
    )


def as_toml(config: Config) -> str:
    sections = {"transport": config.transport, "af_xdp": config.af_xdp, "market": config.market}
    return "\n".join(
        f"[{name}]\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in vars(section).items())
        for name, section in sections.items()
    )


@contextmanager
def helper(lan: Lan, config: Config, *prefix: str) -> Iterator[subprocess.Popen[bytes]]:
    """`wirebook xdp` on the right."""
    path = Path(config.af_xdp.helper)
    file = path.with_suffix(".toml")
    file.write_text(as_toml(config))
    path.unlink(missing_ok=True)  # of one before
    process = subprocess.Popen(
        lan.command(lan.right, *prefix, *WIREBOOK, "xdp", "--config", str(file)), stderr=subprocess.PIPE
    )
    try:
        until(path.exists, "wirebook xdp")
        yield process
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def receiving(lan: Lan, config: Config) -> Iterator[Any]:
    """The AF_XDP receiver on the right; its program is gone at the end."""
    from wirebook.xdp import reception

    with helper(lan, config):
        with lan.inside(lan.right):
            (receiver,) = reception.receivers(config)
        try:
            yield receiver
        finally:
            receiver.close()
            until(lambda: lan.xdp_program(lan.right) is None, "the program to be gone")


def sender(lan: Lan, group: str = GROUP, port: int = PORT) -> UdpSender:
    with lan.inside(lan.left):
        return UdpSender([Endpoint(group, port, lan.left)])


def raw(lan: Lan) -> socket.socket:
    """Sends whole frames from the left."""
    with lan.inside(lan.left):
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        made.bind((lan.left, 0))
    return made


def records(number: int) -> Batch:
    batch = Batch(number)
    for n in range(number):
        batch.append(n % 2048, Kind.BID, price=n, quantity=1)
    return batch


def summed(data: bytes) -> bytes:
    """The frame with a checksum in its UDP header (RFC 768)."""
    datagram = data[34:40] + b"\0\0" + data[42:]
    pseudo = data[26:34] + struct.pack(">HH", socket.IPPROTO_UDP, len(datagram))
    found = checksum(pseudo + datagram + bytes(len(datagram) % 2))
    return data[:40] + struct.pack(">H", found or 0xFFFF) + data[42:]


def drain(receiver: Receiver) -> list[tuple[bytes, Line, Stamp, int]]:
    received = receiver.poll(2000)
    while more := receiver.poll(100):
        received += more
    return received


def checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(
    payload: bytes, *, group: str = GROUP, port: int = PORT, ip_extra: int = 0, udp_extra: int = 0, **ip_fields: int
) -> bytes:
    """A frame to the group; `ip_extra` and `udp_extra` make its lengths wrong."""
    udp = struct.pack(">HHHH", 40000, port, 8 + len(payload) + udp_extra, 0) + payload
    options = bytes(ip_fields.get("options", 0))
    head = struct.pack(
        ">BBHHHBBH4s4s",
        0x45 + len(options) // 4, 0, 20 + len(options) + len(udp) + ip_extra, 0, ip_fields.get("fragment", 0), 1,
        ip_fields.get("protocol", 17), 0, socket.inet_aton("10.77.0.1"), socket.inet_aton(group),
    ) + options  # fmt: skip
    check = checksum(head) ^ ip_fields.get("damage", 0)
    head = head[:10] + struct.pack(">H", check) + head[12:]
    address = socket.inet_aton(group)
    mac = b"\1\0\x5e" + bytes([address[1] & 0x7F]) + address[2:]
    return mac + b"\2\0\0\0\0\1" + struct.pack(">H", ip_fields.get("ethertype", 0x0800)) + head + udp


@pytest.mark.parametrize("mode", ["native", "generic"])
def test_the_same_bytes_arrive_as_by_udp(lan: Lan, tmp_path: Path, mode: str) -> None:
    batch = records(29 * 100 + 5)
    with receiving(lan, settings(lan, tmp_path, mode=mode)) as receiver:
        assert (receiver.mode, receiver.xsk.zero_copy) == (mode, False)
        before = time.time_ns()
        sender(lan).publish(Encoder(1, 2, 3), batch)
        sender(lan, SNAPSHOT_GROUP, SNAPSHOT_PORT).publish(Encoder(1, 2, 3), batch, Channel.SNAPSHOT_CHANNEL)
        by_xdp = drain(receiver)
        after = time.time_ns()
        counted = receiver.counters()
    assert (counted["packets"], counted["drops"], counted["malformed"]) == (202, 0, 0)
    assert (counted["xdp_redirected"], counted["xdp_unstamped"]) == (202, 0)
    assert all(stamp == Stamp.STAMP_KERNEL and before < ns < after for _, _, stamp, ns in by_xdp)
    with lan.inside(lan.right):
        by_udp = [UdpReceiver(Endpoint(GROUP, PORT, lan.right))]
        by_udp.append(UdpReceiver(Endpoint(SNAPSHOT_GROUP, SNAPSHOT_PORT, lan.right)))
    sender(lan).publish(Encoder(1, 2, 3), batch)
    sender(lan, SNAPSHOT_GROUP, SNAPSHOT_PORT).publish(Encoder(1, 2, 3), batch, Channel.SNAPSHOT_CHANNEL)
    same = [drain(receiver) for receiver in by_udp]

    def but_for_send_time(data: bytes) -> bytes:
        return data[:24] + data[32:]

    assert sorted(but_for_send_time(data) for data, *_ in by_xdp) == sorted(
        but_for_send_time(data) for received in same for data, *_ in received
    )
    assert [decode(data).sequence for data, *_ in by_xdp[:101]] == list(range(1, 102))


def test_what_af_xdp_sends_is_received_by_kernel_sockets_and_by_af_xdp(lan: Lan, tmp_path: Path) -> None:
    from wirebook.core.transport.af_xdp.sender import AfXdpSender
    from wirebook.core.transport.af_xdp.socket import XskSocket

    batch = records(29 * 5000 + 5)
    with lan.inside(lan.left):
        xsk = XskSocket(lan.left, 0, sends=True)
        ours = AfXdpSender([(xsk, Endpoint(GROUP, PORT, lan.left))], 40000)
    with lan.inside(lan.right):
        kernel = UdpReceiver(Endpoint(GROUP, PORT, lan.right), 16 << 20)
    ours.publish(Encoder(1, 2, 3), batch)
    received = drain(kernel)
    assert [decode(data).sequence for data, *_ in received] == list(range(1, 5002))
    assert b"".join(bytes(decode(data).records) for data, *_ in received) == bytes(batch)
    kernel.close()
    with receiving(lan, settings(lan, tmp_path)) as receiver:
        ours.publish(Encoder(1, 2, 3), records(29 * 64))
        assert [decode(data).sequence for data, *_ in drain(receiver)] == list(range(1, 65))
        assert receiver.counters()["malformed"] == 0
    assert (ours.packets, ours.drops, ours.last_error) == (5001 + 64, 0, 0)
    ours.close()


def test_everything_else_goes_to_the_kernel(lan: Lan, tmp_path: Path) -> None:
    with receiving(lan, settings(lan, tmp_path)) as receiver:
        ping = lan.command(lan.left, "ping", "-c", "1", "-W", "5", "10.77.0.2")
        with lan.inside(lan.right):
            others = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
            others[0].bind(("10.77.0.2", PORT))
            others[1].bind((GROUP, PORT + 1))
            index = socket.if_nametoindex(lan.right)
            member = struct.pack("@4s4si", socket.inet_aton(GROUP), b"", index)
            others[1].setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            listener = socket.create_server(("10.77.0.2", 0))
        with lan.inside(lan.left):
            tcp = socket.create_connection(listener.getsockname(), PATIENCE)
            unicast = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            unicast.sendto(b"to our port, but not to our group", ("10.77.0.2", PORT))
            other_port = UdpSender([Endpoint(GROUP, PORT + 1, lan.left)])
        other_port.publish(Encoder(1, 2, 3), records(1))
        for each in others:
            each.settimeout(PATIENCE)
        assert others[0].recv(100).startswith(b"to our port")
        assert decode(others[1].recv(2000)).sequence == 1
        if Path("/bin/ping").exists():
            assert subprocess.run(ping, capture_output=True, check=False).returncode == 0
        tcp.close()
        assert receiver.poll() == []
        counted = receiver.counters()
    assert (counted["xdp_redirected"], counted["xdp_other"] > 5) == (0, True)


@pytest.mark.parametrize(
    ("verdict", "fields"),
    [
        ("redirected", {}),
        ("fragment", {"fragment": 0x2000}),
        ("fragment", {"fragment": 0x0001}),
        ("options", {"options": 4}),
        ("bad_length", {"ip_extra": 400}),
        ("bad_length", {"udp_extra": 1}),
        ("bad_length", {"udp_extra": -1}),
        ("bad_checksum", {"damage": 1}),
        ("other", {"ethertype": 0x8100}),
        ("other", {"ethertype": 0x86DD}),
        ("other", {"protocol": 2}),
        ("other", {"port": 17003}),
        ("other", {"group": "239.192.7.3"}),
    ],
)
def test_each_frame_has_its_verdict(lan: Lan, tmp_path: Path, verdict: str, fields: dict[str, Any]) -> None:
    (packet,) = Encoder(1, 2, 3).encode(records(2))
    with receiving(lan, settings(lan, tmp_path)) as receiver:
        before = receiver.counters()[f"xdp_{verdict}"]
        with raw(lan) as wire:
            for _ in range(1000):
                wire.send(frame(packet, **fields))
        until(lambda: receiver.counters()[f"xdp_{verdict}"] - before >= 1000, f"1000 verdicts {verdict}")
        received = drain(receiver)
        counted = receiver.counters()
    passed = 1000 if verdict == "redirected" else 0
    assert (len(received), counted["xdp_redirected"], counted["drops"]) == (passed, passed, 0)
    assert all(data == packet for data, *_ in received)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 31, 32, 33, 40, 185, 1432, 1472])
def test_a_wrong_udp_checksum_is_refused_and_none_is_not(lan: Lan, tmp_path: Path, length: int) -> None:
    payload = bytes(range(1, 256)) * 6
    right = summed(frame(payload[:length]))
    wrong = [right[:place] + bytes([right[place] ^ 0x10]) + right[place + 1 :] for place in (42, len(right) - 1, 35)]
    with receiving(lan, settings(lan, tmp_path)) as receiver, raw(lan) as wire:
        for data in (*wrong, right, frame(payload[:length])):
            wire.send(data)
        assert [data for data, *_ in drain(receiver)] == [payload[:length]] * 2
        counted = receiver.counters()
    assert (counted["bad_udp_checksum"], counted["packets"], counted["malformed"]) == (3, 2, 0)
    with receiving(lan, settings(lan, tmp_path, verify_checksum=False)) as receiver, raw(lan) as wire:
        for data in wrong:
            wire.send(data)
        assert len(drain(receiver)) == 3


def test_only_listed_senders_are_taken(lan: Lan, tmp_path: Path) -> None:
    senders = [f"10.77.0.{number}" for number in range(10, 73)]
    with receiving(lan, settings(lan, tmp_path, senders=senders)) as receiver, raw(lan) as wire:
        wire.send(frame(b"a stranger's"))
        assert receiver.poll(100) == []
        assert receiver.counters()["xdp_unknown_sender"] == 1
    with receiving(lan, settings(lan, tmp_path, senders=[*senders, "10.77.0.1"])) as receiver, raw(lan) as wire:
        wire.send(frame(b"a friend's"))
        assert [data for data, *_ in drain(receiver)] == [b"a friend's"]
        assert receiver.counters()["xdp_unknown_sender"] == 0


def test_a_look_sees_all_that_came_before_it(lan: Lan, tmp_path: Path) -> None:
    with receiving(lan, settings(lan, tmp_path)) as receiver, raw(lan) as wire:
        for number in range(40):
            wire.send(frame(bytes([number])))
        assert len(receiver.poll(1000)) == 32
        for number in range(10):
            wire.send(frame(bytes([number])))
        assert len(receiver.poll()) == 18


def test_a_hole_is_waited_for_while_refused_frames_are_before_the_missing_packet(lan: Lan, tmp_path: Path) -> None:
    """The packet that line A lacks waits in the ring, behind more bad frames than one look takes."""
    config = configuration.parse(
        {
            "transport": {
                "kind": "af_xdp", "interface": lan.right,
                "group_b": "239.192.7.3", "snapshot_group_b": "239.192.7.4",
            },
            "af_xdp": {"helper": str(tmp_path / "xdp.sock")},
            "market": {"path": str(tmp_path / "market")},
        }
    )  # fmt: skip
    encoder = Encoder(1, 2, 3)
    first, second, third = (encoder.encode(records(1))[0] for _ in range(3))
    bad = bytearray(summed(frame(first)))
    bad[-1] ^= 1
    with receiving(lan, config) as receiver, raw(lan) as wire:
        writer = MarketWriter(tmp_path / "market", 16)
        engine = Engine(Books(16, Arena(2 << 20, "off")), writer, [receiver], lines=2, gap_timeout=0)
        for data in (frame(first), frame(third), *[bytes(bad)] * 100, frame(second, group="239.192.7.3")):
            wire.send(data)
        engine.run(0.1)
        counted = engine.counters()
        assert receiver.counters()["bad_udp_checksum"] == 100
    assert (counted["packets"], counted["gaps"], counted["gap_timeouts"], counted["late"]) == (3, 0, 0, 0)


def test_a_padded_frame_has_only_its_packet(lan: Lan, tmp_path: Path) -> None:
    with receiving(lan, settings(lan, tmp_path)) as receiver, raw(lan) as wire:
        wire.send(frame(b"short") + bytes(40))
        assert [data for data, *_ in drain(receiver)] == [b"short"]


def test_more_than_the_rate_limit_is_dropped_and_counted(lan: Lan, tmp_path: Path) -> None:
    with receiving(lan, settings(lan, tmp_path, packets_per_second=10, burst=50)) as receiver:
        sender(lan).publish(Encoder(1, 2, 3), records(29 * 500))
        received = len(drain(receiver))
        counted = receiver.counters()
        assert 51 <= received <= 70
        assert (counted["xdp_redirected"], counted["xdp_over_rate"]) == (received, 500 - received)
        time.sleep(1)
        sender(lan).publish(Encoder(1, 2, 3), records(29 * 5))
        assert len(drain(receiver)) == 5


def test_a_reader_that_is_too_slow_loses_packets_and_counts_them(lan: Lan, tmp_path: Path) -> None:
    with receiving(lan, settings(lan, tmp_path)) as receiver:
        sender(lan).publish(Encoder(1, 2, 3), records(29 * 5000))
        until(lambda: receiver.counters()["xdp_redirected"] == 5000, "all to be sent")
        received = len(drain(receiver))
        assert received == 2048, "the receive ring holds so many"
        assert receiver.counters()["drops"] == 5000 - received
        sender(lan).publish(Encoder(1, 2, 3), records(29 * 2000))
        assert len(drain(receiver)) == 2000, "every frame was given back"
