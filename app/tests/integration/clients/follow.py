"""Other makers' clients at a simulated venue, in their own environment: best prices as they hold them, line by line.

    python follow.py CLIENT VENUE WEBSOCKET REST NAME UPDATES

Nothing of a client is changed but addresses; which markets ccxt loads is an option of its own. Prints a JSON object a
line: best bid and ask, each [price, quantity], after each update. Not part of wirebook: it may use no module of it.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

Side = list[tuple[Any, Any]]


async def ccxt(venue: str, websocket: str, rest: str, name: str) -> AsyncIterator[tuple[Any, Any]]:
    """ccxt.pro's `watch_order_book`."""
    import ccxt.pro

    kind, _, market = venue.partition("-")
    exchange = getattr(ccxt.pro, {"coinbase": "coinbase"}.get(kind, kind))({"enableRateLimit": False})
    urls = exchange.urls["api"]
    if kind == "binance":
        market = {"usdm": "linear", "coinm": "inverse"}.get(market, "spot")
        exchange.options["fetchMarkets"] = {"types": [market], "loadAllOptions": False}
        exchange.options["defaultType"] = {"linear": "swap", "inverse": "delivery"}.get(market, "spot")
        urls["public"] = f"{rest}/api/v3"
        urls["fapiPublic"] = f"{rest}/fapi/v1"
        urls["dapiPublic"] = f"{rest}/dapi/v1"
        urls["ws"][market] = f"{websocket}/ws"
    elif kind == "bybit":
        exchange.options["fetchMarkets"]["types"] = [market]
        urls["public"] = rest
        urls["ws"]["public"][market] = f"{websocket}/v5/public/{market}"
    elif kind == "okx":
        exchange.options["fetchMarkets"] = {"types": ["spot"]}
        urls["rest"] = rest
        urls["ws"] = f"{websocket}/ws/v5"
    elif kind == "kraken":
        urls["public"] = rest
        urls["ws"]["public"] = websocket
        urls["ws"]["publicV2"] = f"{websocket}/v2"
    try:
        markets = await exchange.load_markets()
        symbol = next(symbol for symbol, entry in markets.items() if entry["id"] == name or entry["symbol"] == name)
        while True:
            book = await exchange.watch_order_book(symbol)
            yield tuple(book["bids"][0][:2]), tuple(book["asks"][0][:2])
    finally:
        await exchange.close()


