"""What several feeds share: streams, symbol ids, a send queue, memory."""

from __future__ import annotations

import pytest

from wirebook.config import Config, faults, parse
from wirebook.core.base.memory import Arena
from wirebook.core.books.books import Books
from wirebook.core.wire.records import Batch, Kind
from wirebook.errors import UserError

MOST = 2048


def feed(venue: str, *ids: int, **more: object) -> dict[str, object]:
    return {"venue": venue, "symbols": [{"id": number, "instrument": f"S{number}"} for number in ids], **more}


def test_two_feeds_need_two_stream_numbers() -> None:
    """Readers tell feeds apart by it."""
    first, second = feed("binance", 0, stream=3), feed("okx", 1, stream=3)
    with pytest.raises(UserError, match=r"feed\[1\]\.stream = 3 is also feed\[0\]'s; each feed needs its own number"):
        parse({"feed": [first, second]})
    assert [each.stream for each in parse({"feed": [first, {**second, "stream": 4}]}).feed] == [3, 4]


def test_a_send_queue_is_for_one_feed() -> None:
    feeds = [feed("binance", 0, stream=1), feed("okx", 1, stream=2)]
    with pytest.raises(UserError, match=r"af_xdp\.send_queue = 0 is one process's, and there are 2 feeds"):
        parse({"af_xdp": {"send_queue": 0}, "feed": feeds})
    assert parse({"af_xdp": {"send_queue": 0}, "feed": feeds[:1]}).af_xdp.send_queue == 0
    assert len(parse({"af_xdp": {"send_queue": -1}, "feed": feeds}).feed) == 2


def test_a_node_holds_as_many_symbols_as_it_has_ids_over_all_its_feeds() -> None:
    half = MOST // 2
    first, second = feed("binance", *range(half), stream=1), feed("okx", *range(half, MOST), stream=2)
    assert sum(len(each.symbols) for each in parse({"feed": [first, second]}).feed) == MOST
    second = feed("okx", *range(half, MOST), 0, stream=2)
    with pytest.raises(UserError, match=r"the feeds name 2049 symbols and a node holds 2048; take out S0 and those"):
        parse({"feed": [first, second]})


@pytest.mark.parametrize("count", [1, 8, 40])
def test_a_feeds_memory_holds_its_symbols_at_their_deepest(count: int) -> None:
    """10,000 levels a side of each, 1,000 ticks from each other."""
    config = parse({"memory": {"arena_mb": 1024}})
    books = Books(MOST, Arena(config.feed_arena_mb(count) << 20, "off"))
    for symbol in range(count):
        batch = Batch(20_001)
        batch.append(symbol, Kind.CLEAR)
        for level in range(10_000):
            batch.append(symbol, Kind.BID, price=(1 << 30) - 1000 * level, quantity=1)
            batch.append(symbol, Kind.ASK, price=(1 << 30) + 1000 * level + 1, quantity=1)
        books.apply(batch)
        assert books.count(symbol) == (10_000, 10_000)


def test_a_feed_takes_no_more_memory_than_the_node_gives_a_process() -> None:
    assert parse({"memory": {"arena_mb": 100}}).feed_arena_mb(500) == 100
    assert Config().feed_arena_mb(1) < Config().feed_arena_mb(20) < Config().memory.arena_mb


def test_all_faults_are_told_at_once_each_with_its_place() -> None:
    table = {
        "nodes": {},
        "transport": {"port": 0, "interfase": "lo", "group_b": "239.1.1.1"},
        "book": {"symbols": 5},
        "feed": [feed("binanse", 0, 9999, stream="1"), {"venue": "okx"}],
    }
    assert [path for path, _ in faults(table)] == [
        ("nodes",),
        ("transport", "interfase"),
        ("transport", "port"),
        ("feed", 0, "venue"),
        ("feed", 0, "stream"),
        ("feed", 0, "symbols", 1, "id"),
        ("feed", 1, "symbols"),
    ]


def test_what_contradicts_another_value_is_told_with_all_others() -> None:
    first, second = feed("okx", 0, 1, stream=3), feed("okx", 1, 7, stream=3)
    table = {"transport": {"snapshot_group": "239.192.7.1", "snapshot_port": 17001}, "book": {"symbols": 5}}
    assert [path for path, _ in faults({**table, "feed": [first, second]})] == [
        ("transport", "snapshot_group"),
        ("feed", 1, "venue"),
        ("feed", 1, "stream"),
        ("feed", 1, "symbols", 0, "id"),
        ("feed", 1, "symbols", 1, "id"),
    ]


def test_what_is_sound_has_no_faults() -> None:
    assert list(faults({"feed": [feed("okx", 0, stream=1)]})) == []
