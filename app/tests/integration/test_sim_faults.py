"""Every fault of a scenario over real sockets: a client sees what the help says, on every venue, and for how long."""

import asyncio
import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from wirebook.errors import UserError
from wirebook.sim.faults import Fault, Scenario
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.server import Server, synthetic
from wirebook.sim.tape import Item, SyntheticTape
from wirebook.venues import get, names
from wirebook.venues.base import Depth, MalformedError, Snapshot, Unknown, parts

from .support import PATIENCE, WIREBOOK, until

VENUES = names()
TIME = re.compile(rb'("(?:timestamp|event_time)":")[^"]+')
"""Coinbase's messages tell when they are sent, not when the made-up market made them."""
STRUCK = 20
"""The message about a book that a fault strikes."""


@dataclass
class Heard:
    """What a client was sent."""

    frames: list[tuple[WSMsgType, bytes]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    lost_at: float = 0.0
    answers: list[tuple[float, int, dict[str, str], bytes]] = field(default_factory=list)
    """Of REST requests: when, status, headers, body."""

    def books(self, venue: str) -> list[bytes]:
        """Texts about books, greetings, answers and heartbeats left out."""
        return [timeless(raw) for _, raw in self.frames if about_book(venue, raw)]


class Listener(WSListener):
    def __init__(self, heard: Heard) -> None:
        self.heard = heard

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        self.heard.frames.append((frame.msg_type, frame.get_payload_as_bytes()))
        self.heard.times.append(time.monotonic())

    def on_ws_disconnected(self, _transport: WSTransport, /) -> None:
        self.heard.lost_at = time.monotonic()


class Cut:
    """A made-up market of so many events, without tickers."""

    recorded = False

    def __init__(self, tape: SyntheticTape, events: int) -> None:
        self.scales, self.snapshots = tape.scales, tape.snapshots
        self._tape = tape
        self._events = events

    def play(self) -> Iterator[Item]:
        events = (item for item in self._tape.play() if isinstance(item.message, Depth))
        return itertools.islice(events, self._events)


def tape_of(venue: str, events: int, rate: float = 1000.0, symbols: int = 1) -> Cut:
    return Cut(synthetic(venue, symbols, rate, 5), events)


def timeless(raw: bytes) -> bytes:
    """The message with one time for all, so that runs compare."""
    return TIME.sub(rb"\g<1>2026-01-01T00:00:00Z", raw)


def about_book(venue: str, raw: bytes) -> bool:
    try:
        said = parts(get(venue).decode(raw))
    except MalformedError:
        return True
    others = (Unknown("status"), Unknown("instruments"))
    return any(isinstance(part, (Depth, Snapshot, Unknown)) and part not in others for part in said)


def hear(
    venue: str,
    *faults: Fault,
    events: int = 60,
    speed: float | None = None,
    symbols: int = 1,
    ask: Sequence[str] = (),
    more: Sequence[bytes] = (),
    until: Callable[[Heard], bool] | None = None,
    rate: float = 1000.0,
) -> tuple[Heard, Server]:
    """Follow a made-up market from its start to its end, and then make some REST requests."""

    async def run() -> tuple[Heard, Server]:
        tape = tape_of(venue, events, rate, symbols)
        server = Server(get(venue), tape, speed, False, lambda *_, **__: None, Scenario(faults))
        port = await server.listen("127.0.0.1", 0)
        heard = Heard()
        playing = asyncio.ensure_future(server.play())
        beating = asyncio.ensure_future(server.beat())
        transport, _ = await ws_connect(
            lambda: Listener(heard), f"ws://127.0.0.1:{port}{get(venue).connect_path()}", enable_auto_ping=False
        )
        for text in (*more, *get(venue).subscriptions(list(tape.scales))):
            transport.send(WSMsgType.TEXT, text)
        await asyncio.wait_for(playing, 30)
        for path in ask:
            heard.answers.append(await request(port, path))
        deadline = time.monotonic() + 5
        while not (until or (lambda _: True))(heard) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        beating.cancel()
        transport.disconnect()
        await server.close()
        return heard, server

    return asyncio.run(run())


async def request(port: int, path: str) -> tuple[float, int, dict[str, str], bytes]:
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: sim\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    return time.monotonic() - began, int(first.split()[1]), headers, body


@pytest.fixture(scope="module")
def clean() -> Callable[[str], list[bytes]]:
    """What a venue sends when nothing goes wrong."""
    known: dict[str, list[bytes]] = {}

    def get_(venue: str) -> list[bytes]:
        if venue not in known:
            known[venue] = hear(venue)[0].books(venue)
        return known[venue]

    return get_


def place(venue: str) -> int:
    """Where the struck message stands in what is sent: after the snapshot, where that comes in the stream."""
    return STRUCK - 1 + get(venue).snapshots_in_band


@pytest.mark.parametrize("venue", VENUES)
def test_a_fault_strikes_its_message_and_no_other(venue: str, clean: Callable[[str], list[bytes]]) -> None:
    right, at = clean(venue), place(venue)
    assert len(right) == 60 + get(venue).snapshots_in_band
    for kind, count in [("drop", 0), ("duplicate", 2), ("truncate", 1), ("garble", 1), ("html", 1), ("id_jump", 1)]:
        if kind == "id_jump" and venue == "kraken":
            continue
        spoilt = hear(venue, Fault(kind, at=(STRUCK,)))[0].books(venue)
        assert len(spoilt) == len(right) - 1 + count, kind
        assert spoilt[:at] == right[:at], kind
        assert spoilt[at + count :] == right[at + 1 :], kind
        if kind == "duplicate":
            assert spoilt[at] == spoilt[at + 1] == right[at]
        elif count:
            assert spoilt[at] != right[at]
        if kind == "id_jump":
            assert b"9223372036854775807" in spoilt[at]
    swapped = hear(venue, Fault("swap", at=(STRUCK,)))[0].books(venue)
    assert swapped == [*right[:at], right[at + 1], right[at], *right[at + 2 :]]


@pytest.mark.parametrize("venue", VENUES)
def test_frames_of_other_kinds(venue: str, clean: Callable[[str], list[bytes]]) -> None:
    text = clean(venue)[place(venue)]
    binary = hear(venue, Fault("binary", at=(STRUCK,)))[0]
    assert [timeless(raw) for kind, raw in binary.frames if kind == WSMsgType.BINARY] == [text]
    empty = hear(venue, Fault("empty", at=(STRUCK,)))[0].frames
    kind, raw = empty[empty.index((WSMsgType.TEXT, b"")) + 1]
    assert (kind, timeless(raw)) == (WSMsgType.TEXT, text)
    pieces = hear(venue, Fault("fragments", at=(STRUCK,)))[0].frames
    first = next(n for n, (kind, _) in enumerate(pieces) if kind == WSMsgType.CONTINUATION) - 1
    assert timeless(b"".join(raw for _, raw in pieces[first : first + 3])) == text


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", ["format_numbers", "format_exponent", "format_ids", "format_renamed", "format_field"])
def test_a_format_changes_for_a_time(venue: str, kind: str, clean: Callable[[str], list[bytes]]) -> None:
    right, at = clean(venue), place(venue)
    heard = hear(venue, Fault(kind, at=(STRUCK,), seconds=0.1), events=240, speed=1.0)[0].books(venue)
    changed = [n for n, (one, other) in enumerate(zip(heard, right, strict=False)) if one != other]
    if kind == "format_ids" and venue == "kraken":
        assert changed == []
        return
    assert changed[0] == at
    assert changed == list(range(at, len(right)))  # 0.1 s hold more than the rest of the 60
    last = heard[-1]
    assert about_book(venue, last)
    assert any(isinstance(part, Depth) for part in parts(get(venue).decode(last)))


@pytest.mark.parametrize("venue", VENUES)
def test_silence_of_one_book_while_the_other_and_pongs_go_on(venue: str) -> None:
    tape = tape_of(venue, 1, symbols=2)
    one, other = tape.scales
    ping = get(venue).ping
    heard, _ = hear(
        venue,
        Fault("book_silence", at=(STRUCK,), instrument=one, seconds=60),
        events=200,
        symbols=2,
        more=[ping] if ping else [],
    )
    said = [part for raw in heard.books(venue) for part in parts(get(venue).decode(raw)) if isinstance(part, Depth)]
    events = {name: sum(part.instrument == name for part in said) for name in (one, other)}
    assert events[one] == STRUCK - 1
    assert events[other] > 60
    last = max(n for n, part in enumerate(said) if part.instrument == one)
    assert last < len(said) - 50


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", ["book_silence", "silence"])
def test_silence_ends(venue: str, kind: str) -> None:
    """With heartbeats meanwhile where the venue has them, or without."""
    heard, _ = hear(venue, Fault(kind, at=(STRUCK,), seconds=1.3), events=500, speed=1.0, rate=250)
    gap, start = max((after - before, before) for before, after in zip(heard.times, heard.times[1:], strict=False))
    beats = venue in ("kraken", "coinbase")
    if kind == "silence" or not beats:
        assert 1.2 < gap < 1.6
    else:
        assert gap < 1.2
        between = [raw for (_, raw), at in zip(heard.frames, heard.times, strict=True) if start < at]
        assert any(b"heartbeat" in raw for raw in between)
    assert len(heard.books(venue)) < 300


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue != "kraken"])
def test_ids_are_repeated_for_a_time(venue: str, clean: Callable[[str], list[bytes]]) -> None:
    right, at = clean(venue), place(venue)
    heard = hear(venue, Fault("id_repeat", at=(STRUCK,), seconds=60))[0].books(venue)
    numbers = [last_id(venue, raw) for raw in heard]
    assert numbers[: at + 1] == [last_id(venue, raw) for raw in right[: at + 1]]
    assert set(numbers[at:]) == {numbers[at]}
    assert len(set(heard[at:])) > 30  # what they say is new


