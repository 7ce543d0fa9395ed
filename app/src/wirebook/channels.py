"""Where packets go: two channels, each on one line or two, each line to a group of its own."""

from __future__ import annotations

from wirebook.config import Transport
from wirebook.core.transport.base import Endpoint
from wirebook.core.wire.packet import Channel

CHANNELS = (Channel.INCREMENTAL_CHANNEL, Channel.SNAPSHOT_CHANNEL)


def endpoints(transport: Transport, channel: Channel) -> list[Endpoint]:
    """Return where a channel goes: line A, and line B if there is one."""
    snapshots = channel == Channel.SNAPSHOT_CHANNEL
    group, port = (
        (transport.snapshot_group, transport.snapshot_port) if snapshots else (transport.group, transport.port)
    )
    lines = [Endpoint(group, port, transport.interface)]
    if transport.group_b:
        group_b, port_b = (
            (transport.snapshot_group_b, transport.snapshot_port_b)
            if snapshots
            else (transport.group_b, transport.port_b)
        )
        lines.append(Endpoint(group_b, port_b or port, transport.interface_b or transport.interface))
    return lines


def lines(transport: Transport) -> int:
    """Return on how many lines packets come."""
    return 2 if transport.group_b else 1
