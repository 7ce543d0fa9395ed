"""node-doctor: whether this host is what it was asked to be."""

from __future__ import annotations

import argparse
import socket
from pathlib import Path

from ..doctor.desired import load_desired
from ..doctor.host import Host
from ..doctor.judge import examine
from ..doctor.knobs import FAIL, DesiredStateError
from ..doctor.metrics import as_metrics, write_atomically
from ..doctor.page import as_page
from ..doctor.report import as_json, as_table
from .program import Argument, MistakeError, Program
from .system import tell


def run(arguments: argparse.Namespace) -> int:
    """Examine every knob and print the report."""
    host = Host(arguments.root)
    try:
        knobs = load_desired(host, arguments.desired, arguments.role)
        findings = [examine(host, knob, now=arguments.now) for knob in knobs]
    except DesiredStateError as error:
        raise MistakeError(str(error)) from error
    if arguments.metrics:
        try:
            write_atomically(arguments.metrics, as_metrics(findings))
        except OSError as error:
            raise MistakeError(f"{arguments.metrics} can't be written ({error.strerror}).") from error
        return 0
    if arguments.html:
        tell(as_page(findings, host, socket.gethostname()))
    else:
        tell(as_json(findings, host) if arguments.json else as_table(findings))
    return 1 if any(finding.status == FAIL for finding in findings) else 0


_SWITCH = {"action": "store_true"}
PROGRAM = Program(
    name="node-doctor",
    summary="say whether this host is what it was asked to be",
    description=(
        "Compares this host with its desired state, knob by knob: what runs, and what the next boot will set. It "
        "changes nothing.",
        "Each knob is PASS, FAIL or NOT-RUN with the reason why it can't be found out here.",
    ),
    run=run,
    arguments=(
        Argument("--json", "print the report for a program", _SWITCH, one_of="output"),
        Argument(
            "--html", "print the report as a page for a browser, with a drawing of the host", _SWITCH, one_of="output"
        ),
        Argument(
            "--metrics", "write drift for Prometheus' textfile collector and print nothing; the exit status is 0 then",
            {"type": Path, "metavar": "FILE"}, one_of="output",
        ),
        Argument(
            "--role", "only this role's knobs (may be repeated)", {"action": "append", "default": [], "metavar": "ROLE"}
        ),
        Argument("--now", "judge what runs, not what the next boot will set (for a trial boot)", _SWITCH),
        Argument(
            "--desired", "where the fragments are (/etc/wirebook/desired.d)",
            {"default": "/etc/wirebook/desired.d", "metavar": "DIR"},
        ),
        Argument("--root", "look at the host mounted here (/)", {"type": Path, "default": Path("/"), "metavar": "DIR"}),
    ),
    statuses={0: "No knob is off.", 1: "A knob is off.", 2: "It couldn't be found out; one sentence says why."},
    files={"/etc/wirebook/desired.d/ROLE.json": "what a role set, and what is to be proven"},
    examples={
        "node-doctor --role sysctl": "Look at the knobs of one role.",
        "node-doctor --html > node.html": "Draw the host for a browser.",
    },
)  # fmt: skip