def last_id(venue: str, raw: bytes) -> int:
    return next(part.last for part in parts(get(venue).decode(raw)) if isinstance(part, (Depth, Snapshot)))


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue != "kraken"])
def test_ids_start_over_and_rest_knows(venue: str) -> None:
    rest = not get(venue).snapshots_in_band
    name = next(iter(tape_of(venue, 1).scales))
    heard, server = hear(
        venue, Fault("id_restart", at=(STRUCK,)), ask=[get(venue).snapshot_path(name)] if rest else []
    )
    numbers = [last_id(venue, raw) for raw in heard.books(venue)]
    at = place(venue)
    assert numbers[at] < numbers[at - 1]
    assert numbers[at] < 100
    assert numbers[at:] == sorted(numbers[at:])
    if rest:
        (told,) = parts(get(venue).decode(heard.answers[0][3]))
        assert isinstance(told, Snapshot)
        assert told.last == numbers[-1] < server.books[name].last


@pytest.mark.parametrize("venue", ["binance", "okx", "kraken"])
def test_a_notice_comes_before_the_end(venue: str) -> None:
    heard, server = hear(
        venue, Fault("shutdown", at=(STRUCK,), seconds=0.5), until=lambda heard: heard.lost_at > 0, rate=200
    )
    word = {"binance": b"serverShutdown", "okx": b'"notice"', "kraken": b'"maintenance"'}[venue]
    told = next(at for (_, raw), at in zip(heard.frames, heard.times, strict=True) if word in raw)
    assert 0.4 < heard.lost_at - told < 1.5
    assert not server.clients


