"""Scenario files: read whole or refused in a sentence, and striking where they say."""

import json
from pathlib import Path

import pytest

from wirebook.errors import UserError
from wirebook.sim.faults import KINDS, Fault, Scenario, guide, load
from wirebook.sim.spoil import half_frame, reformat, spoil


def test_a_scenario_is_read(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text("".join(f'[[fault]]\nkind = "{kind}"\nat = [2]\n' for kind in KINDS))
    scenario = load(path)
    assert scenario.message("X") == []
    assert [fault.kind for fault in scenario.message("X")] == [kind for kind in KINDS if not kind.startswith("rest")]
    assert scenario.request() == []
    assert [fault.kind for fault in scenario.request()] == [kind for kind in KINDS if kind.startswith("rest")]
    assert set(scenario.struck) == set(KINDS)


def test_messages_are_counted_by_instrument_where_that_is_said() -> None:
    scenario = Scenario((Fault("drop", at=(2,), instrument="X"), Fault("swap", every=3)))
    struck = [[fault.kind for fault in scenario.message(name)] for name in ("X", "Y", "Y", None, "X", "Y")]
    assert struck == [[], [], ["swap"], [], ["drop"], ["swap"]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[fault]\n", "not valid TOML"),
        ("", "must consist of"),
        ("[fault]\nkind = 'drop'\n", "must consist of"),
        ("[[fault]]\nat = [1]\n", "must be one of drop, duplicate"),
        ("[[fault]]\nkind = 'fly'\nat = [1]\n", "'fly' is not allowed"),
        ("[[fault]]\nkind = 'drop'\n", "never strikes"),
        ("[[fault]]\nkind = 'drop'\nat = [0]\n", "numbers from 1 on"),
        ("[[fault]]\nkind = 'drop'\nat = 7\n", "list of numbers"),
        ("[[fault]]\nkind = 'drop'\nevery = -1\n", "never strikes"),
        ("[[fault]]\nkind = 'silence'\nat = [1]\nseconds = 'x'\n", "from 0 to 86400"),
        ("[[fault]]\nkind = 'drop'\nat = [1]\ninstrument = 7\n", "must be a name"),
        ("[[fault]]\nkind = 'drop'\nat = [1]\nwhen = 1\n", "fault[0].when is not a key"),
        ("fault = [1]\n", "fault[0] = 1 is not a table"),
    ],
)
def test_what_is_wrong_with_a_scenario_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=str(path)) as caught:
        load(path)
    assert words in str(caught.value)
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "absent")


def test_messages_are_spoilt() -> None:
    message = b'{"a":1,"checksum":-9}'
    assert spoil("drop", message) == []
    assert spoil("duplicate", message) == [message, message]
    assert spoil("truncate", message) == [b'{"a":1,"ch']
    assert spoil("garble", message) == [b'{"a":1,"ch?cksum":-9}']
    assert spoil("checksum", message) == [b'{"a":1,"checksum":-8}']
    assert spoil("disconnect", message) == [message]


@pytest.mark.parametrize(
    ("kind", "right", "changed"),
    [
        ("format_numbers", b'["1.50","2.0"]', b"[1.50,2.0]"),
        ("format_numbers", b'"price_level":"1.50","new_quantity":"2"', b'"price_level":1.50,"new_quantity":2'),
        ("format_numbers", b'{"price":1.50,"qty":2}', b'{"price":"1.50","qty":"2"}'),
        ("format_exponent", b'["1.50","2.0"]', b'["150e-2","2.0"]'),
        ("format_exponent", b'"price_level":"1.50","new_quantity":"2"', b'"price_level":"150e-2","new_quantity":"2"'),
        ("format_exponent", b'{"price":0.05,"qty":2}', b'{"price":5e-2,"qty":2}'),
    ],
)
def test_numbers_are_spelled_otherwise(kind: str, right: bytes, changed: bytes) -> None:
    assert reformat(kind, right) == changed


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("format_")])
def test_another_format_is_still_what_it_says(kind: str) -> None:
    """JSON that a person would read as the same message, of each shape that venues have."""
    for message in (
        b'{"stream":"x@depth","data":{"e":"depthUpdate","U":1,"u":2,"b":[["0.05","1"]],"a":[]}}',
        b'{"topic":"orderbook.50.X","type":"delta","data":{"s":"X","b":[["0.05","1"]],"u":2,"seq":3}}',
        b'{"arg":{"channel":"books"},"data":[{"bids":[["0.05","1","0","1"]],"seqId":2,"prevSeqId":1}]}',
        b'{"channel":"book","data":[{"bids":[{"price":0.05,"qty":1}],"checksum":9}]}',
        b'{"channel":"l2_data","sequence_num":7,"events":[{"updates":[{"price_level":"0.05","new_quantity":"1"}]}]}',
    ):
        changed = reformat(kind, message)
        assert json.loads(changed)
        assert (changed != message) or (kind == "format_ids" and b"checksum" in message)


def test_a_fault_that_lasts_holds_for_its_time_and_its_instrument() -> None:
    now = [100.0]
    scenario = Scenario(
        (Fault("book_silence", at=(2,), instrument="X", seconds=3), Fault("halt", at=(9,))), lambda: now[0]
    )
    scenario.message("X")
    assert not scenario.any_lasting
    scenario.message("X")
    assert (scenario.holds("book_silence", "X"), scenario.holds("book_silence", "Y")) == (3.0, 0.0)
    assert scenario.lasting("X") == ["book_silence"]
    assert scenario.lasting("Y") == scenario.lasting(None) == []
    now[0] += 3
    assert scenario.lasting("X") == []
    assert scenario.unstruck() == ["fault[1] (halt at 9)"]


def test_the_help_names_every_kind_and_key() -> None:
    text = guide()
    assert all(f"  {kind} " in text for kind in KINDS)
    assert all(f"  {key} = " in text for key in ("kind", "at", "every", "instrument", "seconds"))
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize(("size", "header"), [(10, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_half_a_frame_promises_all_of_it(size: int, header: int) -> None:
    frame = half_frame(b"x" * size)
    length = frame[1] if frame[1] < 126 else int.from_bytes(frame[2:header], "big")
    assert (frame[0], length, len(frame)) == (0x81, size, header + size // 2)
