"""`make fuzz`: frames by each transport, packets into books, messages through scanners, and what became of them."""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

from integration.namespaces import reason_not_to

from wirebook.core import build_info

from . import books, campaign, messages


def _show(name: str, found: Counter[str], seconds: float) -> None:
    print(f"{name}, {seconds:.0f} s")
    for reason, count in found.items():
        print(f"  {reason:<44} {count:>10}")
    sys.stdout.flush()


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000, help="frames by each transport (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same input (default: %(default)s)")
    arguments = parser.parse_args()
    sanitized = "libasan" in Path("/proc/self/maps").read_text()
    print("with AddressSanitizer and UBSan" if sanitized else "without sanitizers")
    begun = time.monotonic()
    reasons = {"udp": reason_not_to(), "af_xdp": reason_not_to()}
    if not build_info.AF_XDP:
        reasons["af_xdp"] = "this build has no AF_XDP"
    for name, reason in reasons.items():
        if reason:
            print(f"{name}: NOT-RUN, {reason}")
            continue
        started = time.monotonic()
        found = campaign.transport(name, arguments.count, arguments.seed, lambda text: print(text, file=sys.stderr))
        _show(name, found, time.monotonic() - started)
    for name, run in (("books", books.apply), ("scanners", messages.scan)):
        started = time.monotonic()
        *_, last = run(random.Random(arguments.seed), arguments.count)
        _show(name, last, time.monotonic() - started)
    print(f"all of it: {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
