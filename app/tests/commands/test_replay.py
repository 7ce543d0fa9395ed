"""Replays: the figures of recorded traffic, and that a wrong book would be seen."""

from pathlib import Path

import pytest

from wirebook import traffic
from wirebook.commands.replay import replay, table
from wirebook.errors import UserError
from wirebook.venues import get

from ..venues.support import event, snapshot

VENUE = get("binance")


def write(path: Path, *messages: bytes) -> Path:
    path.write_bytes(b"".join(b"%d %b\n" % (number, message) for number, message in enumerate(messages)))
    return path


def ticker(last: int, bid: str, ask: str) -> bytes:
    (b, bq), (a, aq) = bid.split(":"), ask.split(":")
    return (
        f'{{"stream":"btcusdt@bookTicker","data":{{"u":{last},"s":"BTCUSDT","b":"{b}","B":"{bq}","a":"{a}","A":"{aq}"}}}}'
    ).encode()


def test_recorded_spot_traffic(spot_capture: Path) -> None:
    report, notes = replay(VENUE, spot_capture)
    assert (report.messages, report.updates, report.snapshots) == (41249, 3449, 1)
    assert (report.bbo_equal, report.bbo_differ) == (564, 0)
    assert (report.gaps, report.resyncs, report.crossed) == (0, 0, 0)
    assert 22 <= report.out_of_span < 40, "after 247 s the price is beyond the one snapshot's 1,000 levels"
    assert report.deletes_of_absent > 10_000
    assert notes == []


def test_a_ticker_is_compared_whether_it_comes_before_or_after(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c",
        snapshot(10),
        ticker(12, "100.5:2", "101:1"),
        event(11, 12, "100.50:2"),
        event(13, 14, "", "100.90:3"),
        ticker(14, "100.50:2.0", "100.9:3"),
        ticker(14, "1:1", "2:1"),  # that book has been compared
    )
    report, _ = replay(VENUE, path)
    assert (report.bbo_equal, report.bbo_differ) == (2, 0)


