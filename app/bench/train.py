"""The training of a profile-guided build: what the hot processes do all day, on recorded traffic where there is any."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench import workloads
from wirebook import venues
from wirebook.commands.replay import replay
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch


def _packets(workload: workloads.Workload) -> None:
    """Packets → books → market cache → a reader."""
    encoder = Encoder(1, 1, 1)
    with tempfile.TemporaryDirectory() as folder:
        market = MarketWriter(Path(folder) / "market", workload.symbols)
        engine = Engine(Books(workload.symbols), market)
        view = MarketView(Path(folder) / "market")
        for records in (workload.snapshot, workload.updates):
            batch = Batch(len(records))
            batch.extend(records.tobytes())
            for number, packet in enumerate(encoder.encode(batch)):
                engine.process(packet)
                if number % 16 == 0:
                    view.depth(number % workload.symbols)


def main() -> None:
    """Replay what there is; the synthetic books are always there."""
    _packets(workloads.synthetic(64, 128, 200_000))
    for venue, path in workloads.captures():
        replay(venues.get(venue), path)
        _packets(workloads.captured(venue, path)[0])


if __name__ == "__main__":
    main()
