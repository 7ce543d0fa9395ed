"""A profile-guided build in three steps: an instrumented build, a replay of recorded traffic, the build that knows it.

meson's own option b_pgo does the compiling; the profile lies in meson's build folder between the steps.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench import environments


def _train(python: Path, build_folder: Path, settings: tuple[str, ...]) -> None:
    """The first two steps: leave a profile in `build_folder`."""
    shutil.rmtree(build_folder, ignore_errors=True)  # a profile of older sources misleads
    instrumented = build_folder.with_name(build_folder.name + "-instrumented")
    environments.install(python, instrumented, build_folder, (*settings, "-Db_pgo=generate"))
    path = os.pathsep.join([str(environments.APP), str(instrumented)])
    environments.run([str(python), "-m", "bench.train"], "the training run", {**os.environ, "PYTHONPATH": path})
    shutil.rmtree(instrumented)


def install(python: Path, target: Path, build_folder: Path, settings: tuple[str, ...]) -> None:
    """Like `environments.install`, with a profile."""
    _train(python, build_folder, settings)
    environments.install(python, target, build_folder, (*settings, "-Db_pgo=use"))


def wheel(python: Path, folder: Path, build_folder: Path, settings: tuple[str, ...]) -> Path:
    """Like `environments.wheel`, with a profile."""
    _train(python, build_folder, settings)
    return environments.wheel(python, folder, build_folder, (*settings, "-Db_pgo=use"))
