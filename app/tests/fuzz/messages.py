"""What venues send, and every way in which that can be wrong, for the scanners."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

from venues.exchanges import BinanceCoinm, BinanceSpot, BinanceUsdm, BybitLinear, BybitSpot, Okx

from wirebook.core.wire.records import Batch
from wirebook.venues import get

_SYNTAX = b'{}[]",:.-+eE0123456789 \\\t\0\xff'


def _mutated(dice: random.Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(data) + 1)
        match dice.randrange(6):
            case 0:
                data[place : place + 1] = bytes([dice.choice(_SYNTAX)])
            case 1:
                del data[place : place + dice.randint(1, 20)]
            case 2:
                data[place:place] = bytes(dice.choices(_SYNTAX, k=dice.randint(1, 40)))
            case 3:
                data[place:place] = str(dice.getrandbits(dice.randint(1, 200))).encode()
            case 4:
                del data[place:]
            case _:
                other = dice.randrange(len(data) + 1)
                data[place:place] = data[min(place, other) : max(place, other)][:500]
        if not data:
            return b""
    return bytes(data)


def scan(dice: random.Random, count: int) -> Iterator[Counter[str]]:
    """Scan `count` mutated messages; yields what became of them, now and then."""
    subjects = []
    for kind in (BinanceSpot, BinanceUsdm, BinanceCoinm, BybitSpot, BybitLinear, Okx):
        exchange = kind(1)
        scanner = get(exchange.venue).scanner([exchange.instrument])
        assert scanner is not None
        subjects.append((exchange.venue, scanner, [exchange.event() for _ in range(50)]))
    batch = Batch(64)
    found: Counter[str] = Counter()
    for number in range(count):
        venue, scanner, events = dice.choice(subjects)
        batch.clear()
        taken = scanner.scan(_mutated(dice, dice.choice(events)), batch, 1)
        found[f"{venue} {'taken' if taken else 'left to the slow decoder'}"] += 1
        if number % 10_000 == 0:
            yield found
    yield found
