"""A build that this CPU can't run says so, in a sentence, before its first instruction."""

from __future__ import annotations

import subprocess
import sys

from wirebook.core import build_info


def test_a_cpu_that_lacks_what_the_build_needs() -> None:
    code = (
        "import sys, types\n"
        "import wirebook\n"
        "fake = types.ModuleType('wirebook.core.build_info')\n"
        "fake.MARCH, fake.CPU_FLAGS = 'x86-64-v9', frozenset({'avx2048', 'fpu'})\n"
        "sys.modules['wirebook.core.build_info'] = fake\n"
        "from wirebook.errors import UserError\n"
        "try:\n    import wirebook.core.records\n"
        "except UserError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("this build of wirebook is for x86-64-v9 and this CPU lacks avx2048: install")


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
