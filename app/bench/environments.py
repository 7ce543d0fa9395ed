"""Virtual environments for a run, and the engine built by one of them. Standard library only."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

APP = Path(__file__).resolve().parents[1]
ROOT = APP.parent
CACHE = ROOT / ".cache" / "bench"
VENV = CACHE / "venv"
CRYPTOFEED_VENV = CACHE / "venv-cryptofeed"
CRYPTOFEED_PYTHON = "3.13"


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


def suite() -> Path:
    """The Python of the suite's own environment."""
    return _venv(VENV, sys.executable, ROOT / "requirements" / "bench.txt")


def cryptofeed() -> Path:
    """The Python of cryptofeed's environment; PreparationError says why there is none."""
    python = _find_python(CRYPTOFEED_PYTHON)
    if python is None:
        raise PreparationError(
            f"cryptofeed 3 needs Python {CRYPTOFEED_PYTHON} with its venv module, and there is none on PATH"
        )
    return _venv(CRYPTOFEED_VENV, python, ROOT / "requirements" / "bench-cryptofeed.txt")


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
