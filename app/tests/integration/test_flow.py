"""From the venue's socket to shared memory: real processes, real sockets, real multicast on the loopback interface."""

import itertools
import signal
import socket
import time
from decimal import Decimal
from pathlib import Path

import pytest

from wirebook import traffic
from wirebook.core.books.books import State
from wirebook.core.wire.records import Reason
from wirebook.sim.binance import BinanceExchange
from wirebook.sim.reference import ReferenceBook
from wirebook.sim.tape import SyntheticTape
from wirebook.venues import get
from wirebook.venues.base import Depth, Ticker

from .support import CAPTURES, PATIENCE, Line, Sim, node, right, serving, until

Top = tuple[tuple[Decimal, Decimal], tuple[Decimal, Decimal]]


@pytest.mark.parametrize(
    ("venue", "capture_file", "events", "equal"),
    [("binance", "binance_spot/btcusdt.txt.gz", 3449, 564), ("binance-usdm", "binance_usdm/ethusdt.txt.gz", 6581, 551)],
)
def test_recorded_books_equal_every_ticker(
    tmp_path: Path, venue: str, capture_file: str, events: int, equal: int
) -> None:
    """Over TLS. Where a depth event and a ticker have the same id, the published best prices are the ticker's."""
    path = CAPTURES / capture_file
    if not path.exists():
        pytest.skip("the recorded traffic ../shared/captures is not here")
    tickers, last = {}, 0
    for _, raw in traffic.read(path):
        message = get(venue).decode(raw)
        if isinstance(message, Ticker):
            tickers[message.last] = numbers(message)
        elif isinstance(message, Depth):
            last = message.last
    with (
        Sim("--venue", venue, "--replay", str(path), "--speed", "40", "--tls") as sim,
        node(tmp_path, sim.venue) as under_test,
    ):
        under_test.start_both()
        while sim.event()["event"] != "ended":
            pass
        until(lambda: under_test.lines()[-1].update_id == last, f"the event {last}")
        symbol = under_test.view().symbol(0)
    lines = [line for line in under_test.lines() if line.state == State.LIVE]
    decimals = (symbol.price_decimals, symbol.quantity_decimals)
    compared = {
        line.update_id: line.top(decimals) == tickers[line.update_id] for line in lines if line.update_id in tickers
    }
    assert len({line.update_id for line in lines}) == events
    assert len(compared) == equal
    assert all(compared.values())
    assert b"gap" not in under_test.log("feed")


def test_made_up_books_equal_the_reference(tmp_path: Path) -> None:
    """Every event of five books, against a book in plain Python that never saw our decoder, packets or trees."""
    with (
        Sim("--synthetic", "--symbols", "5", "--rate", "400", "--seed", "7") as sim,
        node(tmp_path, sim.venue) as under_test,
    ):
        under_test.start_both()
        under_test.wait_live(5)
        until(lambda: len(under_test.lines()) > 2000, "2000 events")
        assert under_test.stop("feed") == 0
        until(lambda: under_test.states() == [State.STALE] * 5, "the feed's last word")
        assert {under_test.view().top(number).reason for number in range(5)} == {Reason.STOPPED}
        view = under_test.view()
        depths = {number: view.depth(number) for number in range(5)}
        decimals = {
            number: (view.symbol(number).price_decimals, view.symbol(number).quantity_decimals) for number in range(5)
        }
    right(under_test.lines(), SyntheticTape(5, 400, 7), decimals)
    books = rebuilt(SyntheticTape(5, 400, 7), {number: top.update_id for number, (top, _, _) in depths.items()})
    for number, (_, bids, asks) in depths.items():
        price, quantity = decimals[number]
        wanted = books[number].levels(10)
        for side, levels in zip((bids, asks), wanted, strict=True):
            assert [(Decimal(p).scaleb(-price), Decimal(q).scaleb(-quantity)) for p, q in side] == [
                (Decimal(p), Decimal(q)) for p, q in levels
            ]


def test_both_lines_bring_every_packet(tmp_path: Path) -> None:
    with (
        Sim("--synthetic", "--symbols", "3", "--rate", "200", "--seed", "5") as sim,
        node(tmp_path, sim.venue, line_b=True) as under_test,
    ):
        under_test.start_both()
        under_test.wait_live(3)
        until(lambda: len(under_test.lines()) > 500, "500 events")
        assert under_test.stop("feed") == 0
        until(lambda: under_test.states() == [State.STALE] * 3, "the feed's last word")
        view = under_test.view()
        decimals = {
            number: (view.symbol(number).price_decimals, view.symbol(number).quantity_decimals) for number in range(3)
        }

        def both() -> bool:
            counted = under_test.view().metrics()
            return counted["line_a_packets"] == counted["line_b_packets"] == counted["copies"] > 100

        until(both, "the last packet on both lines")
        assert (view.metrics()["gaps"], view.metrics()["line_a_lost"], view.metrics()["line_b_lost"]) == (0, 0, 0)
    right(under_test.lines(), SyntheticTape(3, 200, 5), decimals)


