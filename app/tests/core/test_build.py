"""A build that this CPU can't run says so, in a sentence, before its first instruction."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wirebook.core import build_info

FOREIGN = (
    "import sys, types\n"
    "import wirebook\n"
    "fake = types.ModuleType('wirebook.core.build_info')\n"
    "fake.MARCH, fake.CPU_FLAGS = 'x86-64-v9', frozenset({'avx2048', 'fpu'})\n"
    "sys.modules['wirebook.core.build_info'] = fake\n"
)
"""Makes the installed build one for a CPU that doesn't exist."""
SENTENCE = "this build of wirebook is for x86-64-v9 and this CPU lacks avx2048: install"


def test_a_cpu_that_lacks_what_the_build_needs() -> None:
    code = FOREIGN + (
        "from wirebook.errors import UserError\n"
        "try:\n    import wirebook.core.wire.records\n"
        "except UserError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith(SENTENCE)


@pytest.mark.parametrize("words", [["replay", "/dev/null"], ["top", "--once"]])
def test_a_command_on_such_a_cpu_is_a_sentence_and_exit_2(words: list[str]) -> None:
    code = FOREIGN + f"from wirebook.cli import main\nsys.exit(main({words}))\n"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"wirebook: {SENTENCE}")
    assert result.stderr.count("\n") == 1


def test_the_build_says_how_it_was_made() -> None:
    assert build_info.OPTIMIZATION == "-O3"
    assert build_info.LTO
    assert "popcnt" in build_info.CPU_FLAGS, "the trees count ones"


def test_version_says_on_request_how_the_build_was_made() -> None:
    for words in (["--version", "--verbose"], ["--verbose", "--version"]):
        result = subprocess.run([sys.executable, "-m", "wirebook", *words], capture_output=True, text=True, check=True)
        assert result.stdout.startswith(f"wirebook {build_info.VERSION}\ncompiler      {build_info.COMPILER}, -O3 ")
        assert f"-march={build_info.MARCH}\n" in result.stdout
        assert "popcnt" in result.stdout.splitlines()[-1]
