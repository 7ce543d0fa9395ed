"""The compiled part of the engine: records, books, packets, transports, shared memory."""

from pathlib import Path

from wirebook.core import build_info
from wirebook.errors import UserError


def _missing_cpu_flags() -> set[str]:
    """Instruction sets that this build uses and this CPU lacks."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return set(build_info.CPU_FLAGS) - set(value.split())
    return set()


# Before any extension module is loaded: afterwards it would be an illegal instruction, not a sentence.
if _missing := _missing_cpu_flags():
    raise UserError(
        f"this build of wirebook is for {build_info.MARCH} and this CPU lacks {', '.join(sorted(_missing))}: "
        "install the wheel for x86-64-v2, or build on this host with -Dmarch=native"
    )
