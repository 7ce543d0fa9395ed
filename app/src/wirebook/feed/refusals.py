"""How long a venue wants to be left alone, by its answer. What isn't plain is not believed, and nothing for ever."""

from __future__ import annotations

import re
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_SECONDS: Final = 900.0
"""The longest wait, unless the venue says that it is a ban."""
LONGEST_BAN_SECONDS: Final = 3 * 86400.0
"""The longest ban that any venue documents (Binance: 2 minutes to 3 days). What is beyond it is a mistake."""

_FORBIDDEN, _BANNED, _TOO_MANY = 403, 418, 429
_UNSAID: Final = {_BANNED: 120.0, _TOO_MANY: 30.0}
"""What is waited where the venue doesn't say: its shortest ban, and half of the minute that it counts by."""
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
_UNTIL = re.compile(rb"banned until ([0-9]{13})(?![0-9])")


def wait(status: int, retry_after: str, body: bytes, now: float, forbidden_seconds: float) -> float:
    """Seconds for which no request may be made after an answer; 0 if it says nothing of the kind.

    `now` is the time since 1970. `forbidden_seconds`: how long the venue shuts an address out that it answers with 403.
    """
    longest = LONGEST_BAN_SECONDS if status == _BANNED else LONGEST_SECONDS
    said = [seconds for seconds in (_after(retry_after, now), _until(body, now)) if seconds is not None]
    if not said:
        return forbidden_seconds if status == _FORBIDDEN else _UNSAID.get(status, 0.0)
    return min(max(said), longest)


def _after(text: str, now: float) -> float | None:
    """What Retry-After says (RFC 9110, 10.2.3): seconds or a date."""
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif len(text) > 40 or not text.isascii() or not text.endswith("GMT"):
        return None
    else:
        try:
            seconds = parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp() - now
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(0.0, seconds) if seconds <= LONGEST_BAN_SECONDS else None


def _until(body: bytes, now: float) -> float | None:
    """What Binance says in its text: the ban's end, in ms since 1970. One that is over, or absurd, says nothing."""
    found = _UNTIL.search(body[:1000])
    seconds = int(found[1]) / 1000 - now if found else 0.0
    return seconds if 0 < seconds <= LONGEST_BAN_SECONDS else None
