"""Captures: three forms, and what is told about a damaged one."""

import gzip
from pathlib import Path

import pytest
import zstandard

from wirebook import traffic
from wirebook.errors import UserError

LINES = [(1_700_000_000_000_000_000 + n, b'{"n":%d, "text":"a b"}' % n) for n in range(5000)]
TEXT = b"".join(b"%d %b\n" % line for line in LINES)

PACKERS = {"txt": bytes, "gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}


@pytest.mark.parametrize("form", PACKERS)
def test_every_form_is_read(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"capture.{form}"
    path.write_bytes(PACKERS[form](TEXT))
    assert list(traffic.read(path)) == LINES


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_members_may_follow_each_other(tmp_path: Path, form: str) -> None:
    """As a recorder that was restarted leaves them."""
    path = tmp_path / f"capture.{form}"
    path.write_bytes(PACKERS[form](TEXT) + PACKERS[form](TEXT))
    assert list(traffic.read(path)) == LINES + LINES


@pytest.mark.parametrize("form", ["gz", "zst"])
def test_a_truncated_one_is_named_with_the_line(tmp_path: Path, form: str) -> None:
    path = tmp_path / f"capture.{form}"
    path.write_bytes(PACKERS[form](TEXT)[:-1000])
    got = []
    with pytest.raises(UserError, match=rf"capture\.{form} .*truncated") as caught:
        got += list(traffic.read(path))
    assert " line " in str(caught.value)


def test_damage_inside_is_named(tmp_path: Path) -> None:
    path = tmp_path / "capture.gz"
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 0xFF  # the check sum
    path.write_bytes(packed)
    with pytest.raises(UserError, match="damaged after line 5000"):
        list(traffic.read(path))


@pytest.mark.parametrize("line", [b"nonsense", b"12x {}", b"123", b" {}", b"-5 {}", b"12345678901234567890 {}", b""])
def test_a_malformed_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "capture.txt"
    path.write_bytes(b"1 {}\n2 {}\n" + line + b"\n4 {}\n")
    entries = traffic.read(path)
    assert [next(entries), next(entries)] == [(1, b"{}"), (2, b"{}")]
    with pytest.raises(UserError, match=r"capture\.txt, line 3: "):
        next(entries)


def test_an_empty_or_absent_one_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        list(traffic.read(tmp_path / "empty"))
    with pytest.raises(UserError, match="No such file"):
        list(traffic.read(tmp_path / "absent"))
    with pytest.raises(UserError, match="Is a directory"):
        list(traffic.read(tmp_path))


def test_an_empty_message_is_one(tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    path.write_bytes(b"1 {}\n2 \n3 {}\n")
    assert list(traffic.read(path)) == [(1, b"{}"), (2, b""), (3, b"{}")]


def test_marks_are_no_messages(tmp_path: Path) -> None:
    path = tmp_path / "capture.txt"
    mark = traffic.mark("connected", 3, symbols=["A"])
    path.write_bytes(b"1 " + mark + b"\n2 {}\n3 {\"wirebook\":\"x\n")
    assert next(iter(traffic.entries(path))) == (1, mark)
    assert list(traffic.read(path)) == [(2, b"{}"), (3, b'{"wirebook":"x')]
    assert traffic.mark_of(mark) == traffic.Mark("connected", 3, {"symbols": ["A"]})
    assert traffic.mark_of(b'{"e":"depthUpdate"}') is None
