"""`wirebook xdp`: the privileged process that attaches the XDP program for the book process.

systemd starts it for each connection to its socket (`Accept=yes`) and it ends with the answer; by hand it listens at
`af_xdp.helper` until it is interrupted.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Final

from wirebook.config import Config
from wirebook.errors import UserError
from wirebook.xdp.grant import serve
from wirebook.xdp.reception import wanted

_FIRST_PASSED: Final = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
_READERS_MODE: Final = 0o660

_log = logging.getLogger(__name__)


def run(config: Config) -> None:
    """Answer the connection that systemd passed, or all that come to `af_xdp.helper`."""
    allowed = wanted(config)
    if os.environ.get("LISTEN_PID") == str(os.getpid()) and os.environ.get("LISTEN_FDS") == "1":
        with socket.socket(fileno=_FIRST_PASSED) as channel:
            _log.info("%s", serve(channel, allowed))
        return
    path = Path(config.af_xdp.helper)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        try:
            path.unlink(missing_ok=True)  # left by one that was killed
            listener.bind(str(path))
        except OSError as error:
            raise UserError(f"can't listen at {path} ({error.strerror}): set af_xdp.helper") from None
        try:
            path.chmod(_READERS_MODE)
            listener.listen()
            _log.info("listening at %s", path)
            while True:
                channel, _ = listener.accept()
                with channel:
                    try:
                        _log.info("%s", serve(channel, allowed))
                    except OSError as error:
                        _log.warning("a connection broke off: %s", error.strerror)
        finally:
            path.unlink(missing_ok=True)