def test_beyond_its_snapshots_span_a_book_is_stale_and_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price walks past all asks that the snapshot told; the venue has others there, of which nothing was heard."""
    monkeypatch.setattr(VENUE, "snapshot_levels", 12)
    bids = " ".join(f"{100 - n}.0:1" for n in range(12))
    asks = " ".join(f"{101 + n}.0:1" for n in range(12))
    gone = " ".join(f"{101 + n}.0:0" for n in range(12))
    path = write(
        tmp_path / "c",
        snapshot(10, bids, asks),
        event(11, 12, "", "101.0:2"),
        ticker(12, "100:1", "101:2"),
        event(13, 14, "112.0:1", f"{gone} 130.0:1"),
        ticker(14, "112:1", "113:1"),
    )
    report, _ = replay(VENUE, path)
    assert (report.bbo_equal, report.bbo_differ, report.out_of_span) == (1, 0, 1)
    monkeypatch.setattr(VENUE, "snapshot_levels", 13)
    report, _ = replay(VENUE, path)
    assert (report.bbo_equal, report.bbo_differ, report.out_of_span) == (1, 1, 0), "a side of fewer levels is whole"


@pytest.mark.parametrize(
    "wrong", ["100.4:2 101:1", "100.5:3 101:1", "100.5:2 101.1:1", "100.5:2 101:2", "100.5:2 101:1.0001"]
)
def test_each_of_the_four_numbers_counts(tmp_path: Path, wrong: str) -> None:
    report, _ = replay(
        VENUE, write(tmp_path / "c", snapshot(10), event(11, 12, "100.50:2"), ticker(12, *wrong.split()))
    )
    assert (report.bbo_equal, report.bbo_differ) == (0, 1)


def test_gaps_and_resyncs_are_counted(tmp_path: Path) -> None:
    report, notes = replay(
        VENUE,
        write(
            tmp_path / "c",
            snapshot(10),
            event(11, 12, "100.50:2"),
            event(14, 15, "100.60:2"),
            ticker(15, "100.6:2", "101:1"),
            snapshot(13, "100.50:2"),
            event(16, 16, "102.00:2"),
        ),
    )
    assert (report.updates, report.snapshots, report.gaps, report.resyncs) == (3, 2, 1, 1)
    assert (report.bbo_equal, report.bbo_differ, report.crossed) == (1, 0, 1)
    assert "gap after id 12, the next event begins at 14" in notes[0]
    assert "crossed" in table(report)


def test_recorded_traffic_with_an_event_missing_is_stale_from_there(tmp_path: Path, spot_capture: Path) -> None:
    path = tmp_path / "c"
    depth = 0
    with path.open("wb") as file:
        for at_ns, raw in traffic.read(spot_capture):
            depth += b"depthUpdate" in raw
            if depth != 1000 or b"depthUpdate" not in raw:
                file.write(b"%d %b\n" % (at_ns, raw))
    report, _ = replay(VENUE, path)
    assert (report.updates, report.gaps, report.resyncs, report.bbo_differ) == (997, 1, 0, 0)
    assert 0 < report.bbo_equal < 564


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([b"{}"], "no depth events of binance"),
        ([b"{"], r"line 1: not JSON.*is this a capture of binance"),
        ([event(1, 2), event(1, 2, symbol="ETHUSDT"), snapshot(1)], "2 instruments and a snapshot"),
    ],
)
def test_another_capture_is_refused(tmp_path: Path, messages: list[bytes], words: str) -> None:
    with pytest.raises(UserError, match=words):
        replay(VENUE, write(tmp_path / "c", *messages))


def test_an_unreadable_or_empty_message_is_counted_and_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "c", snapshot(10), event(11, 11), b"<html>502</html>", b"", event(12, 12))
    report, notes = replay(VENUE, path)
    assert (report.messages, report.malformed, report.updates, report.gaps) == (5, 2, 2, 0)
    assert "can't be decoded" in notes[0]


def test_a_reconnect_without_marks_goes_on_with_the_next_snapshot(tmp_path: Path) -> None:
    """In either order: the answer came before the first event that shows the gap, or after it."""
    before = [snapshot(10), event(11, 11), event(12, 12)]
    for after in ([snapshot(30), event(31, 31)], [event(31, 31), snapshot(30)]):
        report, _ = replay(VENUE, write(tmp_path / "c", *before, *after, event(32, 32)))
        assert (report.updates, report.snapshots, report.gaps) == (4, 2, 1)


def l2(number: int, kind: str, price: int, name: str = "X-USD") -> bytes:
    return (
        b'{"channel":"l2_data","timestamp":"2023-11-14T22:13:20Z","sequence_num":%d,"events":[{"type":"%b",'
        b'"product_id":"%b","updates":[{"side":"bid","price_level":"%d","new_quantity":"1"}]}]}'
        % (number, kind.encode(), name.encode(), price)
    )


def test_a_reconnect_without_marks_is_told_by_the_connections_numbers(tmp_path: Path) -> None:
    once = [l2(0, "snapshot", 100), l2(1, "update", 101), l2(2, "update", 102)]
    report, _ = replay(get("coinbase"), write(tmp_path / "c", *once, *once))
    assert (report.updates, report.snapshots, report.gaps) == (4, 2, 0)


def test_connections_with_numbers_of_their_own_are_kept_apart_by_marks(tmp_path: Path) -> None:
    """Two of them, interleaved; one is lost and made anew, and the other goes on."""
    one, two = ([l2(0, "snapshot", 100, name), *(l2(n, "update", 100 + n, name) for n in range(1, 6))] for name in "AB")
    path = write(
        tmp_path / "c",
        traffic.mark("connected", 1, symbols=["A"]), one[0], traffic.mark("connected", 2, symbols=["B"]), two[0],
        traffic.mark("connection", 1), one[1], one[2], traffic.mark("connection", 2), two[1],
        traffic.mark("disconnected", 1), traffic.mark("connection", 2), two[2],
        traffic.mark("connected", 3, symbols=["A"]), one[0], one[1], traffic.mark("connection", 2), two[3],
    )  # fmt: skip
    report, notes = replay(get("coinbase"), path)
    assert (report.messages, report.updates, report.snapshots, report.gaps) == (9, 6, 3, 0)
    assert notes == []


def test_a_binary_frame_is_counted_in_a_replay(tmp_path: Path) -> None:
    path = write(
        tmp_path / "c", traffic.mark("connected", 1, symbols=["BTCUSDT"]), snapshot(10), event(11, 11),
        traffic.mark("binary", 1, base64="AAAA"), event(12, 12),
    )  # fmt: skip
    report, _ = replay(VENUE, path)
    assert (report.malformed, report.updates) == (1, 2)


def test_a_recording_that_begins_within_connections_follows_them(tmp_path: Path) -> None:
    """As a file does that isn't the first of a recording."""

    def named(body: bytes, name: bytes) -> bytes:
        return body.replace(b"{", b'{"symbol":"%b",' % name, 1)

    path = write(
        tmp_path / "c",
        event(11, 11), named(snapshot(10), b"BTCUSDT"), event(12, 12),
        traffic.mark("connection", 4), named(snapshot(20), b"ETHUSDT"), event(21, 21, symbol="ETHUSDT"),
        traffic.mark("connection", 3), event(13, 13),
    )  # fmt: skip
    report, _ = replay(VENUE, path)
    assert (report.updates, report.gaps) == (3, 0)  # of connection 3 it isn't known that it is the first lines'
