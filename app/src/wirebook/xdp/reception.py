"""AF_XDP receivers and senders as the configuration asks for them."""

from __future__ import annotations

import functools
from pathlib import Path

from wirebook import channels
from wirebook.config import Config
from wirebook.core.transport.af_xdp.receiver import AfXdpReceiver
from wirebook.core.transport.af_xdp.sender import AfXdpSender
from wirebook.core.transport.af_xdp.socket import XskSocket
from wirebook.core.transport.af_xdp.tap import TAP, Tap
from wirebook.core.transport.base import Endpoint
from wirebook.core.wire.packet import Channel
from wirebook.errors import UserError
from wirebook.xdp.grant import Wanted, request


def wanted(config: Config) -> tuple[Wanted, ...]:
    """What is to be attached: one program and socket for each interface, with all groups that come by it."""
    found: dict[str, list[tuple[Endpoint, int]]] = {}
    for channel in channels.CHANNELS:
        for line, endpoint in enumerate(channels.endpoints(config.transport, channel)):
            found.setdefault(endpoint.interface, []).append((endpoint, line))
    return tuple(
        Wanted(tuple(destinations), config.af_xdp, config.transport.senders) for destinations in found.values()
    )


def receivers(config: Config) -> tuple[AfXdpReceiver, ...]:
    """For the book process. Raises UserError with the reason why AF_XDP isn't available."""
    tap = Tap(Path(config.market.path).with_name(TAP))
    made: list[AfXdpReceiver] = []
    try:
        for one in wanted(config):
            made.append(_receiver(config, one, tap))  # noqa: PERF401 (what was made is closed if one is refused)
    except UserError:
        tap.close()
        for receiver in made:
            receiver.close()
        raise
    return tuple(made)


def _receiver(config: Config, one: Wanted, tap: Tap) -> AfXdpReceiver:
    options = one.options
    xsk = XskSocket(one.interface, options.queue, copy=options.copy, hugepages=config.memory.hugepages)
    try:
        grant = request(options.helper, one.interface, xsk.fd)
    except BaseException:
        xsk.close()
        raise
    notes = list(grant.notes)
    if xsk.pages == "normal" and config.memory.hugepages != "off":
        notes.append(f"the packet memory of {one.interface} is on normal pages: raise vm.nr_hugepages by 5")
    return AfXdpReceiver(
        xsk, one.destinations, grant, options.busy_poll_us > 0, notes, tap, verify_checksum=options.verify_checksum
    )


def described(receiver: AfXdpReceiver) -> str:
    """What was obtained, in a few words."""
    xsk = receiver.xsk
    return (
        f"{xsk.interface} queue {xsk.queue_id}, {receiver.mode} mode, "
        f"{'zero-copy' if xsk.zero_copy else 'copy'}, {xsk.pages} pages"
    )


def sender(config: Config, channel: Channel) -> AfXdpSender:
    """For a feed's packets of one channel, on all lines; what leaves by an interface shares a socket."""
    options = config.af_xdp
    lines = [
        (_sending(endpoint.interface, options.send_queue, options.copy, config.memory.hugepages), endpoint)
        for endpoint in channels.endpoints(config.transport, channel)
    ]
    return AfXdpSender(lines, lines[0][1].port, config.transport.ttl)


@functools.cache
def _sending(interface: str, queue: int, copy: str, hugepages: str) -> XskSocket:
    return XskSocket(interface, queue, sends=True, copy=copy, hugepages=hugepages)
