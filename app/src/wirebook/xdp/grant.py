"""What the book process gets from the privileged process, and how: one exchange over a Unix socket.

The book process sends `{"interface": NAME}` with its AF_XDP socket. The answer is `{"mode": MODE, "notes": [...]}` with
two file descriptors, the program's link and its counters, or `{"refused": SENTENCE}`. Which groups and limits, the
privileged process reads in its own configuration: who connects can ask for nothing else.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from wirebook import capabilities
from wirebook.config import AfXdp
from wirebook.core.transport.af_xdp import program as xdp_program
from wirebook.core.transport.base import Endpoint
from wirebook.errors import UserError
from wirebook.xdp import interface as interfaces

_NEEDED: Final = ("CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_BPF")
_ANSWER_BYTES: Final = 4096
_ANSWER_SECONDS: Final = 10.0
_SO_PREFER_BUSY_POLL: Final = 69
_SO_BUSY_POLL: Final = 46
_SO_BUSY_POLL_BUDGET: Final = 70
_AF_XDP: Final = 44


@dataclass
class Grant:
    """The right to the frames: while `link` is open the program redirects them. `verdicts` is its counters."""

    link: int
    verdicts: int
    mode: str
    """native: in the driver; generic: behind it, once the kernel has made a packet of the frame."""
    notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Give it back: without another holder of the link, the kernel takes the program off."""
        os.close(self.link)
        os.close(self.verdicts)


@dataclass(frozen=True)
class Wanted:
    """What is to be attached where, as the configuration says."""

    destinations: tuple[tuple[Endpoint, int], ...]
    """Groups of one interface, and the line that each is."""
    options: AfXdp
    senders: tuple[str, ...] = ()
    """Whose packets the program lets through; empty: everybody's."""

    @property
    def interface(self) -> str:
        """The interface of all of them."""
        return self.destinations[0][0].interface


def attach(wanted: Wanted, xsk: int) -> Grant:
    """Attach the program and hand it the AF_XDP socket `xsk`. Raises UserError with the reason why not."""
    missing = [name for name in _NEEDED if not capabilities.has(name)]
    if missing:
        raise UserError(f"attaching an XDP program needs {', '.join(missing)}: run `wirebook xdp` as its unit does")
    name, options = wanted.interface, wanted.options
    interfaces.check(name, options.queue, native=options.mode != "generic")
    number = socket.if_nametoindex(name)
    there = xdp_program.attached(number)
    if there:
        raise UserError(
            f"{name} has an XDP program already (id {there[0]}, {there[1]}): stop the process that attached it, "
            f"`bpftool net` shows it"
        )
    with resources.as_file(resources.files("wirebook.core.transport.af_xdp") / "steer.bpf.o") as path:
        try:
            program = xdp_program.Program(
                path,
                [(endpoint.group, endpoint.port, line) for endpoint, line in wanted.destinations],
                options.packets_per_second,
                options.burst,
                wanted.senders,
            )
            program.give(options.queue, xsk)
        except OSError as error:
            raise UserError(f"the kernel refuses the XDP program ({error.strerror}): it needs Linux 6.1") from None
    notes = [*_busy_poll(xsk, name, options)]
    mode = options.mode
    if mode == "auto":
        try:
            return Grant(program.attach(number, "native"), program.verdicts(), "native", tuple(notes))
        except OSError as error:
            notes.append(f"the XDP program runs in generic mode, which is slower: {_why_not_native(name, error)}")
            mode = "generic"
    try:
        return Grant(program.attach(number, mode), program.verdicts(), mode, tuple(notes))
    except OSError as error:
        if mode == "native":
            raise UserError(f'{_why_not_native(name, error)}, or set af_xdp.mode to "auto"') from None
        raise UserError(f"can't attach the XDP program to {name}: {error.strerror}") from None


