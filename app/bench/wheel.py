#!/usr/bin/env python3
"""`make wheel`: the engine as a wheel, with a profile or without. Needs what builds and runs it in this environment."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import environments, pgo


def main() -> None:
    """Build it; 2 and a sentence when that fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--march", default="x86-64-v3", help="CPU to compile for (default: %(default)s)")
    parser.add_argument("--pgo", action="store_true", help="train the build first, which this CPU must be able to run")
    parser.add_argument("folder", type=Path, help="where the wheel goes")
    arguments = parser.parse_args()
    make = pgo.wheel if arguments.pgo else environments.wheel
    build_folder = environments.CACHE.with_name("wheel") / arguments.march
    print(f"Building a wheel for {arguments.march}{', with a profile' * arguments.pgo}", flush=True)
    try:
        path = make(Path(sys.executable), arguments.folder, build_folder, (f"-Dmarch={arguments.march}",))
    except environments.PreparationError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    print(path)


if __name__ == "__main__":
    main()
