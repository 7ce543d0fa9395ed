"""`wirebook sim`: a venue over real WebSocket and REST, from a capture or made up."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from wirebook import sim, venues
from wirebook.errors import UserError
from wirebook.sim import faults


def main(options: argparse.Namespace) -> int:
    """Simulate the venue that the command line names."""

    def say(event: str, text: str, **details: object) -> None:
        print(json.dumps({"event": event, **details}) if options.json else f"wirebook sim: {text}", flush=True)

    venue = venues.get(options.venue)
    tape: sim.Tape = (
        sim.synthetic(venue.name, options.symbols, options.rate, options.seed)
        if options.synthetic
        else sim.CaptureTape(venue, options.replay)
    )
    scenario = faults.load(options.faults) if options.faults else None
    with ExitStack() as stack:
        where = sim.Where(options.host, options.port, _certificate(options, stack))
        sim.run(venue, tape, where, speed=options.speed, loop=options.loop, say=say, scenario=scenario)
    return 0


def _certificate(options: argparse.Namespace, stack: ExitStack) -> tuple[Path, Path] | None:
    """The certificate and key of --tls; those that are made live as long as `stack`."""
    given = (options.cert, options.key)
    if given.count(None) == 1 or (options.cert and not options.tls):
        raise UserError("--cert and --key belong together, and to --tls; give all three")
    if not options.tls:
        return None
    if options.cert:
        return given
    home = stack.enter_context(TemporaryDirectory(prefix="wirebook-sim-"))
    return sim.make_certificate(options.host, Path(home))
