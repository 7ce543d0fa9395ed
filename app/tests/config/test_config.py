"""engine.toml: what is right is read, what is wrong is named in one sentence."""

import re
from pathlib import Path

import pytest

from wirebook import channels
from wirebook.config import Config, Symbol, load, parse
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.wire.packet import Channel
from wirebook.errors import UserError

DOCUMENTED = """
[node]
name = "lab1"
[memory]
lock = true
hugepages = "auto"
arena_mb = 256
[transport]
kind = "udp"
interface = "lo"
group = "239.192.7.1"
port = 17001
snapshot_group = "239.192.7.2"
snapshot_port = 17002
ttl = 1
loopback = true
receive_buffer = 8388608
group_b = "239.192.8.1"
port_b = 17011
snapshot_group_b = "239.192.8.2"
snapshot_port_b = 17012
interface_b = "eth1"
gap_timeout_ms = 2.5
busy_poll_us = 0
[book]
cpu = 3
poll = "busy"
batch = 16
prefetch = true
symbols = 2048
[market]
path = "/run/wirebook/market"
[[feed]]
venue = "binance"
cpu = 2
stream = 1
websocket = "wss://stream.binance.com:9443"
rest = "https://api.binance.com"
ca_file = ""
silence_seconds = 0
lifetime_seconds = 0
behind_seconds = 1.0
record = ""
record_megabytes = 256
record_seconds = 3600.0
symbols = [ { id = 0, instrument = "BTCUSDT" } ]
"""

FEED = {"venue": "binance", "symbols": [{"id": 0, "instrument": "BTCUSDT"}]}


def test_the_documented_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "engine.toml"
    path.write_text(DOCUMENTED)
    config = load(path)
    assert config.node.name == "lab1"
    assert config.book.cpu == 3
    assert config.feed_for("binance").symbols == (Symbol(0, "BTCUSDT"),)


