"""Recording: what goes in can be read back, in files of the wanted size; and it never holds up the feed."""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from wirebook import recording, traffic
from wirebook.errors import UserError
from wirebook.recording import Files, Recorder

CPUS = os.sched_getaffinity(0)


def everything(directory: Path) -> list[tuple[int, bytes]]:
    return [entry for path in sorted(directory.iterdir()) for entry in traffic.read(path)]


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    messages = [
        (1_700_000_000_000_000_000 + n, b'{"n":%d,"x":"%b"}' % (n, b"y" * (n * 37 % 5000))) for n in range(3000)
    ]
    recorder = Recorder(tmp_path, "venue", 1, 60, CPUS)
    for number, message in enumerate(messages):
        recorder.write(*message)
        if number % 100 == 0:
            recorder.flush()
    recorder.close()
    assert recorder.dropped == 0
    assert everything(tmp_path) == messages
    assert [path.suffix for path in tmp_path.iterdir()] == [".zst"]


def test_a_message_of_several_lines_stays_one(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "venue", 1, 60, CPUS)
    recorder.write(1, b'{\n  "n": 1\n}')
    recorder.close()
    assert everything(tmp_path) == [(1, b'{   "n": 1 }')]


def test_files_are_rotated_by_size(tmp_path: Path) -> None:
    files = Files(tmp_path, "venue", 100_000, 3600)
    lines = [(n, os.urandom(50_000).hex().encode()) for n in range(300)]
    for stamp, text in lines:
        files.write(b"%d %b\n" % (stamp, text))
    files.close()
    sizes = [path.stat().st_size for path in tmp_path.iterdir()]
    assert len(sizes) > 3
    assert max(sizes) < 100_000 + recording._FRAME_BYTES
    assert sorted(everything(tmp_path)) == lines


def test_files_are_rotated_by_age_even_if_nothing_comes(tmp_path: Path) -> None:
    now = [1_700_000_000.0]
    files = Files(tmp_path, "venue", 1 << 30, 60, lambda: now[0])
    files.write(b"1 {}\n")
    assert list(tmp_path.iterdir()) == []
    now[0] += 5
    files.tick()
    (part,) = tmp_path.iterdir()
    assert part.name == "venue-20231114T221325Z-0.zst.part"
    assert list(traffic.read(part)) == [(1, b"{}")]
    now[0] += 60
    files.tick()
    (whole,) = tmp_path.iterdir()
    assert whole.name == "venue-20231114T221325Z-0.zst"
    files.write(b"2 {}\n")
    files.close()
    assert everything(tmp_path) == [(1, b"{}"), (2, b"{}")]


def test_a_recorder_that_is_stuck_costs_messages_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(recording, "_MOST_WAITING_BYTES", 4 << 20)
    recorder = Recorder(tmp_path, "venue", 1, 60, CPUS)
    os.kill(recorder._process.pid, signal.SIGSTOP)
    longest = 0.0
    for number in range(2000):
        began = time.thread_time()
        recorder.write(number, b"x" * 10_000)
        recorder.flush()
        longest = max(longest, time.thread_time() - began)
    assert 0 < recorder.dropped < 2000
    assert longest < 0.1
    assert "not recorded" in caplog.text
    os.kill(recorder._process.pid, signal.SIGCONT)
    recorder.close()
    kept = 2000 - recorder.dropped
    assert [stamp for stamp, _ in everything(tmp_path)] == list(range(kept))


def test_a_recorder_that_dies_is_told_and_the_feed_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder(tmp_path, "venue", 1, 60, CPUS)
    recorder._process.kill()
    recorder._process.wait()
    for number in range(10):
        recorder.write(number, b"{}")
        recorder.flush()
    assert recorder.dropped == 10
    assert caplog.text.count("has ended") == 1
    recorder.close()


def test_a_signal_to_the_group_ends_the_feed_and_not_its_recorder(tmp_path: Path) -> None:
    """As the service manager and a terminal's Ctrl-C send it."""
    recorder = Recorder(tmp_path, "venue", 1, 60, CPUS)
    recorder.write(1, b"{}")
    recorder.flush()
    deadline = time.monotonic() + 30
    status = Path(f"/proc/{recorder._process.pid}/status")
    ignored = 1 << (signal.SIGTERM - 1)
    while not int(status.read_text().partition("SigIgn:")[2].split()[0], 16) & ignored:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(recorder._process.pid, number)
    recorder.write(2, b"{}")
    recorder.close()
    assert everything(tmp_path) == [(1, b"{}"), (2, b"{}")]