def test_a_lost_message_makes_its_book_stale_until_it_is_right_again(tmp_path: Path) -> None:
    tape = SyntheticTape(2, 100, 3)
    events = (item.message for item in SyntheticTape(2, 100, 3).play())
    lost = [
        event.last
        for event in itertools.islice(events, 400)
        if isinstance(event, Depth) and event.instrument == "SYN0USDT"
    ][100]
    with (
        serving(tape, loses=lambda raw: f'"u":{lost},"b"'.encode() in raw) as venue,
        node(tmp_path, venue) as under_test,
    ):
        under_test.start_both()
        under_test.wait_live(2)
        until(lambda: b"gap" in under_test.log("feed"), "the gap")
        until(
            lambda: under_test.view().top(0).update_id > lost and under_test.view().top(0).state is State.LIVE,
            "a resync",
        )
        view = under_test.view()
        decimals = {
            number: (view.symbol(number).price_decimals, view.symbol(number).quantity_decimals) for number in range(2)
        }
    lines = under_test.lines()
    states = [state for state, _ in itertools.groupby(line.state for line in lines if line.symbol == 0)]
    assert states[-3:] == [State.LIVE, State.STALE, State.LIVE]
    assert State.STALE not in [line.state for line in after_first_live(lines, 1)]
    right(lines, SyntheticTape(2, 100, 3), decimals)


def test_a_killed_feed_leaves_no_live_book_and_its_successor_mends_them(tmp_path: Path) -> None:
    with Sim("--synthetic", "--symbols", "3", "--rate", "100") as sim, node(tmp_path, sim.venue) as under_test:
        under_test.start_both()
        under_test.wait_live(3)
        assert under_test.stop("feed", signal.SIGKILL) == -signal.SIGKILL
        until(lambda: under_test.states() == [State.STALE] * 3, "stale books")
        assert {under_test.view().top(number).reason for number in range(3)} == {Reason.SILENCE}
        under_test.start("feed", "binance")
        under_test.wait_live(3)


def test_a_book_process_that_starts_late_is_whole_from_the_snapshot_channel(tmp_path: Path) -> None:
    with (
        Sim("--synthetic", "--symbols", "3", "--rate", "100", "--seed", "5") as sim,
        node(tmp_path, sim.venue) as under_test,
    ):
        under_test.start("feed", "binance")
        until(lambda: b"books live" in under_test.log("feed"), "the feed")
        time.sleep(1)
        under_test.start_book()
        under_test.wait_live(3)
        until(lambda: len(under_test.lines()) > 200, "events")
        view = under_test.view()
        decimals = {
            number: (view.symbol(number).price_decimals, view.symbol(number).quantity_decimals) for number in range(3)
        }
    right(under_test.lines(), SyntheticTape(3, 100, 5), decimals)


def test_a_venue_that_restarts_is_followed_again(tmp_path: Path) -> None:
    """A recording of two seconds in a loop, made here: its end closes the connection, as a venue's restart does."""
    tape = SyntheticTape(1, 100, 9)
    exchange = BinanceExchange(tape.scales)
    recording = tmp_path / "made.txt"
    with recording.open("wb") as file:
        (name,) = tape.scales
        _, body = exchange.rest(f"/api/v3/depth?symbol={name}&limit=5000", {name: ReferenceBook(tape.snapshots[name])})
        file.write(b"0 %b\n" % body)
        for item in itertools.islice(tape.play(), 250):
            file.write(b"%d %b\n" % (item.at_ns, exchange.encode(item.message)))
    with Sim("--replay", str(recording), "--loop") as sim, node(tmp_path, sim.venue) as under_test:
        under_test.start_both()
        until(lambda: under_test.log("feed").count(b"books live") >= 3, "three rounds")
        assert b"SERVICE_RESTART" in under_test.log("feed") or b"GOING_AWAY" in under_test.log("feed")
        view = under_test.view()
        decimals = {0: (view.symbol(0).price_decimals, view.symbol(0).quantity_decimals)}
    lines = under_test.lines()
    states = [state for state, _ in itertools.groupby(line.state for line in lines)]
    assert states.count(State.LIVE) >= 3
    right(lines, SyntheticTape(1, 100, 9), decimals)


def test_a_silent_venue_is_left_and_connected_again(tmp_path: Path) -> None:
    quiet_from = time.monotonic() + 6

    with (
        serving(SyntheticTape(1, 50, 2), loses=lambda _: time.monotonic() > quiet_from) as venue,
        node(tmp_path, venue, silence_seconds=1.0) as under_test,
    ):
        under_test.start_both()
        under_test.wait_live(1)
        until(lambda: b"no message for" in under_test.log("feed"), "the watchdog")
        until(lambda: under_test.states() == [State.STALE], "a stale book")
        assert under_test.view().top(0).reason == Reason.SILENCE
        until(lambda: under_test.log("feed").count(b"connected to") >= 2, "another connection")


