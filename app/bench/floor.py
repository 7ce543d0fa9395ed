"""The C programs in floor/, compiled for this machine, and the loop that times every book."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SOURCES = Path(__file__).with_name("floor")
FLAGS = ("-O3", "-march=native", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread")
BATCH = 16
"""Records that a book gets at a time: the engine's default."""


class _Top(ctypes.Structure):
    _fields_ = (
        ("bid_price", ctypes.c_int64),
        ("bid_quantity", ctypes.c_int64),
        ("ask_price", ctypes.c_int64),
        ("ask_quantity", ctypes.c_int64),
    )
