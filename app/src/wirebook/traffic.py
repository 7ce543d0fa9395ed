"""Captures: raw venue traffic, one message a line: `<receive time, ns since 1970> <message as sent>`.

Plain text, gzip (`.gz`) or zstd (`.zst`), told by the file's first bytes. `sim` and `replay` read them.

Between the messages lie marks, of which connection they came by and what happened to it: `<time> {"wirebook":KIND,...}`
with the connection's number. The lines after a mark are of its connection. Recordings from before there were marks have
none, and are read as one connection's.

- `connected`, with the `symbols` that it follows; `disconnected`; `retired`, for a successor whose traffic comes next
- `connection`: the next lines are of another one
- `request`, with `symbol` and `path`: a book was asked for by REST, whose answer is a line of its own
- `binary`, with `base64`: a frame that isn't text
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import orjson

from wirebook.errors import UserError

_MARK = b'{"wirebook":"'
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"


class Mark(NamedTuple):
    """What happened to a connection."""

    kind: str
    connection: int
    details: dict[str, Any]


def mark(kind: str, connection: int, **details: object) -> bytes:
    """The text of a mark."""
    return orjson.dumps({"wirebook": kind, "connection": connection, **details})


def mark_of(raw: bytes) -> Mark | None:
    """The mark that a line is, None if it is a message."""
    if not raw.startswith(_MARK):
        return None
    try:
        details = orjson.loads(raw)
        return Mark(str(details.pop("wirebook")), int(details.pop("connection")), details)
    except (ValueError, KeyError, TypeError):
        return None  # a message after all, and no venue's


def read(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (receive time in ns, message) for every message of the capture at `path`; raises as `entries`."""
    return (entry for entry in entries(path) if mark_of(entry[1]) is None)


def entries(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (time in ns, message or mark) for every line of the capture at `path`. A message may be empty.

    Raises UserError with the file and the line number for a missing or truncated file and for a line that isn't a
    capture's. Lines before the damage have been yielded by then.
    """
    number = 0
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, start=1):
                stamp, separator, message = line.rstrip(b"\r\n").partition(b" ")
                if not separator or not stamp.isdigit() or len(stamp) > 19:
                    raise UserError(
                        f"{path}, line {number}: expected `<ns since 1970> <message>`, found {line[:40]!r}; "
                        "is this a capture?"
                    )
                yield int(stamp), message
    except (EOFError, zlib.error) as error:
        raise UserError(f"{path} ends or breaks off after line {number}: it is truncated; copy it again") from error
    except gzip.BadGzipFile as error:
        raise UserError(f"{path} is damaged after line {number}: {error}; copy it again") from error
    except OSError as error:
        raise UserError(f"can't read the capture {path}: {error.strerror or error}; check its name") from error
    if number == 0:
        raise UserError(f"the capture {path} is empty; record or copy it again")


def _open(path: Path) -> BinaryIO:
    raw = path.open("rb")
    head = raw.read(4)
    raw.seek(0)
    if head.startswith(_GZIP):
        return cast(BinaryIO, gzip.GzipFile(fileobj=raw))
    if head == _ZSTD:
        return cast(BinaryIO, io.BufferedReader(_ZstdFrames(raw), 1 << 17))
    return raw


class _ZstdFrames(io.RawIOBase):
    """The bytes of a zstd file; unlike for the library's own reader, an end inside a frame is an error, not the end."""

    def __init__(self, raw: BinaryIO) -> None:
        import zstandard  # only a capture written with zstd needs it

        self._raw = raw
        self._error = zstandard.ZstdError
        self._decompressor = zstandard.ZstdDecompressor()
        self._frame = self._decompressor.decompressobj()
        self._inside = False
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._ready:
            chunk = self._frame.unused_data or self._raw.read(1 << 17)
            if not chunk:
                if self._inside:
                    raise EOFError
                return 0
            if self._frame.eof:
                self._frame = self._decompressor.decompressobj()
            try:
                self._ready = self._frame.decompress(chunk)
            except self._error as error:
                raise zlib.error(str(error)) from error
            self._inside = not self._frame.eof
        size = min(len(buffer), len(self._ready))
        buffer[:size] = self._ready[:size]
        self._ready = self._ready[size:]
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()
