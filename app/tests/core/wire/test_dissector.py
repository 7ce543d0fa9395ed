"""The Wireshark dissector reads what the encoder writes."""

import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind, Reason

DISSECTOR = Path(__file__).parents[3] / "wireshark" / "wirebook.lua"
FIELDS = (
    "wirebook.venue",
    "wirebook.sequence",
    "wirebook.record.kind",
    "wirebook.record.price",
    "wirebook.record.reason",
    "wirebook.record.name",
)

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")


def frame(payload: bytes) -> bytes:
    """An Ethernet frame with the payload in UDP to a multicast group; the checksums are absent."""
    udp = struct.pack(">HHHH", 40000, 17001, 8 + len(payload), 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 1, 17, 0, b"\x7f\0\0\1", b"\xef\xc0\7\1")
    return bytes(12) + b"\x08\0" + ip + udp


def dissect(folder: Path, packets: list[bytes], *arguments: str) -> list[str]:
    capture = folder / "packets.pcap"
    with capture.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for packet in packets:
            data = frame(packet)
            file.write(struct.pack("<IIII", 1, 0, len(data), len(data)) + data)
    done = subprocess.run(
        ["tshark", "-X", f"lua_script:{DISSECTOR}", "-r", str(capture), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


def packets() -> list[bytes]:
    batch = Batch(8)
    batch.define(3, "binance:BTCUSDT", 2, 5)
    batch.append(3, Kind.ASK, Flag.EVENT_END, 0, 78, 6183764, 154698, 1, 2)
    batch.append(3, Kind.STALE, 0, Reason.CHECKSUM, 78)
    return Encoder(7, 1, 1_700_000_000).encode(batch)


def test_fields_are_what_was_encoded(tmp_path: Path) -> None:
    arguments = ["-T", "fields"] + [part for name in FIELDS for part in ("-e", name)]
    (line,) = dissect(tmp_path, packets(), *arguments)
    assert line.split("\t") == ["7", "1", "6,1,4", "6183764,0", "3", "binance:BTCUSDT"]


def test_a_cut_packet_is_marked(tmp_path: Path) -> None:
    (packet,) = packets()
    arguments = ["-Y", "wirebook.truncated", "-T", "fields", "-e", "frame.number"]
    assert dissect(tmp_path, [packet, packet[:-10]], *arguments) == ["2"]


def test_other_traffic_is_left_alone(tmp_path: Path) -> None:
    assert dissect(tmp_path, [b"WBK2" + bytes(60), b"WBK1"], "-Y", "wirebook") == []
