from typing import Any

import numpy

def record_type() -> numpy.dtype[Any]: ...
