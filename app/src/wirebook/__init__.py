"""wirebook: order books from exchange feeds, published in shared memory."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wirebook.core.market.view import MarketView

    __version__: str

__all__ = ["MarketView", "__version__"]


def __getattr__(name: str) -> object:
    # Loaded on first use: a CPU that can't run the compiled core still gets the command line and its sentence.
    if name == "__version__":
        from wirebook.core.build_info import VERSION

        return VERSION
    if name == "MarketView":
        from wirebook.core.market.view import MarketView

        return MarketView
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
