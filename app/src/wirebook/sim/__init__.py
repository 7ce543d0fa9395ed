"""`wirebook sim`: a venue to practise on. Real WebSocket and REST, traffic from a capture or made up.

`tape` is what happens in the market, a module per venue how that venue tells it, `exchange` what those share, `server`
the sockets.
"""

from wirebook.sim.server import Where, run, synthetic
from wirebook.sim.tape import CaptureTape, SyntheticTape, Tape
from wirebook.sim.tls import make_certificate

__all__ = ["CaptureTape", "SyntheticTape", "Tape", "Where", "make_certificate", "run", "synthetic"]
