"""Real processes whose venue changes what it has defined, while they run."""

from decimal import Decimal
from pathlib import Path

import pytest

from wirebook.core.books.books import State

from .support import Node, Sim, node, until

VENUES = ("binance", "bybit-linear", "okx", "kraken", "coinbase")


def price(under_test: Node) -> tuple[int, Decimal | None]:
    """Decimals, and the best bid by them while the book is live."""
    view = under_test.view()
    while True:
        symbol, top = view.symbol(0), view.top(0)
        if view.symbol(0)[2:4] == symbol[2:4]:
            break
    if top.state is not State.LIVE or top.bid_price is None:
        return symbol.price_decimals, None
    return symbol.price_decimals, Decimal(top.bid_price).scaleb(-symbol.price_decimals)


@pytest.mark.parametrize(
    ("venue", "kind"), [*((venue, "tick_finer") for venue in VENUES), ("okx", "lot_finer"), ("binance", "tick_coarser")]
)
def test_a_tick_or_lot_is_changed_while_the_feed_runs(tmp_path: Path, venue: str, kind: str) -> None:
    scenario = tmp_path / "faults.toml"
    scenario.write_text(f'[[fault]]\nkind = "{kind}"\nat = [300]\n')
    command = ("--venue", venue, "--synthetic", "--rate", "60", "--faults", str(scenario))
    with Sim(*command) as sim, node(tmp_path, sim.venue) as under_test:
        under_test.start_both()
        under_test.wait_live(1)
        before, first = price(under_test)
        assert first is not None
        number = under_test.view().symbol(0)
        wanted = {"tick_finer": (before + 1, number.quantity_decimals)}.get(kind)

        def changed() -> bool:
            symbol, top = under_test.view().symbol(0), under_test.view().top(0)
            if kind == "lot_finer":
                return symbol.quantity_decimals > number.quantity_decimals and top.state is State.LIVE
            return wanted in (None, symbol[2:4]) and top.state is State.LIVE and len(under_test.lines()) > 500

        until(changed, f"a live book after {kind}")
        for _ in range(200):
            _, now = price(under_test)
            assert now is None or abs(now / first - 1) < Decimal("0.2")
        assert under_test.log("feed").count(b"a level can't be held") <= 1