@pytest.mark.parametrize("venue", VENUES)
def test_a_halt_rests_the_book_and_is_told(venue: str) -> None:
    name = next(iter(tape_of(venue, 1).scales))
    ask = {
        "okx": [b'{"op":"subscribe","args":[{"channel":"instruments","instType":"SPOT"}]}'],
        "kraken": [b'{"method":"subscribe","params":{"channel":"instrument"}}'],
        "coinbase": [b'{"type":"subscribe","channel":"status"}'],
    }.get(venue, [])
    heard, server = hear(
        venue, Fault("halt", at=(STRUCK,), seconds=0.5), events=300, speed=1.0, rate=250, more=ask
    )
    books = heard.books(venue)
    gap = max(after - before for before, after in zip(heard.times, heard.times[1:], strict=False))
    assert venue in ("kraken", "coinbase", "okx") or 0.4 < gap < 1.0
    assert 100 < len(books) < 270
    words = {"okx": ("suspend", "live"), "kraken": ("maintenance", "online"), "coinbase": ("offline", "online")}
    if venue in words:
        told = [raw.decode() for _, raw in heard.frames if name in raw.decode() and not about_book_only(venue, raw)]
        statuses = [next((word for word in words[venue] if f'"{word}"' in text), "") for text in told]
        assert statuses[-2:] == list(words[venue])
    assert_same(venue, books, server.books[name], heard)


