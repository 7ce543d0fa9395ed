"""Recording: a feed's raw traffic into capture files, by a process of its own.

The feed only appends to a list and, every few milliseconds, writes to a pipe that never blocks. Compression and the
disk are another process's business: a thread would hold the interpreter's lock for milliseconds at a time.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from io import FileIO
from itertools import islice
from pathlib import Path

import zstandard

from wirebook import traffic
from wirebook.errors import UserError

_log = logging.getLogger(__name__)

_PIPE_BYTES = 1 << 20
"""The most that an unprivileged process may ask for, /proc/sys/fs/pipe-max-size."""
_MOST_WAITING_BYTES = 64 << 20
"""How much may wait for the recording process: some seconds of the busiest feed."""
_LINES_PER_WRITE = 512
"""Less than IOV_MAX of writev(2)."""
_CLOSE_SECONDS = 10.0
_FRAME_BYTES = 4 << 20
_FRAME_SECONDS = 5.0
"""A zstd frame is ended after this much text or time, so a crash can't spoil more."""
_READ_BYTES = 1 << 18
_TICK_SECONDS = 1.0
_LISTEN_SECONDS = 1.0
"""How often the feed hears how the recording process is doing."""
_SAID_SECONDS = 300.0
"""How often a lasting problem is logged again."""


