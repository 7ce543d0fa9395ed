"""`wirebook sim`: a venue to practise on. Real WebSocket and REST, traffic from a capture or made up.

`tape` is what happens in the market, `binance` how that venue tells it, `server` the sockets.
"""

from wirebook.sim.server import run
from wirebook.sim.tape import CaptureTape, SyntheticTape, Tape

__all__ = ["CaptureTape", "SyntheticTape", "Tape", "run"]
