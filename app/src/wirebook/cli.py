"""The command line: the arguments of every command. A command's module is only loaded when it is used."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from wirebook.errors import UserError

USER_ERROR = 2
"""Exit code for what the user can correct; a failure while running is 1."""

_JSON = "print JSON, for a program to read"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `wirebook` with the process's arguments, or with those given; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0] == "--version":
        words.sort(key="--verbose".__ne__)  # it leaves at once, and must know before how much to say
    try:
        options = command_parser().parse_args(words)
        _log_to_stderr(options.verbose)
        code: int = import_module(f"wirebook.commands.{options.command}").main(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"wirebook: {error}", file=sys.stderr)
        return USER_ERROR
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `wirebook top | head`: nobody reads any more. Python would complain again when it flushes at exit.
        sys.stdout = None
        return 0
    return code


def _log_to_stderr(verbose: bool) -> None:
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.DEBUG if verbose else logging.INFO)
    if not verbose:
        logging.getLogger("picows").setLevel(logging.ERROR)


def command_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="wirebook",
        description="Order books from exchange feeds: WebSocket in, multicast out, top of book in shared memory.",
    )
    parser.add_argument(
        "--version", action=_Version, nargs=0, help="print the version, with --verbose also how it was built, and exit"
    )
    parser.add_argument("--verbose", action="store_true", help="log everything, not just what an operator needs")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    feed = commands.add_parser(
        "feed", help="follow a venue and publish its books", description="Follow a venue and publish its books."
    )
    feed.add_argument("venue", help="a venue that has a [[feed]] in the configuration")
    _add_config(feed)
    feed.set_defaults(command="feed")

    record = commands.add_parser(
        "record",
        help="record a venue's raw traffic",
        description="Follow a venue and record its raw traffic, publishing nothing. A running feed"
        " records by itself if its [[feed]] has the key `record`. Consecutive files can be joined with cat.",
    )
    record.add_argument("venue", help="a venue that has a [[feed]] in the configuration")
    record.add_argument(
        "--directory", type=Path, default=Path(), metavar="DIR", help="where the files go (default: here)"
    )
    _add_config(record)
    record.set_defaults(command="record")

    book = commands.add_parser(
        "book",
        help="build the books of all feeds in shared memory",
        description="Build the books of all feeds in shared memory.",
    )
    _add_config(book)
    book.add_argument(
        "--audit",
        type=Path,
        metavar="FILE",
        help="write a line per event: symbol, id, state, best bid and ask (slow; for tests)",
    )
    book.set_defaults(command="book")

    capture = commands.add_parser(
        "capture",
        help="write the node's packets to a pcapng file, with either transport",
        description="Write the packets of the node's groups to a pcapng file, with nanosecond stamps. With AF_XDP,"
        " where tcpdump sees nothing, the running book process provides a copy. Runs until interrupted.",
    )
    capture.add_argument(
        "file", metavar="FILE", help='the file to write; "-" is standard output, for wireshark -k -i -'
    )
    capture.add_argument("--seconds", type=_rate, default=0.0, metavar="N", help="stop after N seconds")
    capture.add_argument("--packets", type=_count(1 << 40), default=0, metavar="N", help="stop after N packets")
    _add_config(capture)
    capture.set_defaults(command="capture")

    xdp = commands.add_parser(
        "xdp",
        help="privileged: attach the XDP program for the book process",
        description="Attach the XDP program for the book process, which needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF."
        " systemd runs it for each connection to its socket; run by hand, it listens until interrupted.",
    )
    _add_config(xdp)
    xdp.set_defaults(command="xdp")

    sim = commands.add_parser(
        "sim",
        help="simulate a venue over real WebSocket and REST",
        description="Simulate a venue: replay a capture, or make traffic up. Runs until interrupted.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    sim.add_argument("-h", "--help", action=_SimHelp, nargs=0, help="show this help, with all faults, and exit")
    sim.add_argument("--venue", default="binance", help="the venue to simulate (default: %(default)s)")
    source = sim.add_mutually_exclusive_group(required=True)
    source.add_argument("--replay", type=Path, metavar="CAPTURE", help="replay this capture (plain, .gz or .zst)")
    source.add_argument("--synthetic", action="store_true", help="make traffic up")
    sim.add_argument(
        "--speed", type=_speed, metavar="SPEED", default="recorded",
        help='"recorded", "max", or a factor such as 10 (default: %(default)s)',
    )  # fmt: skip
    sim.add_argument(
        "--loop",
        action="store_true",
        help="at the end, close all connections and start over, like a venue that restarts",
    )
    sim.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    sim.add_argument(
        "--port", type=_port, default=0, help="TCP port of both services; 0 takes a free one (default: %(default)s)"
    )
    sim.add_argument("--faults", type=Path, metavar="FILE", help="make the faults of this scenario, see below")
    sim.add_argument("--tls", action="store_true", help="speak wss and https, with a certificate made at the start")
    sim.add_argument("--cert", type=Path, metavar="FILE", help="with --tls: use this certificate, in PEM form")
    sim.add_argument("--key", type=Path, metavar="FILE", help="with --tls: the key that belongs to --cert")
    sim.add_argument(
        "--symbols",
        type=_count(2048),
        default=1,
        metavar="N",
        help="synthetic: number of instruments (default: %(default)s)",
    )
    sim.add_argument(
        "--rate", type=_rate, default=20.0, metavar="N", help="synthetic: events a second in all (default: %(default)s)"
    )
    sim.add_argument(
        "--seed",
        type=int,
        default=1,
        metavar="S",
        help="synthetic: the same seed makes the same market (default: %(default)s)",
    )
    _add_json(sim)
    sim.set_defaults(command="sim")

    top = commands.add_parser("top", help="show the books", description="Show the top of every book, live.")
    _add_config(top)
    top.add_argument("--once", action="store_true", help="show them once and exit")
    how = top.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help=_JSON)
    how.add_argument("--metrics", action="store_true", help="print them once, for Prometheus' textfile collector")
    top.set_defaults(command="top")

    replay = commands.add_parser(
        "replay",
        help="rebuild the books of recorded traffic and check them",
        description="Rebuild the books of recorded traffic without a network,"
        " and count what went well and what didn't.",
    )
    replay.add_argument("capture", type=Path, metavar="CAPTURE", help="plain, .gz or .zst")
    replay.add_argument("--venue", default="binance", help="the venue it was recorded from (default: %(default)s)")
    _add_json(replay)
    replay.set_defaults(command="replay")

    check = commands.add_parser(
        "check",
        help="check the configuration, and that this host can run it",
        description="Check the configuration, that this host and user can run it, and that the venues have its"
        " instruments. Exits 1 if anything fails.",
    )
    _add_config(check)
    _add_json(check)
    check.add_argument(
        "--offline",
        action="store_true",
        default="WIREBOOK_OFFLINE" in os.environ,
        help="don't ask the venues for the instruments; so does WIREBOOK_OFFLINE in the environment",
    )
    check.set_defaults(command="check")

    demo = commands.add_parser(
        "demo",
        help="simulated venue, feed, books and top, all on this machine",
        description="Run a simulated venue, a feed and the books on the loopback interface and show them, as any user.",
    )
    demo.add_argument(
        "--replay", type=Path, metavar="CAPTURE", help="replay this Binance spot capture instead of made-up traffic"
    )
    demo.add_argument(
        "--seconds",
        type=_count(3600),
        default=15,
        metavar="N",
        help="how long to show the books (default: %(default)s)",
    )
    demo.set_defaults(command="demo")
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, *_: object) -> None:
        from wirebook.commands import version

        print(version.text(verbose=namespace.verbose))
        parser.exit()


class _SimHelp(argparse.Action):
    """The faults are listed where they are defined, which is imported only when somebody asks."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from wirebook.sim import faults

        parser.epilog = faults.guide()
        parser.print_help()
        parser.exit()


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("/etc/wirebook/engine.toml"),
        metavar="FILE",
        help="the configuration (default: %(default)s)",
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help=_JSON)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port, 0 to 65535")
    return int(text)


def _speed(text: str) -> float | None:
    named = {"recorded": 1.0, "max": None}
    if text in named:
        return named[text]
    try:
        return _rate(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(
            f'{text} is neither "recorded" nor "max" nor a factor greater than 0'
        ) from error


def _rate(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number greater than 0")
    return number


class _count:  # noqa: N801 (reads as a type in an argument's definition)
    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, text: str) -> int:
        if not text.isdecimal() or not 1 <= int(text) <= self._most:
            raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {self._most}")
        return int(text)
