"""In the steady state the book process's loop takes no memory from the allocator, and no page faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

# Counts every call that could take memory, of the whole process: Python, the C library and the engine.
COUNTER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <sys/types.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
static unsigned long calls;
unsigned long allocations(void) { return __atomic_load_n(&calls, __ATOMIC_RELAXED); }
static void count(void) { __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED); }
void *malloc(size_t size) { count(); return __libc_malloc(size); }
void *calloc(size_t number, size_t size) { count(); return __libc_calloc(number, size); }
void *realloc(void *memory, size_t size) { count(); return __libc_realloc(memory, size); }
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    count();
    void *(*next)(void *, size_t, int, int, int, off_t);
    *(void **) &next = dlsym(RTLD_NEXT, "mmap");
    return next(address, length, protection, flags, fd, offset);
}
"""

# Turns of the engine, with packets waiting in its socket or without.
PROGRAM = r"""
import ctypes, json, os, random, sys, time
from wirebook.core.base import cpu
from wirebook.core.books.books import Books
from wirebook.core.engine.engine import Engine
from wirebook.core.market.writer import MarketWriter
from wirebook.core.base.memory import Arena, page_faults
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Flag, Kind
from wirebook.core.transport.base import Endpoint
from wirebook.core.transport.udp import UdpReceiver, UdpSender

SYMBOLS, EVENTS = 64, 3000
port = 20_000 + os.getpid() % 20_000  # another run of this test on this host shall not be heard
endpoints = [Endpoint(group, port, "lo") for group in ("239.192.97.1", "239.192.97.2")]
receivers = [UdpReceiver(endpoint) for endpoint in endpoints]
sender = UdpSender(endpoints[:1])
engine = Engine(Books(SYMBOLS, Arena(16 << 20)), MarketWriter(sys.argv[1], SYMBOLS), receivers, busy=True)
encoder, chance = Encoder(1, 1, 1), random.Random(1)
batch = Batch(4096)
for symbol in range(SYMBOLS):
    batch.append(symbol, Kind.CLEAR, Flag.SNAPSHOT, 0, 1)
    batch.append(symbol, Kind.LIVE, Flag.SNAPSHOT | Flag.EVENT_END, 0, 1)
sender.publish(encoder, batch)
engine.run(0.05)
update_id = 1

def traffic():
    global update_id
    batch.clear()
    for _ in range(EVENTS):
        update_id += 1
        batch.append(chance.randrange(SYMBOLS), chance.randrange(2), Flag.EVENT_END, 0, update_id,
                     chance.randrange(4000), chance.randrange(3))
    sender.publish(encoder, batch)

cpu.freeze_gc()
for _ in range(20):
    traffic()
    engine.run(0.02)
engine.run(0.2)  # what a busy machine left in the socket
count = ctypes.CDLL(None).allocations
count.restype = ctypes.c_ulong
before = count()
start = engine.counters()["updates"]
counted = count() - before
taken = set()
seconds = float(sys.argv[2])
faults, rounds, deadline = page_faults(), 0, time.monotonic() + seconds
while time.monotonic() < deadline:
    traffic()
    before = count()
    engine.run(0.02)
    taken.add(count() - before)
    rounds += 1
steady_faults = [after - before for after, before in zip(page_faults(), faults)]
engine.run(0.2)
print(json.dumps({"counted": counted, "taken": max(taken), "rounds": rounds, "live": engine.live(),
                  "updates": engine.counters()["updates"] - start,
                  "faults": steady_faults}))
"""


@pytest.mark.parametrize("seconds", [2, pytest.param(60, marks=pytest.mark.slow)])
def test_no_allocation_and_no_page_fault_after_the_warm_up(seconds: int) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        library = Path(folder) / "counter.so"
        command = ["gcc", "-O2", "-fPIC", "-shared", "-o", str(library), "-x", "c", "-"]
        subprocess.run(command, input=COUNTER, text=True, check=True)
        result = subprocess.run(
            [sys.executable, "-c", PROGRAM, f"{folder}/market", str(seconds)],
            env={**os.environ, "LD_PRELOAD": str(library)},
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(result.stdout)
    assert found["updates"] == found["rounds"] * 3000
    assert found["live"] == 64
    assert found["counted"] > 0, "the counter counts: a dict of counters takes memory"
    assert found["taken"] == 0
    assert found["faults"] == [0, 0]
