"""What a run needs on disk: two virtual environments, and the engine in four builds. Standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

APP = Path(__file__).resolve().parents[1]
ROOT = APP.parent
CACHE = ROOT / ".cache" / "bench"
VENV = CACHE / "venv"
CRYPTOFEED_VENV = CACHE / "venv-cryptofeed"
CRYPTOFEED_PYTHON = "3.13"

BUILDS: dict[str, tuple[str, ...]] = {
    "O2": ("-Dmarch=x86-64", "-Doptimization=2", "-Db_lto=false"),
    "march": ("-Dmarch=native", "-Doptimization=3", "-Db_lto=false"),
    "lto": ("-Dmarch=native",),
    "pgo": ("-Dmarch=native",),
}
"""Each adds one thing to the one before: the CPU's own instructions and -O3, link-time optimisation, a profile."""


class PreparationError(Exception):
    """Nothing can be measured; the text says what to do."""


def run(command: list[str], what: str, env: dict[str, str] | None = None) -> None:
    """Run a step quietly; PreparationError, and the end of its output, when it fails."""
    result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, env=env)
    if result.returncode != 0:
        print(result.stdout[-4000:], file=sys.stderr)
        lines = result.stdout.splitlines()
        reason = next((line.strip() for line in lines if "ERROR:" in line), (lines or ["it said nothing"])[-1])
        raise PreparationError(f"{what} failed: {reason}")


def _venv(folder: Path, python: str, requirements: Path) -> Path:
    """The Python of an environment that holds exactly `requirements`; made anew when they change."""
    stamp = folder / "requirements.sha256"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing {requirements.relative_to(ROOT)} into {folder.relative_to(ROOT)}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        run([python, "-m", "venv", str(folder)], "making a virtual environment")
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        run([*pip, "--require-hashes", "--requirement", str(requirements)], f"installing {requirements.name}")
        stamp.write_text(wanted)
    return folder / "bin" / "python"


def _find_python(version: str) -> str | None:
    """A Python of that version: on PATH, or behind pyenv's shims, which only answer to PYENV_VERSION."""
    environment = {**os.environ, "PYENV_VERSION": version}
    try:
        answer = subprocess.run(
            [f"python{version}", "-c", "import ensurepip, sys; print(sys.executable)"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def cryptofeed() -> Path:
    """The Python of cryptofeed's environment; PreparationError says why there is none."""
    python = _find_python(CRYPTOFEED_PYTHON)
    if python is None:
        raise PreparationError(
            f"cryptofeed 3 needs Python {CRYPTOFEED_PYTHON} with its venv module, and there is none on PATH"
        )
    return _venv(CRYPTOFEED_VENV, python, ROOT / "requirements" / "bench-cryptofeed.txt")


def _sources() -> str:
    """Changes when a build would."""
    digest = hashlib.sha256(sys.version.encode())
    files = [*(APP / "src").rglob("*"), *APP.glob("meson*"), APP / "pyproject.toml", *(APP / "bench").glob("*.p*")]
    for path in sorted(path for path in files if path.is_file() and path.suffix != ".pyc"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def pip(python: Path, command: list[str], build_folder: Path, settings: tuple[str, ...]) -> None:
    """Build the engine by a command of pip, with these settings of meson."""
    full = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *command, "--no-deps"]
    full += ["--no-build-isolation", f"--config-settings=build-dir={build_folder}"]
    full += [f"--config-settings=setup-args={setting}" for setting in settings]
    # meson and ninja are the environment's own.
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    run([*full, str(APP)], "building the engine", {**os.environ, "PATH": path})


def install(python: Path, target: Path, build_folder: Path, settings: tuple[str, ...]) -> None:
    """Build the engine into `target`."""
    shutil.rmtree(target, ignore_errors=True)
    pip(python, ["install", "--target", str(target)], build_folder, settings)


def wheel(python: Path, folder: Path, build_folder: Path, settings: tuple[str, ...]) -> Path:
    """Build the engine into a wheel, the only one of it that `folder` then holds."""
    for old in folder.glob("wirebook-*.whl"):
        old.unlink()
    pip(python, ["wheel", "--wheel-dir", str(folder)], build_folder, settings)
    return next(folder.glob("wirebook-*.whl"))


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
        str(APP / "src"),
        str(APP / "bench" / "hot.pyx"),
        "-o",
        str(source),
    ]
    run(cython, "compiling hot.pyx")
    include = sysconfig.get_path("include")
    flags = ["-O3", "-march=native", "-shared", "-fPIC", f"-I{include}", "-Wno-unused-result"]
    run(["cc", *flags, str(source), "-o", str(library)], "compiling hot.c")


_STATE = CACHE / "builds" / "builds.json"


def _make(python: Path, name: str) -> None:
    from bench import pgo

    print(f"Building the engine: {name} ({' '.join(BUILDS[name])})", flush=True)
    make = pgo.install if name == "pgo" else install
    make(python, build_folder(name), CACHE / "meson" / name, BUILDS[name])
    _hot(python, build_folder(name))


def prepare() -> Path:
    """Make the environment and the builds where they are out of date; returns the suite's Python.

    A build that fails is remembered with the reason, and left out; PreparationError when not even "lto" can be had.
    """
    python = _venv(VENV, sys.executable, ROOT / "requirements" / "bench.txt")
    wanted = _sources()
    if _STATE.exists() and json.loads(_STATE.read_text())["sources"] == wanted:
        return python
    failed = {}
    for name in BUILDS:
        try:
            _make(python, name)
        except PreparationError as error:
            if name == "lto":
                raise
            failed[name] = str(error)
    _STATE.write_text(json.dumps({"sources": wanted, "failed": failed}))
    return python


def build_folder(name: str) -> Path:
    """Where the build of that name is installed."""
    return CACHE / "builds" / name


def failed_builds() -> dict[str, str]:
    """Builds that could not be made, and why."""
    failed: dict[str, str] = json.loads(_STATE.read_text())["failed"]
    return failed


def best_build() -> str:
    """The build that is measured as ours: the last one that could be made."""
    return [name for name in BUILDS if name not in failed_builds()][-1]