def about_book_only(venue: str, raw: bytes) -> bool:
    said = parts(get(venue).decode(raw))
    return all(isinstance(part, (Depth, Snapshot)) for part in said)


def assert_same(venue: str, texts: list[bytes], book: ReferenceBook, heard: Heard) -> None:
    """A client that applied all of the stream has the venue's book; by REST, what the stream changed is right."""
    mine: list[dict[str, str]] = [{}, {}]
    for raw in texts:
        for part in parts(get(venue).decode(raw)):
            assert isinstance(part, (Depth, Snapshot))
            for side, levels in enumerate((part.bids, part.asks)):
                mine[side].update({price: quantity for price, quantity, *_ in levels})
    theirs = [dict(side) for side in book.levels(100_000)]
    for side, levels in enumerate(mine):
        for price, quantity in levels.items():
            held = theirs[side].get(price)
            assert (float(held) if held else 0.0) == float(quantity)
        if get(venue).snapshots_in_band:
            assert {price for price, quantity in levels.items() if float(quantity)} == set(theirs[side])


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize(
    ("kind", "price", "quantity"),
    [("tick_finer", 3, 5), ("tick_coarser", 1, 5), ("lot_finer", 2, 6), ("lot_coarser", 2, 4)],
)
def test_definitions_change_with_the_market(venue: str, kind: str, price: int, quantity: int) -> None:
    """New orders are at the new tick, old ones rest, and the venue's definition says which it is."""
    name = next(iter(tape_of(venue, 1).scales))
    paths = get(venue).instruments_paths([name])
    heard, server = hear(venue, Fault(kind, at=(STRUCK,)), events=300, ask=paths)
    scale = get(venue).instruments(heard.answers[0][3])[name]
    assert scale.price_decimals == price
    assert scale.quantity_decimals - quantity in (0, 2, 3)  # Binance's definitions leave room below the step
    books = heard.books(venue)
    assert_same(venue, books, server.books[name], heard)
    told = [part for raw in books[place(venue) :] for part in parts(get(venue).decode(raw)) if isinstance(part, Depth)]
    column = 0 if kind.startswith("tick") else 1
    decimals = [
        len(level[column].partition(".")[2].rstrip("0"))
        for part in told
        for level in (*part.bids, *part.asks)
        if float(level[1])
    ]
    finest = price if column == 0 else quantity
    assert max(decimals) == (finest if kind.endswith("finer") else max(finest, max(decimals)))
    assert sum(digits <= finest for digits in decimals) > len(decimals) * 0.7
    best_bid, best_ask = server.books[name].best()
    assert best_bid is not None
    assert best_ask is not None
    assert float(best_bid[0]) < float(best_ask[0])


