"""`wirebook sim`: a venue to practise on. Real WebSocket and REST, traffic from a capture or made up.

`tape` is what happens in the market, `binance` how that venue tells it, `server` the sockets.
"""

from wirebook.sim.server import Where, run
from wirebook.sim.tape import CaptureTape, SyntheticTape, Tape
from wirebook.sim.tls import make_certificate

__all__ = ["CaptureTape", "SyntheticTape", "Tape", "Where", "make_certificate", "run"]