class Recorder:
    """The feed's end of a recording. Nothing here waits but `close`."""

    def __init__(self, directory: Path, name: str, megabytes: int, seconds: float, cpus: Iterable[int]) -> None:
        """Record into `directory`, a file `name-TIME.zst` after the other, each of `megabytes` or `seconds` at most.

        `cpus`: where the recording process may run. Raises UserError if nothing can be written there.
        """
        if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
            raise UserError(f"can't write recordings to {directory}; make it a directory that this user may write")
        self._dropped = 0
        """Messages that the recording process didn't get, because it fell behind or ended."""
        self._lost = 0
        """Messages that it could not write."""
        self._directory = directory
        self._trouble = ""
        self._listen_at = 0.0
        self._say_at = 0.0
        self._connections = 0
        self._connection = 0
        """Of which the last line was."""
        self._lines: deque[bytes] = deque()
        self._waiting = 0
        self._told = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "wirebook.recording", str(directory), name, str(megabytes), str(seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        os.sched_setaffinity(self._process.pid, cpus)
        assert self._process.stdin is not None  # noqa: S101 (for the type checker)
        self._pipe = self._process.stdin.fileno()
        with contextlib.suppress(PermissionError):  # this user's pipes hold all that they may: the default has to do
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._pipe, False)
        assert self._process.stdout is not None  # noqa: S101 (for the type checker)
        self._words = self._process.stdout
        os.set_blocking(self._words.fileno(), False)

    @property
    def dropped(self) -> int:
        """Messages that were not recorded, for whatever reason."""
        return self._dropped + self._lost

    def next_connection(self) -> int:
        """Return a number for a new connection."""
        self._connections += 1
        return self._connections

    def write(self, receive_ns: int, raw: bytes, connection: int = 0) -> None:
        """Add a message or a mark of a connection. It is counted and left out if too much is waiting."""
        if self._waiting > _MOST_WAITING_BYTES:
            self._dropped += 1
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
            self._dropped += len(self._lines)
            self._lines.clear()
            self._waiting = _MOST_WAITING_BYTES + 1
        if self._dropped > self._told * 2:
            self._told = self._dropped
            _log.warning("%d messages were not recorded so far: recording is slower than the feed", self._dropped)
        now = time.monotonic()
        if now >= self._listen_at:
            self._listen_at = now + _LISTEN_SECONDS
            self._listen(now)

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
            self._listen(time.monotonic())
        except subprocess.TimeoutExpired:
            _log.warning("the recording process doesn't end: its last file may be truncated")
            self._process.kill()
            self._process.wait()

    def _listen(self, now: float) -> None:
        """Hear how the recording process is doing; log problems, once and then from time to time while they last."""
        try:
            words = self._words.read()
        except OSError:
            words = None
        for word in (words or b"").splitlines():
            said = json.loads(word)
            self._lost, trouble = said["lost"], said["trouble"]
            if trouble != self._trouble:
                self._trouble, self._say_at = trouble, now
                if not trouble:
                    _log.info("recording to %s goes on; %d messages are missing so far", self._directory, self._lost)
        if self._trouble and now >= self._say_at:
            self._say_at = now + _SAID_SECONDS
            _log.warning(
                "can't record to %s: %s; make room there, what comes meanwhile is lost (%d messages so far)",
                self._directory, self._trouble, self._lost,
            )  # fmt: skip

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
    """Capture files in zstd frames, rotated by size and age. A file is called `.part` until it is whole.

    What can't be written, when the disk is full, is tried again; what comes meanwhile beyond one frame is lost, and
    counted. A file never keeps half a frame.
    """

    def __init__(
        self, directory: Path, name: str, most_bytes: int, most_seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self.trouble = ""
        """Why nothing can be written at the moment; empty if it can."""
        self.lost = 0
        """Messages that were not written."""
        self._directory = directory
        self._name = name
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._clock = clock
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._file: FileIO | None = None
        self._size = 0
        """Of the whole frames in the file."""
        self._path = Path()
        self._opened = 0.0
        self._frame = bytearray()
        self._frame_began = 0.0

    def write(self, lines: bytes) -> None:
        """Add whole lines."""
        if self.trouble and len(self._frame) >= _FRAME_BYTES:
            self.lost += lines.count(b"\n")
            return
        if not self._frame:
            self._frame_began = self._clock()
        self._frame += lines
        if not self.trouble:
            self.tick()

    def tick(self) -> None:
        """End a frame and a file that are old or large enough; try again what couldn't be written."""
        now = self._clock()
        due = len(self._frame) >= _FRAME_BYTES or (self._frame and now - self._frame_began >= _FRAME_SECONDS)
        if due or self.trouble:
            self._end_frame()
        if self._file is not None and not self.trouble and now - self._opened >= self._most_seconds:
            self.close()

    def close(self) -> None:
        """End the file; the next line begins another one. What can't be written now is lost."""
        self._end_frame()
        self.lost += self._frame.count(b"\n")
        self._frame.clear()
        if self._file is None:
            return
        self._file.close()
        self._file = None
        try:
            if self._size:
                self._path.rename(self._path.with_suffix(""))
            else:
                self._path.unlink()
        except OSError as error:  # somebody took the directory away
            self.trouble = error.strerror or str(error)

    def _end_frame(self) -> None:
        if not self._frame:
            return
        packed = memoryview(self._compressor.compress(bytes(self._frame)))
        try:
            file = self._file or self._open()
            while packed:
                packed = packed[file.write(packed) :]
        except OSError as error:
            self.trouble = error.strerror or str(error)
            if self._file is not None:
                self._file.truncate(self._size)
                self._file.seek(self._size)
            return
        self.trouble = ""
        self._size = file.tell()
        self._frame.clear()
        if self._size >= self._most_bytes:
            self.close()

    def _open(self) -> FileIO:
        self._opened = self._clock()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._opened))
        number = 0
        while True:
            self._path = self._directory / f"{self._name}-{stamp}-{number}.zst.part"
            if not self._path.exists() and not self._path.with_suffix("").exists():
                break
            number += 1
        self._file = self._path.open("xb", buffering=0)
        self._size = 0
        return self._file


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
    _copy(sys.stdin.fileno(), files)
    files.close()
    _tell(files)


def _copy(source: int, files: Files) -> None:
    """Write what comes until its end, and tell the feed when something changes between being written and not."""
    rest = b""
    told = ("", 0)
    tick_at = time.monotonic() + _TICK_SECONDS
    while True:
        ready = select.select([source], [], [], _TICK_SECONDS)[0]
        if time.monotonic() >= tick_at:  # by the clock, also when there is always something to read
            tick_at = time.monotonic() + _TICK_SECONDS
            files.tick()
            if (files.trouble, files.lost) != told:
                told = (files.trouble, files.lost)
                _tell(files)
        if not ready:
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


def _tell(files: Files) -> None:
    """To the feed, which hears once a second."""
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps({"trouble": files.trouble, "lost": files.lost}), flush=True)


if __name__ == "__main__":
    main()
