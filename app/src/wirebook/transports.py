"""The transport that [transport] asks for: the one place that knows which kinds there are."""

from __future__ import annotations

from wirebook.config import Transport
from wirebook.core.packet import Channel
from wirebook.core.transport import Endpoint, Receiver, Sender
from wirebook.core.udp import UdpReceiver, UdpSender


def endpoint(transport: Transport, channel: Channel) -> Endpoint:
    """Where a channel goes."""
    if channel == Channel.SNAPSHOT_CHANNEL:
        return Endpoint(transport.snapshot_group, transport.snapshot_port, transport.interface)
    return Endpoint(transport.group, transport.port, transport.interface)


def receivers(transport: Transport) -> tuple[Receiver, ...]:
    """For the book process, in the order in which it shall look. Raises UserError for what the host can't give."""
    return tuple(
        UdpReceiver(
            endpoint(transport, channel),
            transport.receive_buffer,
            transport.busy_poll_us,
            seldom=channel == Channel.SNAPSHOT_CHANNEL,
        )
        for channel in (Channel.INCREMENTAL_CHANNEL, Channel.SNAPSHOT_CHANNEL)
    )


def sender(transport: Transport, channel: Channel) -> Sender:
    """For a feed's packets of one channel. Raises UserError for what the host can't give."""
    return UdpSender([endpoint(transport, channel)], transport.ttl, transport.loopback)
