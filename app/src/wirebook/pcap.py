"""Writes pcapng, the capture format of Wireshark and tcpdump (draft-ietf-opsawg-pcapng), with nanosecond stamps."""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

ETHERNET: Final = 1
IPV4: Final = 228
"""Link types: what a packet's first byte belongs to."""
_SECTION: Final = 0x0A0D0D0A
_INTERFACE: Final = 1
_STATISTICS: Final = 5
_PACKET: Final = 6
_BYTE_ORDER: Final = 0x1A2B3C4D
_OPTION_NAME: Final = 2
_OPTION_DESCRIPTION: Final = 3
_OPTION_RESOLUTION: Final = 9
_OPTION_APPLICATION: Final = 4
_OPTION_DROPPED: Final = 5
_NANOSECONDS: Final = bytes([9])
LARGEST: Final = 65535


class Writer:
    """One interface's packets in `file`. `about` is a sentence on where they were taken and who stamped them."""

    def __init__(self, file: BinaryIO, link_type: int, interface: str, about: str, application: str) -> None:
        self._file = file
        self.packets = 0
        section = struct.pack("<IHHq", _BYTE_ORDER, 1, 0, -1)
        self._block(_SECTION, section + _options((_OPTION_APPLICATION, application.encode())))
        described = _options(
            (_OPTION_NAME, interface.encode()),
            (_OPTION_DESCRIPTION, about.encode()),
            (_OPTION_RESOLUTION, _NANOSECONDS),
        )
        self._block(_INTERFACE, struct.pack("<HHI", link_type, 0, LARGEST) + described)

    def packet(self, data: bytes, length: int, receive_ns: int) -> None:
        """Add a packet: what was captured of it, its length on the wire, and when it arrived (ns since 1970)."""
        head = struct.pack("<IIIII", 0, receive_ns >> 32, receive_ns & 0xFFFFFFFF, len(data), length)
        self._block(_PACKET, head + _padded(data))
        self.packets += 1

    def end(self, dropped: int, now_ns: int) -> None:
        """Say how many packets were lost on the way here, and finish."""
        head = struct.pack("<III", 0, now_ns >> 32, now_ns & 0xFFFFFFFF)
        self._block(_STATISTICS, head + _options((_OPTION_DROPPED, struct.pack("<Q", dropped))))
        self._file.flush()

    def _block(self, kind: int, body: bytes) -> None:
        length = struct.pack("<I", 12 + len(body))
        self._file.write(struct.pack("<I", kind) + length + body + length)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _options(*options: tuple[int, bytes]) -> bytes:
    return b"".join(struct.pack("<HH", code, len(value)) + _padded(value) for code, value in options) + bytes(4)
