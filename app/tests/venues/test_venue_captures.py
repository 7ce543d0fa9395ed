"""Recorded traffic of every venue that there is a recording of; see ../shared/captures/SOURCES.md for the figures."""

from pathlib import Path

import pytest

from wirebook import capture
from wirebook.replay import Report, replay
from wirebook.venues import get
from wirebook.venues.base import Instrument
from wirebook.venues.learn import learn

from .support import Keeper, follow

CAPTURES = Path(__file__).resolve().parents[4] / "shared" / "captures"


def recorded(name: str) -> Path:
    path = CAPTURES / name
    if not path.exists():
        pytest.skip("the recorded traffic ../shared/captures is not here")
    return path


def rebuilt(venue: str, name: str) -> Report:
    report, notes = replay(get(venue), recorded(name))
    assert notes == []
    assert (report.gaps, report.resyncs, report.checksum_bad, report.bbo_differ, report.crossed) == (0, 0, 0, 0, 0)
    return report


def test_binance_usdm() -> None:
    report = rebuilt("binance-usdm", "binance_usdm/ethusdt.txt.gz")
    assert (report.messages, report.updates, report.snapshots, report.bbo_equal) == (74655, 6581, 1, 551)


def test_kraken() -> None:
    report = rebuilt("kraken", "kraken/book1000.txt.gz")
    assert (report.messages, report.updates, report.snapshots, report.checksum_ok) == (2616, 2601, 5, 2606)


def test_okx() -> None:
    report = rebuilt("okx", "okx/books.txt.gz")
    assert (report.messages, report.updates, report.snapshots, report.checksum_ok) == (197, 195, 2, 197)


def test_bybit_keeps_500_levels_a_side_throughout() -> None:
    path = recorded("bybit/xrpusdt_ob500.txt.gz")
    report = rebuilt("bybit-linear", "bybit/xrpusdt_ob500.txt.gz")
    assert (report.messages, report.updates, report.snapshots) == (50, 49, 1)
    instrument = Instrument(3, "XRPUSDT", *learn(get("bybit-linear"), path).scales["XRPUSDT"])
    subject, sink = follow(Keeper(), instrument, venue="bybit-linear")
    for at_ns, raw in capture.read(path):
        subject.message(raw, at_ns)
        assert sink.books.count(instrument.id) == (500, 500)
    assert subject.live == 1