@pytest.mark.parametrize("venue", VENUES)
@pytest.mark.parametrize("kind", ["crossed", "locked"])
def test_a_book_is_crossed_for_a_time(venue: str, kind: str) -> None:
    name = next(iter(tape_of(venue, 1).scales))
    heard, server = hear(venue, Fault(kind, at=(STRUCK,), seconds=0.3), events=300, speed=1.0, rate=300)
    books = heard.books(venue)
    assert_same(venue, books, server.books[name], heard)
    book = ReferenceBook(tape_of(venue, 1).snapshots[name])
    crossed = []
    for raw in books:
        for part in parts(get(venue).decode(raw)):
            if isinstance(part, Depth):
                bids, asks = ({price: quantity for price, quantity, *_ in side} for side in (part.bids, part.asks))
                book.apply(Depth(name, book.last + 1, book.last + 1, None, 0, list(bids.items()), list(asks.items())))
                bid, ask = book.best()
                assert bid is not None
                assert ask is not None
                crossed.append(float(bid[0]) >= float(ask[0]))
    assert crossed.index(True) == STRUCK - 1
    assert 20 < sum(crossed) < 200
    assert not crossed[-1]


def test_rest_is_late_or_in_drops() -> None:
    paths = get("binance").instruments_paths(["SYN0USDT"]) * 3
    faults = (Fault("rest_slow", at=(1,), seconds=0.5), Fault("rest_drip", at=(2,), seconds=0.7))
    slow, drip, plain = hear("binance", *faults, ask=paths)[0].answers
    assert [one[1] for one in (slow, drip, plain)] == [200, 200, 200]
    assert {json.loads(one[3])["symbols"][0]["symbol"] for one in (slow, drip, plain)} == {"SYN0USDT"}
    assert 0.5 <= slow[0] < 1.5
    assert 0.7 <= drip[0] < 1.7
    assert plain[0] < 0.4


@pytest.mark.parametrize("venue", VENUES)
def test_a_ban_lasts_and_says_how_long(venue: str) -> None:
    (path, *_) = get(venue).instruments_paths(list(tape_of(venue, 1).scales))
    limit, first, second = hear(
        venue, Fault("rest_limit", at=(1,), seconds=7), Fault("rest_ban", at=(2,), seconds=30), ask=[path] * 3
    )[0].answers
    statuses = {"binance": (429, 418), "bybit": (429, 403), "okx": (429, 429), "kraken": (200, 200)}
    wanted = statuses.get(venue.partition("-")[0], (429, 429))
    assert (limit[1], first[1], second[1]) == (wanted[0], wanted[1], wanted[1])
    if venue == "kraken":
        assert json.loads(first[3])["error"] == ["EGeneral:Too many requests"]
        return
    assert limit[2]["Retry-After"] == "7"
    assert first[2]["Retry-After"] == second[2]["Retry-After"] == "30"
    if venue.startswith("binance"):
        until = int(json.loads(second[3])["msg"].partition("until ")[2].partition(".")[0])
        assert 25 < until / 1000 - time.time() <= 30.1


@pytest.mark.parametrize("venue", [venue for venue in VENUES if venue.startswith("binance")])
def test_books_by_rest_are_frozen_or_ahead(venue: str) -> None:
    async def run() -> list[int]:
        tape = tape_of(venue, 200)
        (name,) = tape.scales
        scenario = Scenario((Fault("rest_frozen", at=(1,), seconds=0.5), Fault("rest_ahead", at=(4,))))
        server = Server(get(venue), tape, None, False, lambda *_, **__: None, scenario)
        port = await server.listen("127.0.0.1", 0)
        path = get(venue).snapshot_path(name)
        said = [await request(port, path)]
        transport, _ = await ws_connect(lambda: Listener(Heard()), f"ws://127.0.0.1:{port}/stream")
        transport.send(WSMsgType.TEXT, get(venue).subscriptions([name])[0])
        await asyncio.wait_for(server.play(), 20)
        said.append(await request(port, path))
        await asyncio.sleep(0.6)
        said.append(await request(port, path))
        said.append(await request(port, path))
        said.append(await request(port, path))
        transport.disconnect()
        await server.close()
        return [json.loads(body)["lastUpdateId"] for _, _, _, body in said]

    first, frozen, thawed, ahead, after = asyncio.run(run())
    assert first == frozen < thawed == after
    assert ahead == thawed + 1_000_000


