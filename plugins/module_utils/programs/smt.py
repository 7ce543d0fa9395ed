"""wirebook-smt: take SMT siblings of isolated CPUs offline, unless they are isolated themselves."""

from __future__ import annotations

import argparse

from ..topology.cpus import parse_cpus
from .arguments import cpu_list
from .program import CHECK, Argument, Command, FailedError, Program
from .system import at, refusal, tell

CPUS = "/sys/devices/system/cpu"


def siblings_online(isolated: frozenset[int]) -> list[int]:
    """Return the online siblings of isolated CPUs that aren't isolated."""
    lists = [at(f"{CPUS}/cpu{cpu}/topology/thread_siblings_list") for cpu in isolated]
    return sorted(frozenset[int]().union(*(parse_cpus(path.read_text()) for path in lists if path.exists())) - isolated)


def run(arguments: argparse.Namespace) -> int:
    """Take offline each of them that the kernel lets go."""
    refused = []
    for cpu in siblings_online(arguments.list):
        if not arguments.check and (reason := refusal(at(f"{CPUS}/cpu{cpu}/online"), "0")):
            refused.append(f"CPU {cpu} can't be taken offline ({reason})")
        else:
            tell(f"CPU {cpu}: online -> offline")
    if refused:
        raise FailedError(f"{', '.join(refused)}: `dmesg` says why, or leave topology_smt_siblings online.")
    return 0


PROGRAM = Program(
    name="wirebook-smt",
    summary="take the SMT siblings of isolated CPUs offline",
    description=(
        "Takes SMT siblings of isolated CPUs offline, unless they are isolated themselves, and prints them.",
        "The kernel forgets who an offline CPU's siblings were, so they are looked up at each boot, while all are "
        "online. To have them back, take topology_smt_siblings out of the inventory, deploy, and reboot.",
    ),
    run=run,
    commands=(
        Command(
            "offline", "Take the siblings of these CPUs offline.",
            (Argument("LIST", "the isolated CPUs, such as 2-3,6", {"type": cpu_list}), CHECK),
        ),
    ),
    files={"/etc/systemd/system/wirebook-cpu.service": "runs it at each boot"},
    examples={"wirebook-smt offline 2-3 --check": "Print which CPUs would go offline."},
    see_also=("node-doctor(8)",),
)  # fmt: skip
