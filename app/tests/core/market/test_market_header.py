"""The C header for readers of the market cache, compiled and run against a writer that never rests."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest

from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.view import MarketView
from wirebook.core.market.writer import MarketWriter
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind

INCLUDE = Path(__file__).resolve().parents[3] / "include"

# Every event sets the bid and the ask to update_id, so a record that mixes two events shows it.
READER = r"""
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "wirebook/market.h"

int main(int argc, char **argv)
{
    struct stat status;
    int fd = open(argv[1], O_RDONLY);
    if (argc < 3 || fd < 0 || fstat(fd, &status) != 0)
        return 2;
    void *memory = mmap(NULL, (size_t) status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    const char *fault = wirebook_market_fault(memory, (size_t) status.st_size);
    if (fault != NULL)
        return puts(fault), 1;
    struct wirebook_market_record record;
    long reads = 0, torn = 0;
    for (long wanted = atol(argv[2]); reads < wanted;) {
        if (!wirebook_market_read(memory, 1, &record))
            continue;
        int64_t id = (int64_t) record.update_id;
        torn += record.bid.quantity != id || record.ask.quantity != id || record.bid_levels[0].quantity != id
                || record.ask_levels[0].quantity != id;
        reads++;
    }
    const struct wirebook_market_header *header = (const struct wirebook_market_header *) memory;
    const struct wirebook_histogram *stages =
        (const struct wirebook_histogram *) ((const char *) memory + header->histograms_at);
    uint64_t counted = 0;
    for (int bin = 0; bin < WIREBOOK_HISTOGRAM_BINS; bin++)
        counted += stages[header->histograms - 1].bins[bin];
    if (counted == 0 || record.stamp != WIREBOOK_STAMP_USER || record.stamp_age != 0)
        return 3;
    printf("%s %d %d %d %ld %ld %lld %lld\n", record.name, wirebook_market_alive(memory, 1000000000), record.state,
           record.bids, reads, torn, (long long) record.bid.price, (long long) record.ask.price);
    return 0;
}
"""


def event(batch: Batch, update_id: int) -> None:
    for kind, price in ((Kind.BID, 100), (Kind.ASK, 101)):
        batch.append(1, kind, Flag.EVENT_END if kind == Kind.ASK else 0, 0, update_id, price, update_id)


@pytest.mark.parametrize(("compiler", "language"), [("gcc", "c"), ("g++", "c++")])
def test_a_reader_in_c_never_gets_a_torn_record(compiler: str, language: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        market = MarketWriter(folder / "market", 2)
        engine = Engine(Books(2, Arena(2 << 20, "off")), market)
        encoder, batch = Encoder(1, 1, 1), Batch(64)
        batch.define(1, "test:HEADER", 0, 0)
        batch.append(1, Kind.CLEAR, Flag.SNAPSHOT, 0, 1)
        event(batch, 1)
        batch.append(1, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 1)
        for packet in encoder.encode(batch):
            engine.process(packet)
        program = folder / "reader"
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}", "-x", language, "-"]
        subprocess.run([compiler, "-o", str(program), *flags], input=READER, text=True, check=True)
        done = threading.Event()

        def write() -> None:
            update_id = 1
            while not done.is_set():
                batch.clear()
                for _ in range(14):
                    update_id += 1
                    event(batch, update_id)
                engine.process(encoder.encode(batch)[0])
                engine.check_silence()  # the heartbeat

        writer = threading.Thread(target=write)
        writer.start()
        try:
            result = subprocess.run(
                [program, folder / "market", "300000"], capture_output=True, text=True, check=True, timeout=60
            )
        finally:
            done.set()
            writer.join()
        assert result.stdout == "test:HEADER 1 2 1 300000 0 100 101\n"
        assert MarketView(folder / "market").top(1).update_id > 1000
        damaged = folder / "damaged"
        damaged.write_bytes(b"WBMARKET" + bytes(8192))
        result = subprocess.run([program, damaged, "1"], capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout.split(":")[0]) == (1, "another layout")
