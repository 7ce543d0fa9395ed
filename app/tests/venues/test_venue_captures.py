"""Recorded traffic of every venue that there is a recording of; see ../shared/captures/SOURCES.md for the figures."""

from pathlib import Path

import pytest

from wirebook import traffic
from wirebook.commands.replay import Report, replay
from wirebook.venues import get
from wirebook.venues.base import Instrument
from wirebook.venues.learn import learn

from .exchanges import EXCHANGES, BinanceUsdm, Exchange
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


@pytest.mark.parametrize("kind", EXCHANGES)
def test_a_capture_made_here(kind: type[Exchange], tmp_path: Path) -> None:
    """Needs no recording: one instrument, fifty events, a gap, a snapshot, fifty more."""
    exchange = kind(1)
    messages = [exchange.snapshot(), *(exchange.event() for _ in range(50))]
    exchange.event()
    messages += [exchange.event(), exchange.snapshot(), *(exchange.event() for _ in range(50))]
    path = tmp_path / "capture"
    path.write_bytes(b"".join(b"%d %b\n" % (number, message) for number, message in enumerate(messages)))
    report, notes = replay(get(exchange.venue), path)
    again = issubclass(kind, BinanceUsdm)  # the futures' rule applies the event that the snapshot ends with once more
    assert (report.messages, report.updates, report.snapshots) == (len(messages), 100 + again, 2)
    assert (report.gaps + report.checksum_bad, report.resyncs, report.crossed) == (1, 1, 0)
    assert len(notes) == 1


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
    for at_ns, raw in traffic.read(path):
        subject.message(raw, at_ns)
        assert sink.books.count(instrument.id) == (500, 500)
    assert subject.live == 1
