"""wirebook: order books from exchange feeds, published in shared memory.

What a strategy needs is here. `MarketView` reads the books, and gives `Top`, `Depth` and `Symbol`. `State`, `Reason`
and `Stamp` say what a top may be used for, why not, and who saw its packet come. `UserError` is a sentence for a user.
"""

from typing import TYPE_CHECKING

from wirebook.errors import UserError

if TYPE_CHECKING:
    from wirebook.core.books.books import State
    from wirebook.core.market.view import Depth, MarketView, Symbol, Top
    from wirebook.core.transport.base import Stamp
    from wirebook.core.wire.records import Reason

    __version__: str

__all__ = ["Depth", "MarketView", "Reason", "Stamp", "State", "Symbol", "Top", "UserError", "__version__"]

_HOMES = {
    "State": "books.books",
    "Depth": "market.view",
    "MarketView": "market.view",
    "Symbol": "market.view",
    "Top": "market.view",
    "Stamp": "transport.base",
    "Reason": "wire.records",
}


def __getattr__(name: str) -> object:
    # Loaded on first use: a CPU that can't run the compiled core still gets the command line and its sentence.
    from importlib import import_module

    if name == "__version__":
        from wirebook.core.build_info import VERSION

        return VERSION
    if name in _HOMES:
        return getattr(import_module(f"wirebook.core.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
