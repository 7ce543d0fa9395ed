"""The types of arguments; each refuses in a sentence, before anything is done."""

from __future__ import annotations

import argparse
import re

from ..topology.cpus import parse_cpus

_PCI_ADDRESS = re.compile(r"[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
# Linux' own limit (dev_valid_name() in net/core/dev.c): 15 characters, none of them white space, / or :.
_INTERFACE = re.compile(r"(?!\.{1,2}$)[^\s/:]{1,15}")


def cpu_list(text: str) -> frozenset[int]:
    """Return the CPUs of a list such as 2-3,6, of which there is at least one."""
    try:
        cpus = parse_cpus(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error).rstrip(".")) from None
    if not cpus:
        raise argparse.ArgumentTypeError("the list of CPUs is empty")
    return cpus


def pci_address(text: str) -> str:
    """Return a PCI address in small letters, as sysfs has it."""
    if not _PCI_ADDRESS.fullmatch(text.lower()):
        raise argparse.ArgumentTypeError(f"'{text}' isn't a PCI address such as 0000:3b:00.0")
    return text.lower()


def interface(text: str) -> str:
    """Return a name that a network interface may have."""
    if not _INTERFACE.fullmatch(text):
        raise argparse.ArgumentTypeError(f"'{text}' can't be the name of a network interface")
    return text


def whole_number(text: str) -> int:
    """Return a number from 0 on."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"'{text}' isn't a whole number")
    return int(text)


def counted(text: str) -> int:
    """Return a number from 1 on."""
    if whole_number(text) < 1:
        raise argparse.ArgumentTypeError("it has to be at least 1")
    return int(text)
