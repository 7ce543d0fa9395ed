"""Scenario files: read whole or refused in a sentence, and striking where they say."""

from pathlib import Path

import pytest

from wirebook.errors import UserError
from wirebook.sim.faults import KINDS, Fault, Scenario, half_frame, load, spoil


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
        ("[[fault]]\nkind = 'silence'\nat = [1]\nseconds = 'x'\n", "from 0 to 3600"),
        ("[[fault]]\nkind = 'drop'\nat = [1]\ninstrument = 7\n", "must be a name"),
        ("[[fault]]\nkind = 'drop'\nat = [1]\nwhen = 1\n", "fault[0].when is not a key"),
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


@pytest.mark.parametrize(("size", "header"), [(10, 2), (125, 2), (126, 4), (65535, 4), (65536, 10)])
def test_half_a_frame_promises_all_of_it(size: int, header: int) -> None:
    frame = half_frame(b"x" * size)
    length = frame[1] if frame[1] < 126 else int.from_bytes(frame[2:header], "big")
    assert (frame[0], length, len(frame)) == (0x81, size, header + size // 2)
