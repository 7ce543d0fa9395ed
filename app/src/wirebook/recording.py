"""Recording: a feed's raw traffic into capture files, by a process of its own.

The feed only appends to a list and, every few milliseconds, writes to a pipe that never blocks. Compression and the
disk are another process's business: a thread would hold the interpreter's lock for milliseconds at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import zstandard

from wirebook import traffic
from wirebook.errors import UserError

_log = logging.getLogger(__name__)

_PIPE_BYTES = 1 << 20
"""What an unprivileged process may ask for, /proc/sys/fs/pipe-max-size."""
_MOST_WAITING_BYTES = 64 << 20
"""What may wait for the recording process; some seconds of the busiest feed."""
_LINES_PER_WRITE = 512
"""Less than IOV_MAX of writev(2)."""
_CLOSE_SECONDS = 10.0
_FRAME_BYTES = 4 << 20
_FRAME_SECONDS = 5.0
"""A zstd frame is ended after so much text or time: what a crash can spoil."""
_READ_BYTES = 1 << 18


class Recorder:
    """The feed's end of a recording. Nothing here waits but `close`."""

    def __init__(self, directory: Path, name: str, megabytes: int, seconds: float, cpus: Iterable[int]) -> None:
        """Record into `directory`, a file `name-TIME.zst` after the other, each of `megabytes` or `seconds` at most.

        `cpus`: where the recording process may run. Raises UserError if nothing can be written there.
        """
        if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
            raise UserError(f"can't write recordings to {directory}; make it a directory that this user may write")
        self.dropped = 0
        """Messages that were not recorded, because the recording process fell behind or ended."""
        self._connections = 0
        self._connection = 0
        """Of which the last line was."""
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._told = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "wirebook.recording", str(directory), name, str(megabytes), str(seconds)],
            stdin=subprocess.PIPE,
        )
        os.sched_setaffinity(self._process.pid, cpus)
        assert self._process.stdin is not None  # noqa: S101 (for the type checker)
        self._pipe = self._process.stdin.fileno()
        with contextlib.suppress(PermissionError):  # this user's pipes hold all that they may: the default has to do
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._pipe, False)

    def next_connection(self) -> int:
        """A number for a connection that was made."""
        self._connections += 1
        return self._connections

    def write(self, receive_ns: int, raw: bytes, connection: int = 0) -> None:
        """Add a message or a mark of a connection. It is counted and left out if too much is waiting."""
        if self._waiting > _MOST_WAITING_BYTES:
            self.dropped += 1
            return
        if connection != self._connection:
            self._connection = connection
            if traffic.mark_of(raw) is None:
                self._add(b"%d %b\n" % (receive_ns, traffic.mark("connection", connection)))
        # a line break can only be white space between JSON's tokens
        self._add(b"%d %b\n" % (receive_ns, raw.replace(b"\n", b" ")))

    def flush(self) -> None:
        """Pass on what the pipe takes, and say what was left out. To be called now and then."""
        try:
            self._pass_on()
        except BlockingIOError:
            pass
        except BrokenPipeError:
            if self._waiting <= _MOST_WAITING_BYTES:
                _log.error("the recording process has ended: nothing is recorded any more")
            self.dropped += len(self._lines)
            self._lines.clear()
            self._waiting = _MOST_WAITING_BYTES + 1
        if self.dropped > self._told * 2:
            self._told = self.dropped
            _log.warning("%d messages were not recorded so far: recording is slower than the feed", self.dropped)

    def close(self) -> None:
        """Pass on everything, and wait until it is on disk, for some seconds at most."""
        assert self._process.stdin is not None  # noqa: S101 (for the type checker)
        deadline = time.monotonic() + _CLOSE_SECONDS
        while self._lines and time.monotonic() < deadline:
            self.flush()
            time.sleep(0.005)
        self._process.stdin.close()
        try:
            self._process.wait(_CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            _log.warning("the recording process doesn't end: its last file may be truncated")
            self._process.kill()
            self._process.wait()

    def _add(self, line: bytes) -> None:
        self._lines.append(line)
        self._waiting += len(line)

    def _pass_on(self) -> None:
        lines = self._lines
        while lines:
            taken = os.writev(self._pipe, list(islice(lines, _LINES_PER_WRITE)))
            self._waiting -= taken
            while taken and taken >= len(lines[0]):
                taken -= len(lines.popleft())
            if taken:
                lines[0] = lines[0][taken:]


class Files:
    """Capture files in zstd frames, rotated by size and age. A file is called `.part` until it is whole."""

    def __init__(
        self, directory: Path, name: str, most_bytes: int, most_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._directory = directory
        self._name = name
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._clock = clock
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._file: BinaryIO | None = None
        self._path = Path()
        self._opened = 0.0
        self._frame = bytearray()
        self._frame_began = 0.0

    def write(self, lines: bytes) -> None:
        """Add whole lines."""
        now = self._clock()
        if not self._frame:
            self._frame_began = now
        self._frame += lines
        self.tick()

    def tick(self) -> None:
        """End a frame and a file that are old or large enough."""
        now = self._clock()
        if len(self._frame) >= _FRAME_BYTES or (self._frame and now - self._frame_began >= _FRAME_SECONDS):
            self._end_frame()
        if self._file is not None and now - self._opened >= self._most_seconds:
            self.close()

    def close(self) -> None:
        """End the file; the next line begins another one."""
        self._end_frame()
        if self._file is not None:
            self._file.close()
            self._file = None
            self._path.rename(self._path.with_suffix(""))

    def _end_frame(self) -> None:
        if not self._frame:
            return
        if self._file is None:
            self._open()
        assert self._file is not None  # noqa: S101 (for the type checker)
        self._file.write(self._compressor.compress(bytes(self._frame)))
        self._file.flush()
        self._frame.clear()
        if self._file.tell() >= self._most_bytes:
            self.close()

    def _open(self) -> None:
        self._opened = self._clock()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._opened))
        number = 0
        while True:
            self._path = self._directory / f"{self._name}-{stamp}-{number}.zst.part"
            if not self._path.exists() and not self._path.with_suffix("").exists():
                break
            number += 1
        self._file = self._path.open("xb")


def main() -> None:
    """The recording process: capture lines from standard input into files, until its end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("name")
    parser.add_argument("megabytes", type=int)
    parser.add_argument("seconds", type=float)
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # they end the feed, which then closes the pipe
        signal.signal(number, signal.SIG_IGN)
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(10)
    files = Files(options.directory, options.name, options.megabytes << 20, options.seconds)
    try:
        _copy(sys.stdin.fileno(), files)
        files.close()
    except OSError as error:
        sys.exit(f"ERROR recording to {options.directory}: {error.strerror}; nothing is recorded any more")


def _copy(source: int, files: Files) -> None:
    rest = b""
    while True:
        if not select.select([source], [], [], 1.0)[0]:
            files.tick()
            continue
        chunk = os.read(source, _READ_BYTES)
        if not chunk:
            return
        whole, newline, tail = chunk.rpartition(b"\n")
        if newline:
            files.write(rest + whole + newline)
            rest = tail
        else:
            rest += chunk


if __name__ == "__main__":
    main()
