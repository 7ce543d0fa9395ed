"""How long a refusal is believed."""

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from wirebook.feed.refusals import LONGEST_BAN_SECONDS, LONGEST_SECONDS, wait

NOW = 1_735_720_000.0


def banned(until: float) -> bytes:
    return b'{"code":-1003,"msg":"Way too much request weight used; IP banned until %d. Please"}' % round(until * 1000)


@pytest.mark.parametrize(
    ("status", "retry_after", "body", "seconds"),
    [
        (429, "3", b"", 3),
        (429, "0", b"", 0),
        (429, "", b"", 30),
        (418, "", b"", 120),
        (403, "", b"", 600),
        (500, "", b"", 0),
        (503, "20", b"", 20),
        (418, "7200", b"", 7200),
        (429, "7200", b"", LONGEST_SECONDS),
        (429, "999999999", b"", 30),
        (418, "999999999", b"", 120),
        (429, "9" * 400, b"", 30),
        (429, "\u00b2", b"", 30),
        (429, "\u0663", b"", 30),
        (429, "-5", b"", 30),
        (429, "1e9", b"", 30),
        (429, "inf", b"", 30),
        (429, "soon", b"", 30),
        (429, format_datetime(datetime.fromtimestamp(NOW + 50, UTC), usegmt=True), b"", 50),
        (429, format_datetime(datetime.fromtimestamp(NOW - 50, UTC), usegmt=True), b"", 0),
        (429, format_datetime(datetime.fromtimestamp(NOW + 1e8, UTC), usegmt=True), b"", 30),
        (429, "Thu, 99 Foo 99999 99:99:99 GMT", b"", 30),
        (429, "GMT", b"", 30),
        (418, "5", banned(NOW + 616), 616),
        (418, "", banned(NOW + 616), 616),
        (429, "", banned(NOW + 7200), LONGEST_SECONDS),
        (418, "", banned(NOW - 5), 120),
        (418, "", banned(NOW + LONGEST_BAN_SECONDS + 10), 120),
        (418, "", b"banned until 99999999999999999999", 120),
        (418, "", b"banned until \xd9\xa3", 120),
    ],
)
def test_what_is_plain_is_believed_and_nothing_for_ever(
    status: int, retry_after: str, body: bytes, seconds: float
) -> None:
    assert wait(status, retry_after, body, NOW, 600.0) == pytest.approx(seconds, abs=1.0)
