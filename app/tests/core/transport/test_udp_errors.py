"""Packets that don't leave and packets that don't arrive: each is counted once, and the others go on."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest

from wirebook.core.transport.base import Endpoint
from wirebook.core.transport.udp import UdpReceiver, UdpSender
from wirebook.core.wire.packet import Encoder

from .test_udp import GROUP, drain, in_namespace, records

PORTS = count(21_600)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint(GROUP, next(PORTS), "lo")


def test_packets_of_a_closed_sender_are_counted(endpoint: Endpoint) -> None:
    sender = UdpSender([endpoint])
    sender.publish(Encoder(1, 1, 1), records(29 * 2))
    sender.close()
    sender.publish(Encoder(1, 1, 1), records(29 * 40 + 1))
    assert (sender.packets, sender.drops) == (2, 41)


def sockets() -> dict[str, int]:
    """This process's sockets: which one it is, and its descriptor."""
    told = {str(link.readlink()): int(link.name) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()}
    return {which: number for which, number in told.items() if which.startswith("socket:")}


def test_a_line_that_fails_costs_the_other_nothing(endpoint: Endpoint) -> None:
    receiver = UdpReceiver(endpoint)
    before = sockets()
    sender = UdpSender([Endpoint("239.192.99.8", endpoint.port, "lo"), endpoint])
    line_a, _ = sorted(number for which, number in sockets().items() if which not in before)
    with Path("/dev/null").open("wb") as null:
        os.dup2(null.fileno(), line_a)  # line A's socket is no socket any more
    sender.publish(Encoder(1, 1, 1), records(29 * 5))
    assert len(drain(receiver)) == 5
    assert (sender.packets, sender.drops) == (5, 5)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a network namespace")
def test_a_packet_that_the_socket_refuses_is_counted_and_those_after_it_are_sent() -> None:
    """On an interface whose packets are too short for the large ones (EMSGSIZE), small ones in the same burst leave."""
    said = in_namespace(f"""
import os, socket
subprocess.run(["ip", "link", "set", "wb7", "mtu", "1000"], check=True)
endpoint = Endpoint("{GROUP}", 21000, "wb7")
receiver = UdpReceiver(endpoint)
before = {{entry.name for entry in os.scandir("/proc/self/fd") if "socket:" in os.readlink(entry.path)}}
sender = UdpSender([endpoint])
after = {{entry.name for entry in os.scandir("/proc/self/fd") if "socket:" in os.readlink(entry.path)}}
(number,) = map(int, after - before)
with socket.socket(fileno=os.dup(number)) as same:
    same.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO: nothing is sent in fragments
batch = Batch(29 * 3 + 1)
for price in range(29 * 3 + 1):
    batch.append(0, 0, price=price)
sender.publish(Encoder(1, 1, 1), batch)
print(sender.packets, sender.drops, sender.bytes)
print(*[len(data) for data, *_ in receiver.poll(100)])
""")
    assert said.splitlines() == ["1 3 88", "88"]


def test_drops_are_the_kernels_own_count_however_often_it_is_told(endpoint: Endpoint) -> None:
    """Each packet after a drop brings the socket's total."""
    receiver, sender, encoder = UdpReceiver(endpoint, 65536), UdpSender([endpoint]), Encoder(1, 1, 1)
    sender.publish(encoder, records(29 * 500))
    received = len(drain(receiver))
    assert received < 500
    for number in range(1, 6):
        sender.publish(encoder, records(1))
        received += len(drain(receiver))
        assert receiver.drops == 500 + number - received