def test_where_nothing_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("absent", "file"):
        with pytest.raises(UserError, match=f"{place}; make it a directory"):
            Recorder(tmp_path / place, "venue", 1, 60, CPUS)


def test_the_connection_is_marked_where_it_changes(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "venue", 1, 60, CPUS)
    one, two = recorder.next_connection(), recorder.next_connection()
    recorder.write(1, traffic.mark("connected", one, symbols=["A"]), one)
    recorder.write(2, b"a", one)
    recorder.write(3, traffic.mark("connected", two, symbols=["B"]), two)
    recorder.write(4, b"b", two)
    recorder.write(5, b"a", one)
    recorder.close()
    (path,) = tmp_path.iterdir()
    kinds = [traffic.mark_of(raw) or raw for _, raw in traffic.entries(path)]
    assert kinds == [
        traffic.Mark("connected", 1, {"symbols": ["A"]}), b"a",
        traffic.Mark("connected", 2, {"symbols": ["B"]}), b"b",
        traffic.Mark("connection", 1, {}), b"a",
    ]  # fmt: skip


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB, of which all but some pages are taken by the file `other`."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system can't be mounted here: that takes root")
    (disk / "other").write_bytes(bytes(960 << 10))
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_full_disk_costs_what_does_not_fit_and_no_more(small_disk: Path) -> None:
    """What was written stays whole; it goes on when there is room, and counts what is missing."""
    now = [1_700_000_000.0]
    files = Files(small_disk, "venue", 1 << 30, 60, lambda: now[0])
    lines = [(n, os.urandom(25_000).hex().encode()) for n in range(400)]

    def write(numbers: range) -> None:
        for n in numbers:
            files.write(b"%d %b\n" % lines[n])
        now[0] += 6
        files.tick()

    write(range(1))
    assert (files.trouble, files.lost) == ("", 0)
    write(range(1, 11))
    assert files.trouble == "No space left on device"
    assert everything_but(small_disk, "other") == lines[:1]
    write(range(11, 200))  # 9 MB, of which 4 may wait
    assert 80 < files.lost < 130
    (small_disk / "other").unlink()
    (small_disk / "roomy").mkdir()
    subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
    files.tick()
    assert files.trouble == ""
    write(range(200, 210))
    files.close()
    got = everything_but(small_disk, "other")
    assert len(got) == 210 - files.lost
    assert got[:1] + got[-10:] == lines[:1] + lines[200:210]
    assert [path.suffix for path in small_disk.glob("venue*")] == [".zst"]


def test_a_disk_that_stays_full_leaves_whole_files_or_none(small_disk: Path) -> None:
    (small_disk / "more").write_bytes(bytes(60 << 10))
    files = Files(small_disk, "venue", 1 << 30, 60)
    for n in range(10):
        files.write(b"%d %b\n" % (n, os.urandom(25_000).hex().encode()))
    files.close()
    assert files.lost == 10
    assert list(small_disk.glob("venue*")) == []


def test_the_feed_says_that_the_disk_is_full_and_goes_on(small_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    recorder = Recorder(small_disk, "venue", 64, 60, CPUS)

    def until(word: str, first: int) -> int:
        """Give it 0.5 MB every tenth of a second until it says so."""
        deadline = time.monotonic() + 60
        while word not in caplog.text:
            assert time.monotonic() < deadline, caplog.text
            for _ in range(10):
                recorder.write(first, os.urandom(25_000).hex().encode())
                first += 1
            recorder.flush()
            time.sleep(0.1)
        return first

    sent = until("No space left on device", 0)
    while recorder.dropped == 0:
        sent = until("No space left on device", sent)
        recorder.write(sent, os.urandom(25_000).hex().encode())
        sent += 1
        recorder.flush()
        time.sleep(0.01)
    subprocess.run(["mount", "-o", "remount,size=256m", str(small_disk)], check=True)
    sent = until("goes on", sent)
    recorder.close()
    got = everything_but(small_disk, "other")
    assert len(got) == sent - recorder.dropped
    assert got[-1][0] == sent - 1
    assert caplog.text.count("can't record to") == 1
    assert "slower than the feed" not in caplog.text


def everything_but(directory: Path, other: str) -> list[tuple[int, bytes]]:
    return [
        entry for path in sorted(directory.iterdir()) if path.is_file() and path.name != other
        for entry in traffic.read(path)
    ]  # fmt: skip
