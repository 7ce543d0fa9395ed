"""Real multicast over the loopback interface."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count

import pytest

from wirebook.core.transport.base import Endpoint, Line, Stamp
from wirebook.core.transport.udp import UdpReceiver, UdpSender
from wirebook.core.wire.packet import Channel, Encoder, decode
from wirebook.core.wire.records import Batch, Kind
from wirebook.errors import UserError

GROUP = "239.192.99.1"
PORTS = count(21_100)


@pytest.fixture
def port() -> int:
    return next(PORTS)


def records(number: int) -> Batch:
    batch = Batch(number)
    for n in range(number):
        batch.append(n % 2048, Kind.BID, price=n, quantity=1)
    return batch


def at(port: int, group: str = GROUP) -> Endpoint:
    return Endpoint(group, port, "lo")


def drain(receiver: UdpReceiver) -> list[tuple[bytes, Line, Stamp, int]]:
    received = receiver.poll(1000)
    while more := receiver.poll(20):
        received += more
    return received


def kernel_stamps(port: int) -> None:
    """Wait until the kernel stamps packets: it begins some time after the first socket of the host asked for that."""
    endpoint = at(port, "239.192.99.9")
    receiver, sender = UdpReceiver(endpoint), UdpSender([endpoint])
    deadline = time.monotonic() + 10
    stamp = Stamp.STAMP_USER
    while stamp is not Stamp.STAMP_KERNEL:
        assert time.monotonic() < deadline
        sender.publish(Encoder(1, 1, 1), records(1))
        ((_, _, stamp, _),) = drain(receiver)


def test_every_packet_arrives_with_the_kernels_time(port: int) -> None:
    receiver, sender = UdpReceiver(at(port)), UdpSender([at(port)])
    assert receiver.stamps.startswith("by the kernel, since lo ")
    kernel_stamps(port)
    before = time.time_ns()
    sender.publish(Encoder(1, 2, 3), records(29 * 100 + 5), Channel.SNAPSHOT_CHANNEL)
    received = drain(receiver)
    after = time.time_ns()
    packets = [decode(data) for data, *_ in received]
    stamps = [stamp_ns for *_, stamp_ns in received]
    assert [packet.sequence for packet in packets] == list(range(1, 102))
    assert [price for packet in packets for price in packet.records.array["price"]] == list(range(29 * 100 + 5))
    assert {(line, stamp) for _, line, stamp, _ in received} == {(Line.LINE_A, Stamp.STAMP_KERNEL)}
    assert all(before <= stamp_ns <= after for stamp_ns in stamps)
    assert all(packet.send_ns <= stamp_ns for packet, stamp_ns in zip(packets, stamps, strict=True))
    assert (sender.packets, sender.drops, receiver.packets) == (101, 0, 101)
    assert sender.bytes == sum(len(data) for data, *_ in received)
    assert receiver.calls < 20, "many packets a system call"
    counters = receiver.counters()
    assert [counters[f"stamps_{who}"] for who in ("user", "kernel", "hardware")] == [0, 101, 0]


def test_two_readers_of_a_host_share_a_group_and_another_group_of_the_port_is_not_heard(port: int) -> None:
    readers = [UdpReceiver(at(port)) for _ in range(2)]
    other = UdpReceiver(at(port, "239.192.99.2"))
    UdpSender([at(port)]).publish(Encoder(1, 1, 1), records(1))
    assert [len(drain(reader)) for reader in readers] == [1, 1]
    assert other.poll(50) == []


def test_a_sender_sends_on_both_lines(port: int) -> None:
    lines = [at(port), at(port, "239.192.99.3")]
    receivers = [UdpReceiver(endpoint, line=line) for line, endpoint in enumerate(lines)]
    sender = UdpSender(lines)
    sender.publish(Encoder(1, 1, 1), records(29 * 40))
    received = [drain(receiver) for receiver in receivers]
    assert [data for data, *_ in received[0]] == [data for data, *_ in received[1]]
    assert [{line for _, line, *_ in packets} for packets in received] == [{Line.LINE_A}, {Line.LINE_B}]
    assert sender.counters() == {"packets": 80, "bytes": 2 * sum(len(data) for data, *_ in received[0]), "drops": 0}


@pytest.mark.parametrize("option", [socket.SO_REUSEADDR, socket.SO_REUSEPORT])
def test_a_reader_that_shares_in_one_way_only_gets_every_packet_too(port: int, option: int) -> None:
    ours = UdpReceiver(at(port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.setsockopt(socket.SOL_SOCKET, option, 1)
        other.bind((GROUP, port))
        other.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton("127.0.0.1")
        )
        UdpSender([at(port)]).publish(Encoder(1, 1, 1), records(29 * 8))
        assert len(drain(ours)) == 8
        other.settimeout(1)
        assert [len(other.recv(2000)) for _ in range(8)] == [1432] * 8


def in_namespace(code: str) -> str:
    """What the program says in a network namespace of its own, with a veth pair wb7, wb8 and another wb5, wb6."""
    setup = """
