"""The command node-doctor."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from .desired import load_desired
from .host import Host
from .judge import examine
from .knobs import FAIL, DesiredStateError
from .metrics import as_metrics, write_atomically
from .page import as_page
from .report import as_json, as_table


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = argparse.ArgumentParser(
        prog="node-doctor",
        description="Compares this host with its desired state, knob by knob.",
        epilog="Exit status: 0 no knob is off, 1 a knob is off, 2 it couldn't be found out.",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the report for a program")
    output.add_argument("--html", action="store_true", help="print the report as a page for a browser, the host drawn")
    output.add_argument(
        "--metrics",
        type=Path,
        metavar="FILE",
        help="write drift for Prometheus' textfile collector and print nothing; the exit status is 0 then",
    )
    parser.add_argument(
        "--role", action="append", default=[], metavar="ROLE", help="only this role's knobs (may be repeated)"
    )
    parser.add_argument(
        "--now", action="store_true", help="judge what runs, not what the next boot will set (for a trial boot)"
    )
    parser.add_argument(
        "--desired", default="/etc/wirebook/desired.d", metavar="DIR", help="where the fragments are (%(default)s)"
    )
    parser.add_argument(
        "--root", type=Path, default=Path("/"), metavar="DIR", help="look at the host mounted here (%(default)s)"
    )
    arguments = parser.parse_args(argv)
    host = Host(arguments.root)
    try:
        findings = [
            examine(host, knob, now=arguments.now) for knob in load_desired(host, arguments.desired, arguments.role)
        ]
    except DesiredStateError as error:
        print(f"node-doctor: {error}", file=sys.stderr)
        return 2
    if arguments.metrics:
        try:
            write_atomically(arguments.metrics, as_metrics(findings))
        except OSError as error:
            print(f"node-doctor: {arguments.metrics} can't be written ({error.strerror}).", file=sys.stderr)
            return 2
        return 0
    try:
        if arguments.html:
            print(as_page(findings, host, socket.gethostname()))
        else:
            print(as_json(findings, host) if arguments.json else as_table(findings))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader (head, less) went away: nothing is left to tell it, and Python must not try again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1 if any(finding.status == FAIL for finding in findings) else 0
