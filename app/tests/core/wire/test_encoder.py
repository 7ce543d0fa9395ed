"""What an encoder writes into a header that nobody hands to it."""

from __future__ import annotations

import time

import pytest

from wirebook.core.wire.packet import Channel, Encoder, decode
from wirebook.core.wire.records import Batch, Kind


@pytest.mark.parametrize("channel", list(Channel))
def test_every_packet_says_when_it_was_made(channel: Channel) -> None:
    """Readers tell by it how long it was on its way."""
    batch = Batch(29 * 3)
    for price in range(29 * 3):
        batch.append(0, Kind.BID, 0, 0, 1, price, 1)
    before = time.time_ns()
    sent = [decode(packet).send_ns for packet in Encoder(1, 1, 1).encode(batch, channel)]
    after = time.time_ns()
    assert len(sent) == 3
    assert before <= sent[0] <= sent[1] <= sent[2] <= after


def test_channels_are_numbered_each_by_itself_from_one() -> None:
    encoder, batch = Encoder(1, 1, 1), Batch(1)
    batch.append(0, Kind.HEARTBEAT)
    order = [Channel.INCREMENTAL_CHANNEL, Channel.SNAPSHOT_CHANNEL, Channel.INCREMENTAL_CHANNEL]
    packets = [decode(encoder.encode(batch, channel)[0]) for channel in order]
    assert [(packet.channel, packet.sequence) for packet in packets] == [(0, 1), (1, 1), (0, 2)]
