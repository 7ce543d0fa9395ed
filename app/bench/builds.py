"""The engine in four builds, each measured beside the others. Standard library only."""

from __future__ import annotations

import hashlib
import json
import sys
import sysconfig
from pathlib import Path

from bench import environments, pgo

BUILDS: dict[str, tuple[str, ...]] = {
    "O2": ("-Dmarch=x86-64", "-Doptimization=2", "-Db_lto=false"),
    "march": ("-Dmarch=native", "-Doptimization=3", "-Db_lto=false"),
    "lto": ("-Dmarch=native",),
    "pgo": ("-Dmarch=native",),
}
"""Each adds one thing to the one before: the CPU's own instructions and -O3, link-time optimisation, a profile."""

_STATE = environments.CACHE / "builds" / "builds.json"


def _sources() -> str:
    """Changes when a build would: with the engine, and with what times or trains it."""
    app = environments.APP
    digest = hashlib.sha256(sys.version.encode())
    files = [*(app / "src").rglob("*"), *app.glob("meson*"), app / "pyproject.toml"]
    files += [app / "bench" / name for name in ("hot.pyx", "train.py", "workloads.py")]
    for path in sorted(path for path in files if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _hot(python: Path, target: Path) -> None:
    """Compile hot.pyx beside the engine in `target`."""
    source = target / "hot.c"
    library = target / ("hot" + sysconfig.get_config_var("EXT_SUFFIX"))
    cython = [
        str(python),
        "-m",
        "cython",
        "-3",
        "-I",
        str(environments.APP / "src"),
        str(environments.APP / "bench" / "hot.pyx"),
        "-o",
        str(source),
    ]
    environments.run(cython, "compiling hot.pyx")
    include = sysconfig.get_path("include")
    flags = ["-O3", "-march=native", "-shared", "-fPIC", f"-I{include}", "-Wno-unused-result"]
    environments.run(["cc", *flags, str(source), "-o", str(library)], "compiling hot.c")


def _make(python: Path, name: str) -> None:
    print(f"Building the engine: {name} ({' '.join(BUILDS[name])})", flush=True)
    make = pgo.install if name == "pgo" else environments.install
    make(python, folder(name), environments.CACHE / "meson" / name, BUILDS[name])
    _hot(python, folder(name))


def prepare() -> Path:
    """Make the suite's environment and the builds where they are out of date; returns the suite's Python.

    A build that fails is remembered with the reason, and left out; PreparationError when not even "lto" can be had.
    """
    python = environments.suite()
    wanted = _sources()
    if _STATE.exists() and json.loads(_STATE.read_text())["sources"] == wanted:
        return python
    refused = {}
    for name in BUILDS:
        try:
            _make(python, name)
        except environments.PreparationError as error:
            if name == "lto":
                raise
            refused[name] = str(error)
    _STATE.write_text(json.dumps({"sources": wanted, "failed": refused}))
    return python


def folder(name: str) -> Path:
    """Where the build of that name is installed."""
    return environments.CACHE / "builds" / name


def failed() -> dict[str, str]:
    """Builds that could not be made, and why."""
    found: dict[str, str] = json.loads(_STATE.read_text())["failed"]
    return found


def best() -> str:
    """The build that is measured as ours: the last one that could be made."""
    return [name for name in BUILDS if name not in failed()][-1]