import subprocess
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch
from wirebook.core.transport.base import Endpoint
from wirebook.core.transport.udp import UdpReceiver, UdpSender
for words in ("link add wb7 type veth peer name wb8", "addr add 10.9.9.9/24 dev wb7", "link set wb7 up",
              "link set wb8 up", "link add wb5 type veth peer name wb6", "addr add 10.9.8.9/24 dev wb5",
              "link set wb5 up", "link set wb6 up"):
    subprocess.run(["ip", *words.split()], check=True)
batch = Batch(1)
batch.append(0, 0)
"""
    command = ["unshare", "-n", sys.executable, "-c", setup + code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if "Unknown device type" in result.stderr or "not supported" in result.stderr:
        pytest.skip("this kernel has no veth interfaces")
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a network namespace")
def test_a_group_on_two_interfaces_is_two_lines() -> None:
    said = in_namespace(f"""
lines = [Endpoint("{GROUP}", 21000, "wb7"), Endpoint("{GROUP}", 21000, "wb5")]
receivers = [UdpReceiver(endpoint, line=line) for line, endpoint in enumerate(lines)]
for line in lines:
    UdpSender([line]).publish(Encoder(1, 1, 1), batch)
    print(*[len(receiver.poll(50)) for receiver in receivers])
""")
    assert said.splitlines() == ["1 0", "0 1"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a network namespace")
def test_without_loopback_this_host_hears_nothing() -> None:
    # The loopback interface itself always loops; so another one, in a namespace that nobody else sees.
    said = in_namespace(f"""
for loopback in (True, False):
    endpoint = Endpoint("{GROUP}", 21000, "wb7")
    receiver = UdpReceiver(endpoint)
    UdpSender([endpoint], loopback=loopback).publish(Encoder(1, 1, 1), batch)
    print(len(receiver.poll(50)))
""")
    assert said.split() == ["1", "0"]


def test_what_the_kernel_drops_is_counted(port: int) -> None:
    receiver, sender = UdpReceiver(at(port), 65536), UdpSender([at(port)])
    encoder = Encoder(1, 1, 1)
    sender.publish(encoder, records(29 * 500))
    received = drain(receiver)
    assert len(received) < 500
    sender.publish(encoder, records(1))  # the count comes with the first packet after a drop
    received += drain(receiver)
    assert receiver.drops == 501 - len(received)


def test_the_receive_buffer_is_read_back(port: int) -> None:
    wanted = 1 << 20
    receiver = UdpReceiver(at(port), wanted)
    assert receiver.buffer_bytes == wanted
    assert receiver.notes == ()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may set the options")
def test_busy_polling_is_on_or_said_to_be_off(port: int) -> None:
    assert UdpReceiver(at(port), busy_poll_us=50).notes == ()
    code = f"""
from wirebook import capabilities
from wirebook.core.transport.base import Endpoint
from wirebook.core.transport.udp import UdpReceiver
capabilities.drop("CAP_NET_ADMIN")
print(*UdpReceiver(Endpoint("{GROUP}", {port}, "lo"), 65536, busy_poll_us=50).notes)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("busy polling is off (Operation not permitted): give the process CAP_NET_ADMIN")


def test_longer_packets_than_any_valid_one_are_cut_and_so_invalid(port: int) -> None:
    receiver = UdpReceiver(at(port))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as raw:
        raw.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        raw.sendto(b"x" * 9000, (GROUP, port))
    assert [len(data) for data, *_ in drain(receiver)] == [1536]


@pytest.mark.parametrize("make", [UdpReceiver, lambda endpoint: UdpSender([endpoint])])
def test_mistakes_get_a_sentence(make: Callable[[Endpoint], object], port: int) -> None:
    with pytest.raises(
        UserError, match=r"no interface 'nosuch0' \(this host has .*lo.*\): change transport\.interface"
    ):
        make(Endpoint(GROUP, port, "nosuch0"))
    with pytest.raises(UserError, match=r"'10\.0\.0\.1' is no IPv4 multicast group"):
        make(at(port, "10.0.0.1"))


def test_a_taken_port_gets_a_sentence(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as owner:
        owner.bind(("", port))
        with pytest.raises(UserError, match=f"can't join {GROUP}:{port} on 'lo': Address already in use"):
            UdpReceiver(at(port))
