"""What a strategy must not write: mypy finds each line that is marked, and no other."""

from wirebook import MarketView, State


def mistakes(view: MarketView) -> None:
    view.path = "/run/wirebook/market"  # wrong: misc
    view.symbols += 1  # wrong: misc
    view.top("binance:BTCUSDT").bid_price + 1  # wrong: operator
    view.top(1.5)  # wrong: arg-type
    print(view.depth(0).levels)  # wrong: attr-defined
    State.LIVE | State.STALE | None  # wrong: operator
    MarketView(path=3)  # wrong: arg-type
    print(view.latency().p50)  # wrong: attr-defined
