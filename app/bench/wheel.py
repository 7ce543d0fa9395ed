#!/usr/bin/env python3
"""`make wheel PGO=1`: a wheel built with a profile. Needs what builds and runs the engine in this environment."""

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
    parser.add_argument("folder", type=Path, help="where the wheel goes")
    arguments = parser.parse_args()
    build_folder = environments.CACHE.with_name("wheel-pgo")
    try:
        pgo.wheel(Path(sys.executable), arguments.folder, build_folder, (f"-Dmarch={arguments.march}",))
    except environments.PreparationError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
