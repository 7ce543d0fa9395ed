"""What a strategy writes: mypy --strict has nothing to say about it."""

from wirebook import Depth, MarketView, Reason, Stamp, State, Symbol, Top, UserError


def spread(view: MarketView, name: str) -> int | None:
    top: Top = view.top(name)
    if top.state is not State.LIVE or top.bid_price is None or top.ask_price is None:
        return None
    return top.ask_price - top.bid_price


def resting(view: MarketView, symbol: int) -> int:
    depth: Depth = view.depth(symbol)
    _, bids, asks = depth
    return sum(quantity for _, quantity in bids) + sum(quantity for _, quantity in asks)


def seen_by_the_nic(view: MarketView) -> list[Symbol]:
    return [symbol for symbol in view.defined() if view.top(symbol.number).stamp is Stamp.STAMP_HARDWARE]


def attached(path: str) -> MarketView | None:
    try:
        return MarketView(path)
    except UserError:
        return None


def why(top: Top) -> str:
    return Reason(top.reason).name