@pytest.mark.parametrize(
    ("venue", "fault", "words"),
    [
        ("kraken", Fault("id_jump", at=(1,)), "no ids"),
        ("binance", Fault("checksum", at=(1,)), "no checksum"),
        ("okx", Fault("rest_frozen", at=(1,)), "in the stream"),
        ("bybit-spot", Fault("shutdown", at=(1,)), "no notice"),
        ("binance", Fault("drop", at=(1,), instrument="NOPE"), "there is no NOPE; take one of SYN0USDT"),
    ],
)
def test_a_fault_that_cannot_strike_is_refused(venue: str, fault: Fault, words: str) -> None:
    with pytest.raises(UserError, match=words):
        Server(get(venue), tape_of(venue, 1), None, False, lambda *_, **__: None, Scenario((fault,)))


def test_a_recording_keeps_its_market() -> None:
    tape = tape_of("okx", 1)
    tape.recorded = True
    with pytest.raises(UserError, match="use --synthetic"):
        Server(get("okx"), tape, None, False, lambda *_, **__: None, Scenario((Fault("halt", at=(1,)),)))


def test_a_fault_that_never_strikes_is_told() -> None:
    said: list[tuple[str, str]] = []

    async def run() -> None:
        scenario = Scenario((Fault("drop", at=(5,)), Fault("drop", at=(5000,))))
        server = Server(
            get("okx"), tape_of("okx", 50), None, False, lambda event, text, **_: said.append((event, text)), scenario
        )
        port = await server.listen("127.0.0.1", 0)
        transport, _ = await ws_connect(lambda: Listener(Heard()), f"ws://127.0.0.1:{port}/ws/v5/public")
        transport.send(WSMsgType.TEXT, get("okx").subscriptions(["SYN0-USDT"])[0])
        await asyncio.wait_for(server.play(), 20)
        transport.disconnect()
        await server.close()

    asyncio.run(run())
    assert [text for event, text in said if event == "unstruck"] == [
        "fault[1] (drop at 5000) never struck: there were 50 messages about books and 0 REST requests"
    ]


@pytest.mark.parametrize("goes", [True, False])
def test_a_simulator_that_is_late_ends_when_told_and_says_little(tmp_path: Path, goes: bool) -> None:
    """With a client that has gone, and with one that reads nothing any more."""
    said, log = tmp_path / "out", tmp_path / "log"
    with said.open("wb") as out, log.open("wb") as errors:
        process = subprocess.Popen(
            [*WIREBOOK, "sim", "--synthetic", "--rate", "1000000", "--json"], stdout=out, stderr=errors
        )
        until(lambda: b"listening" in said.read_bytes(), "the simulated venue")
        port = int(json.loads(said.read_text())["rest"].rpartition(":")[2])

        async def follow() -> WSTransport:
            transport, _ = await ws_connect(lambda: Listener(Heard()), f"ws://127.0.0.1:{port}/ws/syn0usdt@depth")
            await asyncio.sleep(2.5)
            if goes:
                transport.disconnect(graceful=False)
                await asyncio.sleep(0.5)
            return transport

        asyncio.run(follow())
        began = time.monotonic()
        process.terminate()
        assert process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 2
    events = [json.loads(line)["event"] for line in said.read_text().splitlines()]
    assert events == ["listening", "started", "late", "stopped"]
    assert log.read_bytes() == b""
