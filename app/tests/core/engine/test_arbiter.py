"""Arbitration of lines A and B: nothing lost while either line has it, and everything counted."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest

from wirebook.core.engine.arbiter import Arbiter
from wirebook.core.wire.packet import Encoder
from wirebook.core.wire.records import Batch, Kind

A, B = 0, 1
MS = 1_000_000


def packets(count: int, epoch: int = 1, stream: int = 1, channel: int = 0) -> list[bytes]:
    """Packets with the sequences 1 to `count`; place 0 is empty."""
    encoder, batch = Encoder(1, stream, epoch), Batch(1)
    batch.append(0, Kind.BID)
    return [b"", *(encoder.encode(batch, channel)[0] for _ in range(count))]


def on_line_a(arbiter: Arbiter, some: Iterable[bytes]) -> list[str]:
    return [arbiter.take(packet)[0] for packet in some]


def test_places_in_a_stream_of_one_line() -> None:
    arbiter, sent = Arbiter(), packets(11)
    places = on_line_a(arbiter, [sent[n] for n in (5, 6, 6, 9, 7, 10)])
    assert places == ["first", "next", "late", "gap", "late", "next"]
    again = packets(2, epoch=2)
    assert arbiter.take(again[1], now=2000 * MS) == ("restart", [1])
    assert arbiter.take(sent[11], now=2000 * MS)[0] == "invalid", "what the old publisher sent before it died"
    assert arbiter.take(again[2], now=2000 * MS) == ("next", [2])
    assert arbiter.take(packets(1, epoch=2, channel=1)[1])[0] == "first", "each channel has its own sequence"
    assert arbiter.counters()["refused"] == 1
    stream = arbiter.counters()["streams"][0]
    assert [stream[name] for name in ("gaps", "lost", "late", "copies", "restarts")] == [1, 2, 1, 1, 1]
    assert stream["lines"][A] == {"packets": 8, "first": 6, "lost": 1, "late": 1, "duplicates": 1}


def test_streams_beyond_the_table_are_refused() -> None:
    arbiter = Arbiter()
    assert on_line_a(arbiter, [packets(1, stream=n)[1] for n in range(70)]) == ["first"] * 64 + ["invalid"] * 6
    assert arbiter.counters()["too_many_streams"] == 6
    assert arbiter.take(packets(2, stream=0)[2]) == ("next", [2])


def test_each_of_many_publishers_is_told_by_venue_and_stream() -> None:
    """Whatever their numbers: those that are looked for at one place of the table, too."""
    random.seed(7)
    at_one_place = [venue for venue in range(1, 1 << 16) if (venue << 16) * 0x9E3779B1 >> 24 & 0xFF == 255]
    batch = Batch(1)
    batch.append(0, Kind.BID)
    for numbers in (
        [(venue, stream) for venue in range(1, 9) for stream in range(8)],
        random.sample([(venue, stream) for venue in range(100) for stream in range(1000)], 64),
        [(venue, 0) for venue in at_one_place[:64]],
    ):
        arbiter = Arbiter()
        encoders = [Encoder(venue, stream, 1) for venue, stream in numbers]
        for sequence in range(1, 5):
            for encoder in random.sample(encoders, len(encoders)):
                expected = "first" if sequence == 1 else "next"
                assert arbiter.take(encoder.encode(batch, 0)[0]) == (expected, [sequence])
        streams = arbiter.counters()["streams"]
        assert sorted((each["venue"], each["stream"], each["packets"]) for each in streams) == sorted(
            (venue, stream, 4) for venue, stream in numbers
        )


def test_the_first_copy_counts() -> None:
    arbiter, sent = Arbiter(2), packets(3)
    assert arbiter.take(sent[1], line=A) == ("first", [1])
    assert arbiter.take(sent[1], line=B) == ("late", [])
    assert arbiter.take(sent[2], line=B) == ("next", [2])
    assert arbiter.take(sent[2], line=A) == ("late", [])
    stream = arbiter.counters()["streams"][0]
    assert (stream["copies"], stream["late"]) == (2, 0)
    assert [line["first"] for line in stream["lines"]] == [1, 1]


def test_what_one_line_lost_the_other_brings() -> None:
    arbiter, sent = Arbiter(2), packets(5)
    arbiter.take(sent[1], line=A)
    assert arbiter.take(sent[3], line=A) == ("held", [])
    assert arbiter.take(sent[4], line=A) == ("held", [])
    assert arbiter.take(sent[1], line=B) == ("late", [])
    assert arbiter.take(sent[2], line=B) == ("next", [2, 3, 4])
    assert arbiter.take(sent[5], line=A) == ("next", [5])
    stream = arbiter.counters()["streams"][0]
    assert (stream["gaps"], stream["lost"], arbiter.held, arbiter.holding) == (0, 0, 2, 0)
    assert stream["lines"][A]["lost"] == 1


def test_a_hole_is_given_up_when_both_lines_are_past_it() -> None:
    arbiter, sent = Arbiter(2), packets(4)
    arbiter.take(sent[1], line=A)
    arbiter.take(sent[1], line=B)
    assert arbiter.take(sent[3], line=A) == ("held", [])
    assert arbiter.take(sent[4], line=B) == ("held", [3, 4])
    stream = arbiter.counters()["streams"][0]
    assert (stream["gaps"], stream["lost"], arbiter.timeouts) == (1, 1, 0)
    assert arbiter.take(sent[2], line=B) == ("late", [])
    assert arbiter.counters()["streams"][0]["late"] == 1


def test_the_other_lines_copy_too_says_that_it_is_past() -> None:
    arbiter, sent = Arbiter(2), packets(3)
    arbiter.take(sent[1], line=A)
    assert arbiter.take(sent[3], line=A) == ("held", [])
    assert arbiter.take(sent[3], line=B) == ("late", [3])


def test_a_hole_is_given_up_after_the_time_out_and_not_before_all_was_looked_at() -> None:
    arbiter, sent = Arbiter(2, 0.005), packets(6)
    arbiter.take(sent[1], line=A, now=1 * MS)
    arbiter.take(sent[3], line=A, now=2 * MS)
    arbiter.take(sent[5], line=A, now=4 * MS)
    assert arbiter.overdue(6 * MS) == []
    assert arbiter.overdue(7 * MS) == [3]
    assert arbiter.overdue(8 * MS) == []
    assert arbiter.take(sent[2], line=B, now=8 * MS) == ("late", [])
    assert arbiter.take(sent[4], line=B, now=8 * MS) == ("next", [4, 5])
    assert (arbiter.timeouts, arbiter.counters()["streams"][0]["lost"]) == (1, 1)


def test_a_restart_throws_away_what_is_held() -> None:
    arbiter, sent = Arbiter(2), packets(9)
    arbiter.take(sent[1], line=A)
    for n in (3, 7, 9):
        arbiter.take(sent[n], line=A)
    assert arbiter.take(packets(1, epoch=2)[1], line=B, now=2000 * MS) == ("restart", [1])
    assert arbiter.holding == 0
    assert arbiter.take(packets(2, epoch=2)[2], line=A, now=2000 * MS) == ("next", [2])


def test_more_than_can_be_held_gives_holes_up() -> None:
    arbiter, sent = Arbiter(2), packets(2100)
    arbiter.take(sent[1], line=A)
    for n in range(3, 1026):
        assert arbiter.take(sent[n], line=A) == ("held", [])
    place, delivered = arbiter.take(sent[1026], line=A)
    assert (place, delivered) == ("full", list(range(3, 1027)))
    assert arbiter.take(sent[2100], line=A) == ("gap", [2100]), "too far ahead for anything to fill it"
    stream = arbiter.counters()["streams"][0]
    assert (stream["gaps"], stream["lost"]) == (2, 1 + 1073)


def test_one_streams_hole_leaves_others_room_or_they_do_not_wait() -> None:
    arbiter, greedy, other = Arbiter(2), packets(1025), packets(3, stream=2)
    arbiter.take(greedy[1], line=A)
    arbiter.take(other[1], line=A)
    for n in range(3, 1026):
        arbiter.take(greedy[n], line=A)
    assert arbiter.take(packets(4, stream=3)[1], line=A)[0] == "first"
    assert arbiter.take(packets(4, stream=3)[3], line=A)[0] == "held"
    assert arbiter.take(other[3], line=A) == ("gap", [3])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("lag", [1, 40, 600])
def test_random_loss_on_both_lines(seed: int, lag: int) -> None:
    """Delivered is what either line had, once and in order, and the counters say what each lacked."""
    chance = random.Random(seed)
    count = 4000
    arbiter, sent = Arbiter(2), packets(count)
    has = [[n for n in range(1, count + 1) if n == 1 or chance.random() > 0.1] for _ in (A, B)]
    queues = [list(reversed(line)) for line in has]
    delivered: list[int] = []
    while any(queues):
        line = chance.choice([n for n in (A, B) if queues[n]])
        ahead = len(queues[1 - line]) - len(queues[line])
        if ahead > lag and queues[1 - line]:
            line = 1 - line
        delivered += arbiter.take(sent[queues[line].pop()], line=line)[1]
    delivered += arbiter.overdue(1 << 62)
    assert delivered == sorted(set(has[A]) | set(has[B]))
    stream = arbiter.counters()["streams"][0]
    assert stream["lost"] == count - len(delivered)
    assert stream["copies"] == len(has[A]) + len(has[B]) - len(delivered)
    for line in (A, B):
        last = has[line][-1]
        assert stream["lines"][line]["packets"] == len(has[line])
        assert stream["lines"][line]["lost"] == last - len(has[line])
    assert sum(line["first"] for line in stream["lines"]) == len(delivered)
