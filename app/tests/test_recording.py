"""Recording: what goes in can be read back, in files of the wanted size; and it never holds up the feed."""

import os
import signal
import time
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
