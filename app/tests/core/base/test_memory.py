"""Arenas, locked memory and CPU binding, on the kernel that runs here."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from wirebook.core.base import cpu
from wirebook.core.base.memory import Arena, lock_failure, locked_bytes, page_faults
from wirebook.errors import UserError


def test_auto_says_what_it_got() -> None:
    arena = Arena(16 << 20)
    assert arena.kind in {"explicit", "transparent", "normal"}
    assert (arena.huge_bytes == 16 << 20) == (arena.kind != "normal")
    assert arena.free == arena.size == 16 << 20


def test_sizes_are_whole_hugepages_and_faulted_in() -> None:
    before = page_faults()[0]
    arena = Arena((8 << 20) + 1, "off")
    assert arena.size == 10 << 20
    assert page_faults()[0] - before >= (8 << 20) // os.sysconf("SC_PAGESIZE")
    assert (arena.kind, arena.huge_bytes) == ("normal", 0)


def test_explicit_hugepages_that_there_are_none_of() -> None:
    with pytest.raises(UserError, match=r"no 524288 free hugepages of 2 MB \(\d+ are free\): raise vm\.nr_hugepages"):
        Arena(1 << 40, "explicit")


def test_unknown_policy() -> None:
    with pytest.raises(ValueError, match="hugepages is one of auto, explicit, transparent, off"):
        Arena(1, "huge")


def test_messages_of_a_failed_lock() -> None:
    assert "LimitMEMLOCK=infinity" in lock_failure(errno.ENOMEM)
    assert "RLIMIT_MEMLOCK is too small" in lock_failure(errno.ENOMEM)
    assert "CAP_IPC_LOCK" in lock_failure(errno.EPERM)
    assert "mlockall" in lock_failure(errno.EAGAIN)


def run(code: str) -> subprocess.CompletedProcess[str]:
    code = "import os, resource\nfrom wirebook.core.base.memory import *\n" + code
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody with another limit")
@pytest.mark.parametrize(("memlock", "words"), [(65536, "soft and hard: 64 KB and 64 KB"), (0, "CAP_IPC_LOCK")])
def test_a_lock_that_the_kernel_refuses(memlock: int, words: str) -> None:
    result = run(
        f"resource.setrlimit(resource.RLIMIT_MEMLOCK, ({memlock}, {memlock}))\n"
        "os.setgroups([])\nos.setresuid(65534, 65534, 65534)\nlock_memory()"
    )
    assert result.returncode == 1
    assert words in result.stderr.splitlines()[-1]


def test_locked_memory_shows_in_vmlck() -> None:
    result = run("arena = Arena(4 << 20)\nlock_memory()\nassert locked_bytes() >= 4 << 20, locked_bytes()")
    if result.returncode != 0 and "memory can't be locked" in result.stderr:
        pytest.skip("no right to lock memory here")
    assert result.returncode == 0, result.stderr
    assert locked_bytes() == 0, "the test itself locks nothing"


def test_pinning_is_read_back() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        cpu.pin(max(allowed), "book.cpu")
        assert os.sched_getaffinity(0) == {max(allowed)}
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_cpu_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"book\.cpu is 4095, but this host has CPUs 0 to \d+: choose one of them"):
        cpu.pin(4095, "book.cpu")
