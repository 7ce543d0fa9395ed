"""What capabilities(7) allow this process to do, and how to give one up for good."""

from __future__ import annotations

import ctypes
import os
from typing import Final

from wirebook.core.base.process import status

_NUMBERS: Final = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_IPC_LOCK": 14, "CAP_BPF": 39}
_VERSION_3: Final = 0x20080522


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def has(name: str) -> bool:
    """Whether this process has the capability in effect."""
    return bool(int(status().get("CapEff", "0"), 16) >> _NUMBERS[name] & 1)


def drop(*names: str) -> None:
    """Give up capabilities: neither this thread nor those that it starts can get them back. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = _Header(_VERSION_3, 0)
    data = (_Data * 2)()
    for call in (libc.capget, libc.capset):
        if call is libc.capset:
            for name in names:
                word, bit = divmod(_NUMBERS[name], 32)
                for field in ("effective", "permitted", "inheritable"):
                    setattr(data[word], field, getattr(data[word], field) & ~(1 << bit))
        if call(ctypes.byref(header), data) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