async def cryptofeed(venue: str, websocket: str, rest: str, name: str) -> AsyncIterator[tuple[Any, Any]]:
    """cryptofeed's feed of the venue, with its own book, sequence check and checksum."""
    from cryptofeed import FeedHandler, exchanges
    from cryptofeed.defines import L2_BOOK

    kind = {
        "binance": "Binance", "binance-usdm": "BinanceFutures", "binance-coinm": "BinanceDelivery", "okx": "OKX",
        "bybit-spot": "Bybit", "bybit-linear": "Bybit", "kraken": "Kraken", "coinbase": "Coinbase",
    }[venue]  # fmt: skip
    feed = getattr(exchanges, kind)

    def moved(url: str, base: str) -> str:
        return base + "/" + url.partition("://")[2].partition("/")[2] if "/" in url.partition("://")[2] else base

    for endpoint in feed.websocket_endpoints:
        object.__setattr__(endpoint, "address", moved(endpoint.address, websocket))
    for endpoint in feed.rest_endpoints:
        object.__setattr__(endpoint, "address", moved(endpoint.address, rest))
    queue: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()

    async def book(update: Any, _receipt: float) -> None:
        bids, asks = update.book.bids, update.book.asks
        queue.put_nowait((bids.index(0), asks.index(0)))

    await feed.load_symbols()
    mapping = feed.symbol_mapping()
    wanted = {"bybit-spot": name.replace("USDT", "/USDT")}.get(venue, name)
    symbol = next(symbol for symbol, there in mapping.items() if there == wanted)
    handler = FeedHandler()
    more = {"checksum_validation": True} if venue == "kraken" else {}
    handler.add_feed(feed(symbols=[symbol], channels=[L2_BOOK], callbacks={L2_BOOK: book}, **more))
    running = asyncio.ensure_future(handler.run_async(install_signal_handlers=False))
    try:
        while True:
            getting = asyncio.ensure_future(queue.get())
            await asyncio.wait({running, getting}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                return
            yield getting.result()
    finally:
        running.cancel()


async def python_binance(venue: str, websocket: str, rest: str, name: str) -> AsyncIterator[tuple[Any, Any]]:
    """python-binance's depth cache."""
    from binance import AsyncClient, BinanceSocketManager
    from binance.ws.depthcache import DepthCacheManager, FuturesDepthCacheManager

    AsyncClient.API_URL = f"{rest}/api"
    AsyncClient.FUTURES_URL = f"{rest}/fapi"
    BinanceSocketManager.STREAM_URL = f"{websocket}/"
    BinanceSocketManager.FSTREAM_URL = f"{websocket}/"
    BinanceSocketManager.DSTREAM_URL = f"{websocket}/"
    # its `create` asks spot for an answer to a ping, which futures have elsewhere
    client = AsyncClient() if venue != "binance" else await AsyncClient.create()
    manager = {"binance": DepthCacheManager, "binance-usdm": FuturesDepthCacheManager}[venue](client, symbol=name)
    try:
        async with manager as socket:
            while True:
                cache = await socket.recv()
                yield tuple(cache.get_bids()[0]), tuple(cache.get_asks()[0])
    finally:
        await client.close_connection()


async def nautilus(venue: str, websocket: str, rest: str, name: str) -> AsyncIterator[tuple[Any, Any]]:
    """nautilus_trader's data client of the venue and the book that its data engine keeps of the deltas."""
    from importlib import import_module

    from nautilus_trader.common.actor import Actor
    from nautilus_trader.config import ActorConfig, InstrumentProviderConfig, LoggingConfig, TradingNodeConfig
    from nautilus_trader.live.node import TradingNode
    from nautilus_trader.model.enums import BookType
    from nautilus_trader.model.identifiers import InstrumentId

    kind = {"binance": "Binance", "okx": "OKX", "kraken": "Kraken"}[venue]
    addresses = {
        "binance": {"base_url_http": rest, "base_url_ws": websocket},
        # it wants a key even for public data, and signs its requests, which nobody checks
        "okx": {
            "base_url_http": rest, "base_url_ws": f"{websocket}/ws/v5/public",
            "api_key": "sim", "api_secret": "sim", "api_passphrase": "sim",
        },
        "kraken": {"base_url_http_spot": rest, "base_url_ws_spot": f"{websocket}/v2"},
    }[venue]
    adapter = import_module(f"nautilus_trader.adapters.{venue}")
    provider = InstrumentProviderConfig(load_all=True)
    config = getattr(adapter, f"{kind}DataClientConfig")(instrument_provider=provider, **addresses)
    queue: asyncio.Queue[tuple[Any, Any]] = asyncio.Queue()
    instrument = InstrumentId.from_str(f"{name}.{kind.upper()}")

    class Watcher(Actor):  # type: ignore[misc]
        def on_start(self) -> None:
            self.subscribe_order_book_deltas(instrument, book_type=BookType.L2_MBP, managed=True)

        def on_order_book_deltas(self, _deltas: Any) -> None:
            book = self.cache.order_book(instrument)
            if book is not None and book.best_bid_price() is not None and book.best_ask_price() is not None:
                bid = (book.best_bid_price(), book.best_bid_size())
                queue.put_nowait((bid, (book.best_ask_price(), book.best_ask_size())))

    node = TradingNode(
        TradingNodeConfig(
            logging=LoggingConfig(log_level="ERROR"), data_clients={kind.upper(): config}, timeout_connection=20.0
        )
    )
    node.trader.add_actor(Watcher(ActorConfig()))
    node.add_data_client_factory(kind.upper(), getattr(adapter, f"{kind}LiveDataClientFactory"))
    node.build()
    running = asyncio.ensure_future(node.run_async())
    try:
        while True:
            yield await queue.get()
    finally:
        running.cancel()


async def main() -> None:
    """Follow one book with one client."""
    client, venue, websocket, rest, name, updates = sys.argv[1:]
    left = int(updates)
    follow = {"ccxt": ccxt, "cryptofeed": cryptofeed, "nautilus": nautilus, "python-binance": python_binance}[client]
    async for bid, ask in follow(venue, websocket, rest, name):
        print(json.dumps({"bid": [str(part) for part in bid], "ask": [str(part) for part in ask]}), flush=True)
        left -= 1
        if not left:
            break


if __name__ == "__main__":
    asyncio.run(main())
