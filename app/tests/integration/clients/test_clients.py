"""Other makers' clients follow the simulated venues, changed in nothing but the address: `make clients` runs these.

Each holds a book by its own rules, sequence checks and checksums; whatever best prices it ever shows must have been
the market's, in the market's order.
"""

import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from wirebook.sim import synthetic
from wirebook.sim.reference import ReferenceBook
from wirebook.venues.base import Depth

from ..support import Sim, Top, history, in_order

ROOT = Path(__file__).resolve().parents[4]
PYTHON = ROOT / ".cache" / "clients" / "bin" / "python"
UPDATES = 150
SEED = "4"

NAMES = {
    "binance": "SYN0USDT",
    "binance-usdm": "SYN0USDT",
    "binance-coinm": "SYN0USD_PERP",
    "bybit-spot": "SYN0USDT",
    "bybit-linear": "SYN0USDT",
    "okx": "SYN0-USDT",
    "kraken": "SYN0/USD",
    "coinbase": "SYN0-USD",
}
CASES = [
    *(("cryptofeed", venue) for venue in NAMES),
    *(("ccxt", venue) for venue in NAMES if venue != "coinbase"),
    # its adapter of Bybit takes no address of the stream
    *(("nautilus", venue) for venue in ("binance", "okx", "kraken")),
    *(("python-binance", venue) for venue in ("binance", "binance-usdm")),
]

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="the clients are not installed; `make clients` installs them and runs this"
)


@pytest.mark.parametrize(("client", "venue"), CASES)
def test_a_client_holds_the_books_of_a_simulated_venue(client: str, venue: str) -> None:
    tls = ["--tls"] if client == "cryptofeed" else []  # it takes no other address; the others bring their own roots
    with Sim("--venue", venue, "--synthetic", "--rate", "100", "--seed", SEED, *tls) as sim:
        done = subprocess.run(
            [
                PYTHON, Path(__file__).with_name("follow.py"), client, venue,
                sim.venue["websocket"], sim.venue["rest"], NAMES[venue], str(UPDATES),
            ],
            capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "SSL_CERT_FILE": sim.venue.get("ca_file", "")} if tls else None,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    held = [top(json.loads(line)) for line in done.stdout.splitlines()]
    assert len(held) == UPDATES
    changes = [one for one, before in zip(held, [None, *held], strict=False) if one != before]
    assert len(changes) > UPDATES / 10
    tape = synthetic(venue, 1, 100, int(SEED))
    ((_, start),) = tape.snapshots.items()
    market = (item.message for item in tape.play() if isinstance(item.message, Depth))
    in_order(changes, history(ReferenceBook(start), market))


def top(line: dict[str, list[str]]) -> Top:
    bid, ask = ((Decimal(line[side][0]), Decimal(line[side][1])) for side in ("bid", "ask"))
    return bid, ask
