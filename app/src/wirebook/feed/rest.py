"""REST for the feed: a snapshot now and then, instrument definitions at the start.

The standard library's `http.client` in a thread beside the loop. A feed makes a request per resync, one at a time, so
an asynchronous client would bring nine more packages to every host and gain nothing. TLS certificates and host names
are verified, always; redirects are not followed: an exchange's API has none.

Nothing that a venue answers, or doesn't, holds the feed up: a request has a deadline as a whole, its thread is a
daemon, and whatever goes wrong in it is a `RestError`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

from wirebook.feed import refusals
from wirebook.feed.quota import Quota
from wirebook.venues.base import Venue
from wirebook.venues.fields import cut

_TIMEOUT_SECONDS = 10.0
"""For each step of a request: to connect, to send, to hear the next bytes."""
_DEADLINE_SECONDS = 30.0
"""For all of it: a body may come in drops."""
_MOST_BYTES: Final = 16 << 20
_LONGEST_SLEEP: Final = 60.0


class RestError(Exception):
    """A request without a usable answer. The text is a clause for a log line."""

    def __init__(self, text: str, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status; 0 if there was none."""
        self.retry_after = retry_after
        """Seconds for which the venue wants no request; 0 if it doesn't say. `Rest` keeps to it by itself."""


class Rest:
    """GETs below one base URL, in turn, over one connection that is kept open while the server keeps it."""

    def __init__(self, base: str, tls: ssl.SSLContext, venue: Venue, quota: Quota, cpus: Iterable[int]) -> None:
        """`cpus`: where the threads may run, so that they needn't disturb the loop's own CPU."""
        parts = urlsplit(base)
        self._prefix = parts.path.rstrip("/")
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = tls if parts.scheme == "https" else None
        self._venue = venue
        self.quota = quota
        self._cpus = set(cpus)
        self._kept: _Line | None = None
        self._turn = asyncio.Lock()

    async def get(self, path: str, asking: Callable[[], None] = lambda: None) -> bytes:
        """The body of the answer to a GET of `path`, as soon as the venue's limits allow one. Raises RestError.

        `asking` is called when it is sent.
        """
        weight = self._venue.weight(path)
        async with self._turn:
            while (wait := self.quota.wait(weight)) > 0:
                await asyncio.sleep(min(wait, _LONGEST_SLEEP))
            asking()
            kept, self._kept = self._kept, None
            if kept is not None:
                with contextlib.suppress(_ClosedError):  # the server closed the idle connection, as it may
                    return await self._ask(kept, path, weight)
            try:
                return await self._ask(None, path, weight)
            except _ClosedError:
                raise RestError(f"{self._host}: the server closed the connection") from None

    async def _ask(self, line: _Line | None, path: str, weight: float) -> bytes:
        self.quota.spend(weight)
        line = line or _Line(self._host, self._port, self._tls)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Answer] = loop.create_future()
        threading.Thread(target=self._work, args=(line, path, loop, future), name="rest", daemon=True).start()
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                answer = await future
        except TimeoutError:
            raise RestError(f"{self._host}: the answer wasn't whole after {_DEADLINE_SECONDS:.0f} s") from None
        finally:
            if future.cancelled():
                line.cut()
        if answer.keeps:
            self._kept = line
        return self._judged(answer)

    def _judged(self, answer: _Answer) -> bytes:
        used = answer.headers.get(self._venue.used_weight_header, "") if self._venue.used_weight_header else ""
        if used.isascii() and used.isdigit() and len(used) < 10:
            self.quota.told(float(used))
        if len(answer.body) > _MOST_BYTES:
            raise RestError(f"the answer is larger than {_MOST_BYTES >> 20} MB")
        if answer.status == 200:
            return answer.body
        wait = refusals.wait(
            answer.status,
            answer.headers.get("retry-after", ""),
            answer.body,
            time.time(),
            self._venue.forbidden_seconds,
        )
        if wait:
            self.quota.close(wait)
        raise RestError(f"HTTP {answer.status}: {cut(answer.body[:200])}", answer.status, wait)

    def _work(self, line: _Line, path: str, loop: asyncio.AbstractEventLoop, future: asyncio.Future[_Answer]) -> None:
        """What the thread does."""
        answer: _Answer | None = None
        failure: Exception | None = None
        try:
            os.sched_setaffinity(0, self._cpus)
            answer = line.exchange(self._prefix + path)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            failure = _ClosedError()
        except Exception as error:  # whatever the standard library makes of an answer that makes no sense
            failure = RestError(f"{self._host}: {explain(error)}")
        if failure is not None:
            line.close()

        def settle() -> None:
            if future.done():
                line.close()  # nobody waits any more
            elif failure is not None:
                future.set_exception(failure)
            else:
                assert answer is not None  # noqa: S101 (for the type checker)
                future.set_result(answer)

        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle)


class _ClosedError(Exception):
    """The server closed the connection before it answered."""


class _Answer:
    """Status, headers by their names in small letters, and a body, a byte more than allowed if it is too large."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes, keeps: bool) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.keeps = keeps
        """The connection may be used again."""


class _Line:
    """A connection to the server, used by one thread at a time; only `cut` is for another one."""

    def __init__(self, host: str, port: int | None, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._tls = tls
        self._raw: socket.socket | None = None
        """The same connection below TLS."""
        if tls is None:
            self._http = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_SECONDS)
        else:
            self._http = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT_SECONDS, context=tls)

    def exchange(self, target: str) -> _Answer:
        """Send a GET and wait for its answer. Raises what the standard library raises."""
        if self._http.sock is None:
            self._connect()
        self._http.request("GET", target, headers={"User-Agent": "wirebook"})
        answer = self._http.getresponse()
        body = answer.read(_MOST_BYTES + 1)
        headers = {name.lower(): value for name, value in answer.getheaders()}
        keeps = not answer.will_close and len(body) <= _MOST_BYTES
        if not keeps:
            self.close()
        return _Answer(answer.status, headers, body, keeps)

    def cut(self) -> None:
        """Let whatever the other thread waits for end now."""
        if self._raw is not None:
            with contextlib.suppress(OSError):
                self._raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()
        if self._raw is not None:
            self._raw.close()

    def _connect(self) -> None:
        made = socket.create_connection((self._host, self._http.port), _TIMEOUT_SECONDS)
        self._raw = made.dup()
        if self._tls is not None:
            made = self._tls.wrap_socket(made, server_hostname=self._host, do_handshake_on_connect=False)
        self._http.sock = made
        if isinstance(made, ssl.SSLSocket):
            made.do_handshake()


def explain(error: BaseException) -> str:
    """Return in words why connecting failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, socket.gaierror):
        return f"its name can't be resolved ({error.strerror})"
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "no answer in time"
    return cut(str(error) or type(error).__name__)