def test_an_empty_file_has_working_defaults() -> None:
    assert parse({}) == Config()
    assert Config().transport.receive_buffer == 8 << 20


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"book": {"cpu": -2}}, ["book.cpu", "-2", "from -1 to 4095"]),
        ({"book": {"cpu": True}}, ["book.cpu", "true", "an integer"]),
        ({"book": {"cpu": "3"}}, ["book.cpu", '"3"', "an integer"]),
        ({"book": {"batch": 0}}, ["book.batch", "0", "from 1 to 64"]),
        ({"book": {"symbols": 2049}}, ["book.symbols", "2049", "2048"]),
        ({"book": {"poll": "sleep"}}, ["book.poll", '"sleep"', "busy, wait"]),
        ({"book": {"bacth": 16}}, ["book.bacth", "batch, behind_seconds, cpu"]),
        ({"boook": {}}, ["boook", "book, feed"]),
        ({"book": 5}, ["book = 5", "[book]"]),
        ({"memory": {"lock": 1}}, ["memory.lock", "1", "true or false"]),
        ({"memory": {"hugepages": "yes"}}, ["memory.hugepages", "explicit, transparent"]),
        ({"transport": {"kind": "tcp"}}, ["transport.kind", '"tcp"', "udp"]),
        ({"transport": {"group": "10.0.0.1"}}, ["transport.group", '"10.0.0.1"', "multicast"]),
        ({"transport": {"group": "224.0.0.5"}}, ["transport.group", "multicast"]),
        ({"transport": {"group": "239.1.1"}}, ["transport.group", "multicast"]),
        ({"transport": {"group": "239.1.1.256"}}, ["transport.group", "multicast"]),
        ({"transport": {"group": "239.1.1.01"}}, ["transport.group", "multicast"]),
        ({"transport": {"group_b": "239.1.1.1"}}, ["transport.snapshot_group_b is missing", "both groups or neither"]),
        ({"transport": {"snapshot_group_b": "239.1.1.1"}}, ["transport.group_b is missing"]),
        (
            {"transport": {"group_b": "239.1.1.1", "snapshot_group_b": "239.1.1.1", "snapshot_port_b": 17001}},
            ["transport.snapshot_group_b", "17001", "line B's incrementals"],
        ),
        (
            {"transport": {"group_b": "239.192.7.1", "snapshot_group_b": "239.192.7.2"}},
            ["transport.group_b", "17001", "line A's on the same interface", "interface_b"],
        ),
        ({"book": {"silence_seconds": 1}}, ["book.silence_seconds", "1.2"]),
        ({"book": {"behind_seconds": 0}}, ["book.behind_seconds", "from 0.1"]),
        ({"transport": {"gap_timeout_ms": -1}}, ["transport.gap_timeout_ms", "-1", "milliseconds"]),
        ({"transport": {"port": 70000}}, ["transport.port", "70000", "65535"]),
        ({"transport": {"interface": ""}}, ["transport.interface", "interface"]),
        ({"transport": {"snapshot_group": "239.192.7.1", "snapshot_port": 17001}}, ["snapshot_group", "incrementals"]),
        ({"market": {"path": "market"}}, ["market.path", "absolute path"]),
        ({"node": {"name": "a b"}}, ["node.name", '"a b"', "host name"]),
        ({"feed": {}}, ["[[feed]]"]),
        ({"feed": [{}]}, ["feed[0].venue", "missing", "binance"]),
        ({"feed": [{"venue": "binance"}]}, ["feed[0].symbols", "missing"]),
        ({"feed": [{**FEED, "symbols": []}]}, ["feed[0].symbols", "at least one"]),
        ({"feed": [{**FEED, "symbols": "BTCUSDT"}]}, ["feed[0].symbols", '"BTCUSDT"']),
        ({"feed": [{**FEED, "symbols": [{"id": 1}]}]}, ["feed[0].symbols[0].instrument", "missing"]),
        ({"feed": [{**FEED, "symbols": [{"id": 2048, "instrument": "X"}]}]}, ["feed[0].symbols[0].id", "2048", "2047"]),
        (
            {"feed": [{**FEED, "symbols": [{"id": 1, "instrument": "BTC USD"}]}]},
            ["instrument", '"BTC USD"', "as the venue writes them"],
        ),
        (
            {"feed": [{**FEED, "symbols": [{"id": 1, "instrument": "币" * 12}]}]},
            ["44 bytes", "40 at most", "binance:币"],
        ),
        ({"feed": [{**FEED, "venue": "nasdaq"}]}, ["feed[0].venue", '"nasdaq"', "binance"]),
        ({"feed": [{**FEED, "websocket": "http://x"}]}, ["feed[0].websocket", "wss://"]),
        ({"feed": [{**FEED, "rest": "https://"}]}, ["feed[0].rest", "https://"]),
        ({"feed": [{**FEED, "rest": "https://x:y"}]}, ["feed[0].rest", "https://"]),
        ({"feed": [{**FEED, "receive_buffer": 100}]}, ["feed[0].receive_buffer", "100", "4096"]),
        ({"feed": [{**FEED, "silence_seconds": 0.05}]}, ["silence_seconds", "from 0.1"]),
        ({"feed": [{**FEED, "ca_file": "ca.pem"}]}, ["ca_file", "absolute path"]),
        ({"feed": [{**FEED, "behind_seconds": 0}]}, ["behind_seconds", "from 0.01"]),
        ({"feed": [{**FEED, "cpus": 1}]}, ["feed[0].cpus", "cpu"]),
        ({"feed": [FEED, FEED]}, ["feed[1].venue", "feed[0]"]),
        (
            {"book": {"symbols": 4}, "feed": [{**FEED, "symbols": [{"id": 4, "instrument": "X"}]}]},
            ["binance:X", "book.symbols = 4"],
        ),
        (
            {"feed": [{**FEED, "symbols": [{"id": 1, "instrument": "X"}, {"id": 1, "instrument": "Y"}]}]},
            ["1", "binance:X", "binance:Y"],
        ),
        (
            {"feed": [{**FEED, "symbols": [{"id": 1, "instrument": "X"}, {"id": 2, "instrument": "X"}]}]},
            ["feed[0].symbols", "X twice"],
        ),
        (
            {"feed": [{**FEED, "symbols": [{"id": n % 2048, "instrument": f"S{n}"} for n in range(2050)]}]},
            ["2050", "2048", "S2048"],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(table: dict[str, object], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse(table)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[book\n", ["not valid TOML", "line 1"]),
        (b"[book]\ncpu = \n", ["not valid TOML", "line 2"]),
        (b"\xff", ["byte 0", "UTF-8"]),
        (b"[book]\ncpu = 1.5\n", ["book.cpu = 1.5"]),
    ],
)
def test_a_malformed_file_is_named(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "engine.toml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(str(path))) as caught:
        load(path)
    assert all(word in str(caught.value) for word in words)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file or directory; name another with --config"):
        load(tmp_path / "nothing.toml")


def test_a_venue_without_a_feed_is_named() -> None:
    with pytest.raises(UserError, match=r'no \[\[feed\]\] with venue = "kraken" \(it has: binance\)'):
        parse({"feed": [FEED]}).feed_for("kraken")


def test_feeds_of_other_nodes_may_be_of_a_venue_that_this_node_follows_too() -> None:
    others = [{**FEED, "remote": True, "stream": n, "symbols": [{"id": n, "instrument": f"S{n}"}]} for n in (7, 8)]
    config = parse({"feed": [FEED, *others]})
    assert [feed.stream for feed in config.own_feeds()] == [1]
    assert config.feed_for(FEED["venue"]).stream == 1
    with pytest.raises(UserError, match=r"feed\[2\]\.stream = 7 is also feed\[1\]'s"):
        parse({"feed": [FEED, others[0], others[0]]})


def test_a_book_process_follows_64_streams_at_most() -> None:
    remote = {**FEED, "remote": True}
    feeds = [{**remote, "stream": n + 1, "symbols": [{"id": n, "instrument": f"S{n}"}]} for n in range(65)]
    assert len(parse({"feed": feeds[:64]}).feed) == 64
    with pytest.raises(UserError, match=r"there are 65 \[\[feed\]\] tables"):
        parse({"feed": feeds})


def test_line_b_takes_from_line_a_what_it_does_not_say() -> None:
    table = {"group_b": "239.192.7.3", "snapshot_group_b": "239.192.7.4", "interface_b": "eth1", "port_b": 18001}
    transport = parse({"transport": table}).transport
    assert channels.endpoints(transport, Channel.INCREMENTAL_CHANNEL) == [
        ("239.192.7.1", 17001, "lo"),
        ("239.192.7.3", 18001, "eth1"),
    ]
    assert channels.endpoints(transport, Channel.SNAPSHOT_CHANNEL) == [
        ("239.192.7.2", 17002, "lo"),
        ("239.192.7.4", 17002, "eth1"),
    ]
    same_groups = {"group_b": "239.192.7.1", "snapshot_group_b": "239.192.7.2", "interface_b": "eth1"}
    assert channels.lines(parse({"transport": same_groups}).transport) == 2
    assert channels.lines(Config().transport) == 1


def test_a_feed_of_one_symbol_has_room_for_the_books_of_every_id() -> None:
    assert Books(2048, Arena(Config().feed_arena_mb(1) << 20, "off")).counters()["nodes_total"] > 10_000


def test_the_list_of_senders() -> None:
    assert parse({"transport": {"senders": ["10.1.2.3", "10.1.2.4"]}}).transport.senders == ("10.1.2.3", "10.1.2.4")
    for wrong in ("10.1.2.3", ["239.192.7.1"], ["colo1"], [1], ["10.1.2.3"] * 65):
        with pytest.raises(UserError, match=r"transport\.senders = .* not allowed; it must be a list of up to 64 IPv4"):
            parse({"transport": {"senders": wrong}})


@pytest.mark.parametrize(
    ("venue", "name"),
    [
        ("binance-usdm", "币安人生USDT"),
        ("binance", "我踏马来了USDT"),
        ("binance-usdm", "1000000MOGUSDT"),
        ("binance-usdm", "BTCUSDT_251226"),
        ("kraken", "AAPLx/USD"),
        ("okx", "BTC-USD_UM-260327-100000-C"),
        ("coinbase", "00-USD"),
    ],
)
def test_an_instrument_is_named_as_the_venue_names_it(venue: str, name: str) -> None:
    config = parse({"feed": [{"venue": venue, "symbols": [{"id": 0, "instrument": name}]}]})
    assert config.feed[0].symbols[0].instrument == name
