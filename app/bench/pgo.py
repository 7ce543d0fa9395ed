"""A profile-guided build in three steps: an instrumented build, a replay of recorded traffic, the build that knows it.

meson's own option b_pgo does the compiling; the profile lies in meson's build folder between the steps.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench import environments


def install(python: Path, target: Path, build_folder: Path, settings: tuple[str, ...]) -> None:
    """Like `environments.install`, with a profile."""
    shutil.rmtree(build_folder, ignore_errors=True)  # a profile of older sources misleads
    environments.install(python, target, build_folder, (*settings, "-Db_pgo=generate"))
    path = os.pathsep.join([str(environments.APP), str(target)])
    environments.run([str(python), "-m", "bench.train"], "the training run", env={**os.environ, "PYTHONPATH": path})
    environments.install(python, target, build_folder, (*settings, "-Db_pgo=use"))
