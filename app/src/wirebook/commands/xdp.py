"""`wirebook xdp`: the privileged process that attaches the XDP program for the book process."""

from __future__ import annotations

import argparse

from wirebook import config as configuration
from wirebook import transports


def main(options: argparse.Namespace) -> int:
    """Serve the socket that systemd hands over, or listen. Raises UserError if this build has no AF_XDP."""
    transports.require_af_xdp()
    from wirebook.xdp import helper

    helper.run(configuration.load(options.config))
    return 0
