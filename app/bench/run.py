#!/usr/bin/env python3
"""`make bench`: prepare the environments, then measure. Needs the standard library only.

The suite runs in an environment of its own, .cache/bench/venv: what it compares with never touches the engine's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

APP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(APP))

from bench import builds, environments  # noqa: E402 - found by the line above


def main() -> None:
    """Hand over to `bench.suite` with the builds made and on its path."""
    try:
        python = builds.prepare()
    except environments.PreparationError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    path = os.pathsep.join([str(APP), str(builds.folder(builds.best()))])
    os.execve(python, [str(python), "-m", "bench.suite", *sys.argv[1:]], {**os.environ, "PYTHONPATH": path})  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main()
