"""REST for the feed: a snapshot now and then, instrument definitions at the start.

The standard library's `http.client` in one worker thread. A feed makes a request per resync, one at a time by the
venues' own budgets, so an asynchronous client would bring nine more packages to every host and gain nothing. TLS
certificates and host names are verified, always; redirects are not followed: an exchange's API has none.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 10.0
_MOST_BYTES = 64 << 20


class RestError(Exception):
    """A request without a usable answer. The text is a clause for a log line."""

    def __init__(self, text: str, status: int = 0, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status; 0 if there was none."""
        self.retry_after = retry_after
        """Seconds that the venue asks to wait; 0 if it doesn't say."""


class Rest:
    """GETs below one base URL, in turn, over one connection that is kept open while the server keeps it."""

    def __init__(self, base: str, tls: ssl.SSLContext, cpus: Iterable[int]) -> None:
        """`cpus`: where the worker thread may run, so that it needn't disturb the loop's own CPU."""
        parts = urlsplit(base)
        self._prefix = parts.path.rstrip("/")
        self._host, self._port = parts.hostname or "", parts.port
        self._tls = tls if parts.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        allowed = set(cpus)
        self._worker = ThreadPoolExecutor(1, "rest", initializer=lambda: os.sched_setaffinity(0, allowed))

    async def get(self, path: str) -> bytes:
        """The body of the answer to a GET of `path`. Raises RestError."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self._get, path)

    def close(self) -> None:
        """Take no more requests; one in progress ends by its own time-out."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _get(self, path: str) -> bytes:
        kept = self._connection is not None
        try:
            return self._exchange(path)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            if kept:  # the server closed the idle connection, as it may
                return self._get(path)
            raise RestError(f"the server closed the connection ({error})") from error
        except (OSError, http.client.HTTPException) as error:
            raise RestError(f"{self._host}: {explain(error)}") from error

    def _exchange(self, path: str) -> bytes:
        if self._connection is None:
            if self._tls is None:
                self._connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)
            else:
                self._connection = http.client.HTTPSConnection(
                    self._host, self._port, timeout=_TIMEOUT_SECONDS, context=self._tls
                )
        try:
            self._connection.request("GET", self._prefix + path, headers={"User-Agent": "wirebook"})
            answer = self._connection.getresponse()
            body = answer.read(_MOST_BYTES + 1)
        except BaseException:
            self._drop()
            raise
        if answer.will_close or len(body) > _MOST_BYTES:
            self._drop()
        if len(body) > _MOST_BYTES:
            raise RestError(f"the answer is larger than {_MOST_BYTES >> 20} MB")
        if answer.status != 200:
            after = answer.headers.get("Retry-After", "")
            text = body[:200].decode(errors="replace")
            raise RestError(f"HTTP {answer.status}: {text}", answer.status, float(after) if after.isdigit() else 0.0)
        return body

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def explain(error: BaseException) -> str:
    """Return in words why connecting failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid ({error.verify_message})"
    if isinstance(error, socket.gaierror):
        return f"its name can't be resolved ({error.strerror})"
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)):
        return "no answer in time"
    return str(error) or type(error).__name__