def test_a_connection_is_replaced_before_it_is_cut_and_no_reader_notices(tmp_path: Path) -> None:
    """Again and again, each time after two seconds: every book stays live, and no event is wrong or missing."""
    with (
        Sim("--synthetic", "--symbols", "3", "--rate", "300", "--seed", "8") as sim,
        node(tmp_path, sim.venue, lifetime_seconds=2) as under_test,
    ):
        under_test.start_both()
        under_test.wait_live(3)
        until(lambda: under_test.log("feed").count(b"took over with 3 of 3") >= 4, "four changes")
        view = under_test.view()
        decimals = {
            number: (view.symbol(number).price_decimals, view.symbol(number).quantity_decimals) for number in range(3)
        }
        assert under_test.stop("feed") == 0
        until(lambda: under_test.states() == [State.STALE] * 3, "the feed's last word")
        depths = {number: view.depth(number) for number in range(3)}
    lines = under_test.lines()
    for number in range(3):
        mine = after_first_live(lines, number)
        assert [line.state for line in mine] == [State.LIVE] * (len(mine) - 1) + [State.STALE]
        ids = [line.update_id for line in mine]
        assert ids == sorted(ids)
    right(lines, SyntheticTape(3, 300, 8), decimals)
    books = rebuilt(SyntheticTape(3, 300, 8), {number: top.update_id for number, (top, _, _) in depths.items()})
    for number, (_, bids, asks) in depths.items():
        price, quantity = decimals[number]
        wanted = books[number].levels(10)
        for side, levels in zip((bids, asks), wanted, strict=True):
            assert [(Decimal(p).scaleb(-price), Decimal(q).scaleb(-quantity)) for p, q in side] == [
                (Decimal(p), Decimal(q)) for p, q in levels
            ]


def test_a_refused_snapshot_is_asked_for_again(tmp_path: Path) -> None:
    with serving(SyntheticTape(1, 50, 2), refuses=2) as venue, node(tmp_path, venue) as under_test:
        under_test.start_both()
        under_test.wait_live(1)
        # The second one is of the same cause, and only counted.
        assert under_test.log("feed").count(b"no snapshot of SYN0USDT: HTTP 503") == 1


def test_a_feed_waits_for_a_venue_that_is_away(tmp_path: Path) -> None:
    with serving(SyntheticTape(1, 50, 2)) as venue:
        away = dict(venue)
    with node(tmp_path, away) as under_test:
        under_test.start("feed", "binance")
        until(lambda: under_test.log("feed").count(b"can't read the instruments") >= 2, "two attempts")
        assert b"Traceback" not in under_test.log("feed")
        assert under_test.stop("feed") == 0


def test_an_instrument_that_the_venue_lacks_is_named(tmp_path: Path) -> None:
    with serving(SyntheticTape(3, 50, 2)) as venue:
        venue["symbols"].insert(1, "NOSUCHUSDT")
        with node(tmp_path, venue) as under_test:
            under_test.start_both()
            under_test.wait_live(3)
    assert b"binance has no instrument NOSUCHUSDT" in under_test.log("feed")
    assert b"Traceback" not in under_test.log("feed")


@pytest.mark.parametrize("options", [(), ("--replay",)])
def test_demo_shows_live_books(options: tuple[str, ...], request: pytest.FixtureRequest) -> None:
    from .support import wirebook

    if options:
        options = (*options, str(request.getfixturevalue("spot_capture")))
    done = wirebook("demo", "--seconds", "1", *options)
    assert done.returncode == 0, done.stderr
    assert "all books are live" in done.stdout
    assert " LIVE " in done.stdout


def numbers(ticker: Ticker) -> Top:
    (bid, bid_quantity), (ask, ask_quantity) = ticker.bid, ticker.ask
    return (Decimal(bid), Decimal(bid_quantity)), (Decimal(ask), Decimal(ask_quantity))


def after_first_live(lines: list[Line], symbol: int) -> list[Line]:
    mine = [line for line in lines if line.symbol == symbol]
    return list(itertools.dropwhile(lambda line: line.state != State.LIVE, mine))


def rebuilt(tape: SyntheticTape, ends: dict[int, int]) -> dict[int, ReferenceBook]:
    """The reference books, each at the id given."""
    names = list(tape.scales)
    books = {name: ReferenceBook(snapshot) for name, snapshot in tape.snapshots.items()}
    for item in tape.play():
        event = item.message
        if isinstance(event, Depth) and event.last <= ends[names.index(event.instrument)]:
            books[event.instrument].apply(event)
        if all(books[name].last == ends[number] for number, name in enumerate(names)):
            break
    return {number: books[name] for number, name in enumerate(names)}


def test_a_feed_whose_venue_is_down_is_ready_and_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host boots without its venue, and the watchdog doesn't bite a feed that goes on trying."""
    with socket.socket() as closed, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        closed.bind(("127.0.0.1", 0))  # and never listens
        port = closed.getsockname()[1]
        venue = {"websocket": f"ws://127.0.0.1:{port}", "rest": f"http://127.0.0.1:{port}", "symbols": ["BTCUSDT"]}
        manager.bind(str(tmp_path / "manager"))
        manager.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "manager"))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        with node(tmp_path, venue) as under_test:
            under_test.start("feed", "binance")
            said = {manager.recv(100) for _ in range(10)}
            assert said == {b"READY=1", b"WATCHDOG=1"}
            until(lambda: b"can't read the instruments" in under_test.log("feed"), "a complaint about the venue")
