"""How a fault spoils the text of one message. Venues spell things differently; these patterns know all of them."""

from __future__ import annotations

import re

_HTML = b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>"
_LARGEST_ID = (1 << 63) - 1

_CHECKSUM = re.compile(rb'("checksum":)(-?\d+)')
_LAST_ID = re.compile(rb'("(?:u|seqId|sequence_num)":)\d+')
_ID = re.compile(rb'("(?:U|u|pu|seq|seqId|prevSeqId|sequence_num)":)(-?\d+)')
_ROW = re.compile(rb'\["([0-9.]+)","([0-9.]+)"')
_COINBASE_ROW = re.compile(rb'"(price_level|new_quantity)":"([0-9.]+)"')
_KRAKEN_ROW = re.compile(rb'"(price|qty)":([0-9.]+)')
_PRICE = re.compile(rb'(\["|"price_level":"|"price":)([0-9]+)\.([0-9]+)')
_NAMES = {
    b"depthUpdate": b"depthUpdateV2",
    b'"orderbook.': b'"orderbook2.',
    b'"channel":"books"': b'"channel":"books2"',
    b'"channel":"book"': b'"channel":"book2"',
    b'"channel":"l2_data"': b'"channel":"l2_data2"',
}


def spoil(kind: str, message: bytes) -> list[bytes]:
    """Return what is sent instead of `message`; the message itself for kinds that leave its text alone."""
    half = len(message) // 2
    if kind == "drop":
        return []
    if kind == "duplicate":
        return [message, message]
    if kind == "truncate":
        return [message[:half]]
    if kind == "garble":
        return [message[:half] + b"?" + message[half + 1 :]]
    if kind == "html":
        return [_HTML]
    if kind == "checksum":
        return [_CHECKSUM.sub(lambda match: match[1] + b"%d" % (int(match[2]) + 1), message)]
    if kind == "id_jump":
        return [_LAST_ID.sub(rb"\g<1>%d" % _LARGEST_ID, message)]
    return [message]


def reformat(kind: str, message: bytes) -> bytes:
    """`message` in another format, for kinds `format_...`; else as it is."""
    if kind == "format_numbers":
        message = _ROW.sub(rb"[\1,\2", message)
        message = _COINBASE_ROW.sub(rb'"\1":\2', message)
        return _KRAKEN_ROW.sub(rb'"\1":"\2"', message)
    if kind == "format_exponent":
        return _PRICE.sub(lambda match: b"%b%de-%d" % (match[1], int(match[2] + match[3]), len(match[3])), message)
    if kind == "format_ids":
        return _ID.sub(rb'\1"\2"', message)
    if kind == "format_renamed":
        for name, other in _NAMES.items():
            message = message.replace(name, other)
        return message
    if kind == "format_field":
        place = message.find(b'"data":') + 1  # else the beginning
        brace = message.find(b"{", place) + 1
        return message[:brace] + b'"added":1,' + message[brace:] if brace else message
    return message


def ids(message: bytes) -> dict[bytes, bytes]:
    """The ids of a message, by the text before each."""
    return {match[1]: match[2] for match in _ID.finditer(message)}


def with_ids(message: bytes, others: dict[bytes, bytes]) -> bytes:
    """`message` with the ids of another one."""
    return _ID.sub(lambda match: match[1] + others.get(match[1], match[2]), message)


def half_frame(message: bytes) -> bytes:
    """The beginning of the WebSocket frame (RFC 6455, 5.2) of a text message."""
    size = len(message)
    if size < 126:
        header = bytes([0x81, size])
    elif size < 1 << 16:
        header = b"\x81\x7e" + size.to_bytes(2, "big")
    else:
        header = b"\x81\x7f" + size.to_bytes(8, "big")
    return header + message[: size // 2]
