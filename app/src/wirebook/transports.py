"""The transport that the configuration asks for: the one place that knows which kinds there are."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from wirebook.channels import CHANNELS, endpoints
from wirebook.config import Config, Transport
from wirebook.core import build_info
from wirebook.core.transport.base import Receiver, Sender
from wirebook.core.transport.udp import UdpReceiver, UdpSender
from wirebook.core.wire.packet import Channel
from wirebook.errors import UserError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reception:
    """What the book process receives packets with."""

    receivers: tuple[Receiver, ...]
    """In the order in which the book process looks at them."""
    kind: str
    """What was obtained: udp or af_xdp."""
    how: str
    """A few words about it for the operator."""
    fell_back: str = ""
    """Why it isn't what `transport.kind` asks for; empty if it is."""


def receivers(config: Config) -> Reception:
    """For the book process. Raises UserError for what the host can't give, unless `transport.fallback` allows UDP."""
    if config.transport.kind == "udp":
        return by_udp(config.transport)
    try:
        require_af_xdp()
        from wirebook.xdp import reception

        found = reception.receivers(config)
        return Reception(found, "af_xdp", "; ".join(map(reception.described, found)))
    except UserError as error:
        if config.transport.fallback == "refuse":
            raise
        _log.warning("AF_XDP is not available, packets come through the kernel (transport.fallback): %s", error)
        return by_udp(config.transport, str(error))


def by_udp(transport: Transport, fell_back: str = "") -> Reception:
    """Through the kernel, a socket for each channel and line. Raises UserError for what the host can't give."""
    receivers = tuple(
        UdpReceiver(
            endpoint,
            transport.receive_buffer,
            transport.busy_poll_us,
            line=line,
            seldom=channel == Channel.SNAPSHOT_CHANNEL,
        )
        for channel in CHANNELS
        for line, endpoint in enumerate(endpoints(transport, channel))
    )
    stamps = ", ".join(dict.fromkeys(receiver.stamps for receiver in receivers))
    return Reception(receivers, "udp", f"kernel sockets, packets stamped {stamps}", fell_back)


def sender(config: Config, channel: Channel) -> Sender:
    """For a feed's packets of one channel, on all lines. Raises UserError for what the host can't give."""
    transport = config.transport
    if transport.kind == "af_xdp" and config.af_xdp.send_queue >= 0:
        require_af_xdp()
        from wirebook.xdp import reception

        return reception.sender(config, channel)
    return UdpSender(endpoints(transport, channel), transport.ttl, transport.loopback)


def require_af_xdp() -> None:
    """Raise UserError if this build has no AF_XDP."""
    if not build_info.AF_XDP:
        raise UserError(
            "this build of wirebook has no AF_XDP (wirebook --version --verbose says so): build it where clang, "
            'libbpf-dev and libxdp-dev are installed, or set transport.kind to "udp"'
        )