def _why_not_native(name: str, error: OSError) -> str:
    mtu = int(Path("/sys/class/net", name, "mtu").read_text())
    if error.errno in (errno.EINVAL, errno.ERANGE, errno.EOPNOTSUPP) and mtu > 1500:
        return f"{name}'s driver takes no XDP program with an MTU of {mtu}: ip link set {name} mtu 1500"
    if error.errno == errno.EOPNOTSUPP:
        return f"{name}'s driver has no XDP: use another NIC"
    return f"{name}'s driver refuses the XDP program ({error.strerror}): see the kernel log"


def _busy_poll(xsk: int, name: str, options: AfXdp) -> list[str]:
    """Set what needs CAP_NET_ADMIN on the socket; notes about what is missing (Documentation/networking/napi.rst)."""
    if not options.busy_poll_us:
        return []
    with _socket(xsk) as one:
        one.setsockopt(socket.SOL_SOCKET, _SO_PREFER_BUSY_POLL, 1)
        one.setsockopt(socket.SOL_SOCKET, _SO_BUSY_POLL, options.busy_poll_us)
        one.setsockopt(socket.SOL_SOCKET, _SO_BUSY_POLL_BUDGET, options.busy_poll_budget)
    folder = Path("/sys/class/net", name)
    return [
        f"busy polling of {name} is interrupted by interrupts: echo {value} > {folder / file}"
        for file, value in (("napi_defer_hard_irqs", 2), ("gro_flush_timeout", 200000))
        if int((folder / file).read_text()) == 0
    ]


def request(path: str, interface: str, xsk: int) -> Grant:
    """Ask the privileged process at the Unix socket `path`. Raises UserError: its reason, or that it isn't there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
        channel.settimeout(_ANSWER_SECONDS)
        try:
            channel.connect(path)
            socket.send_fds(channel, [json.dumps({"interface": interface}).encode()], [xsk])
            answer, descriptors, _, _ = socket.recv_fds(channel, _ANSWER_BYTES, 2)
        except OSError as error:
            raise UserError(
                f"no answer from `wirebook xdp` at {path} ({error.strerror or error}): "
                "systemctl start wirebook-xdp.socket"
            ) from None
    said = json.loads(answer or b'{"refused": "wirebook xdp ended without a word: see its journal"}')
    if "refused" in said:
        raise UserError(said["refused"])
    link, verdicts = descriptors
    return Grant(link, verdicts, said["mode"], tuple(said["notes"]))


def serve(channel: socket.socket, wanted: Sequence[Wanted]) -> str:
    """Answer one request; returns a sentence for the log. `wanted` is all that the configuration lets be attached."""
    message, descriptors, _, _ = socket.recv_fds(channel, _ANSWER_BYTES, 1)
    try:
        grant = _grant(message, descriptors, wanted)
    except UserError as error:
        channel.send(json.dumps({"refused": str(error)}).encode())
        return f"refused: {error}"
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    answer = json.dumps({"mode": grant.mode, "notes": grant.notes}).encode()
    try:
        socket.send_fds(channel, [answer], [grant.link, grant.verdicts])
    finally:
        grant.close()
    return f"attached the XDP program in {grant.mode} mode"


def _grant(message: bytes, descriptors: Sequence[int], wanted: Sequence[Wanted]) -> Grant:
    try:
        name = json.loads(message)["interface"]
    except (ValueError, TypeError, KeyError):
        name = None
    for one in wanted:
        if one.interface == name and len(descriptors) == 1 and _is_af_xdp(descriptors[0]):
            return attach(one, descriptors[0])
    raise UserError("that is no request for an interface of the configuration: is wirebook of another release?")


def _is_af_xdp(descriptor: int) -> bool:
    try:
        with _socket(descriptor) as one:
            return one.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN) == _AF_XDP
    except OSError:
        return False


def _socket(descriptor: int) -> socket.socket:
    # Told what it is: an AF_XDP socket has no getsockname(2), by which Python would find out.
    return socket.socket(_AF_XDP, socket.SOCK_RAW, 0, os.dup(descriptor))
